"""What every column of the results tables means, and in which unit. docs/results_table.md is made from it.

A column that is added to `storage/schemas.py` is described here, and `python jobs/describe_tables.py
into=docs/results_table.md` writes the page anew; a test holds both.
"""

from dataclasses import dataclass

import pyarrow as pa

from storage.result_rows import schema_of
from storage.schemas import TABLES

_SWEEP_ID = "The sweep or experiment that the row belongs to; also the folder, `sweep=<id>`."
_TRIAL_ID = "The trial: a hash of its whole configuration but for what has its default value."
_SEED = "The seed of weights, order and augmentation."
_SHARE = "share, 0–1"


@dataclass(frozen=True, slots=True)
class ColumnDoc:
    """What a column means, and its unit where it has one."""

    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class TableDoc:
    """What one row of a table is, how commits are named, and its columns."""

    row: str
    commit: str
    columns: dict[str, ColumnDoc]


TABLE_DOCS: dict[str, TableDoc] = {
    "sweeps": TableDoc(
        "One row per sweep or experiment: what was asked for, on which data, with which versions.",
        "`sweep`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "dataset": ColumnDoc("The data set: its name and a hash of its manifest, as in `features/<data set>/`."),
            "fingerprint": ColumnDoc("Hash of the feature spec, as in `features/<data set>/<fingerprint>/`."),
            "split_hash": ColumnDoc("Hash of the split: which clip is in which part."),
            "split_policy": ColumnDoc("How the split was drawn, in words."),
            "labels": ColumnDoc("All labels; an index in any other column is a position in this list."),
            "settings": ColumnDoc("The whole resolved configuration of the job, JSON."),
            "versions": ColumnDoc("Packages, Python and machine of the process that began it, JSON."),
            "started_at": ColumnDoc("When it began first; a resume changes nothing.", "UTC"),
            "kind": ColumnDoc(
                "`sweep` (null: likewise); `experiment`: one configuration, cross-validated; `confirmation`: the best "
                "configurations of a sweep, trained to their end; `audit`: trials that a sweep stopped, likewise."
            ),
            "protocol": ColumnDoc(
                "`honest` (null: likewise), or `literature`: epochs were chosen on test, and scores are too good."
            ),
            "of_sweep": ColumnDoc(
                "The sweep that this confirmation or audit belongs to; null for all else. Clips outside of the test "
                "part of that sweep's split had a part in its choice."
            ),
            "identity": ColumnDoc(
                "Everything that decides which sweep it is, JSON: the id ends in its hash. Null in older rows, and of "
                "an experiment."
            ),
        },
    ),
    "extensions": TableDoc(
        "One row per extension of a sweep beyond what its settings plan; the largest counts.",
        "`extend<extend>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "extend": ColumnDoc(
                "Configurations added per architecture, in all; of an adaptive sweep as many whole trainings of one "
                "seed, too."
            ),
            "extended_at": ColumnDoc("When it was asked for.", "UTC"),
        },
    ),
    "warm_starts": TableDoc(
        "One row per trial of an earlier sweep that a sweep was started with, as it was when the sweep began.",
        "`trials`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "place": ColumnDoc("In the order in which they are told to the searcher, from 0."),
            "of_sweep": ColumnDoc("The earlier sweep."),
            "of_trial": ColumnDoc("The trial there."),
            "architecture": ColumnDoc("The model's registered name."),
            "state": ColumnDoc("`finished` or `stopped`."),
            "objective": ColumnDoc("Of its end, as in `trials`.", _SHARE),
            "parameters": ColumnDoc("Its values of what the new sweep searches: name → value, JSON."),
            "curve": ColumnDoc("Seed-epoch → objective, JSON."),
        },
    ),
    "suggestions": TableDoc(
        "One row per planned trial, written before it starts: the order in which they were suggested.",
        "`number<number>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "trial_id": ColumnDoc(_TRIAL_ID),
            "number": ColumnDoc("Place of the trial in the whole sweep, from 0."),
            "architecture": ColumnDoc("The model's registered name."),
            "parameters": ColumnDoc("What the searcher chose: name → value, JSON."),
            "distributions": ColumnDoc("What it chose from: name → Optuna distribution, JSON."),
            "configuration": ColumnDoc("The whole trial configuration with its seeds, JSON."),
            "untuned_default": ColumnDoc(
                "Whether this is the architecture's default, with nothing chosen by the searcher."
            ),
            "fold": ColumnDoc(
                "The fold that it is tested on, in an experiment or a confirmation over folds; null on a sweep's split."
            ),
            "of_trial": ColumnDoc(
                "In a confirmation or an audit, the trial of the sweep whose configuration this is; null elsewhere."
            ),
        },
    ),
    "decisions": TableDoc(
        "One row per decision of an adaptive sweep: which trial was sent on, and how far.",
        "`decision<decision>-<trial_id>-<until>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "decision": ColumnDoc("Counted from 0 in the sweep."),
            "trial_id": ColumnDoc(_TRIAL_ID + " The decision is void if it was never suggested."),
            "seed": ColumnDoc("The seed that is trained on."),
            "until": ColumnDoc("Where the trial's turn ends, over all seeds.", "epochs"),
            "rate": ColumnDoc(
                "By how much the best posterior mean was expected to rise; null for what every sweep begins with.",
                "score per epoch",
            ),
            "decided_at": ColumnDoc("When it was decided.", "UTC"),
            "heard": ColumnDoc(
                "How far trials on their way had been heard of: trial → seed-epoch, JSON; others stood where their "
                "last turn ended. With it, decisions can be made again from the rows. Null in older rows."
            ),
        },
    ),
    "trials": TableDoc(
        "One row per trial that has ended.",
        "`<trial_id>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "trial_id": ColumnDoc(_TRIAL_ID),
            "number": ColumnDoc("Place of the trial in the whole sweep, from 0."),
            "architecture": ColumnDoc("The model's registered name."),
            "state": ColumnDoc(
                "`finished`: all seeds are complete; `stopped`: by the scheduler; `failed`: something was not finite."
            ),
            "seed_epochs": ColumnDoc(
                "Where it ended, over all seeds; a seed that ended early counts in full.", "epochs"
            ),
            "objective": ColumnDoc(
                "Mean of the best validation scores of its seeds; null if it failed at once.", _SHARE
            ),
            "ended_at": ColumnDoc("When it ended.", "UTC"),
            "known_from": ColumnDoc(
                "Suggestions from this number on were made with this end in mind, earlier ones without: the order of "
                "suggestions and results. In an adaptive sweep, decisions. Null in older rows and in an experiment."
            ),
        },
    ),
    "seeds": TableDoc(
        "One row per (trial, seed) that was trained to its end: what the leaderboard is made of.",
        "`<trial_id>-seed<seed>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "trial_id": ColumnDoc(_TRIAL_ID),
            "architecture": ColumnDoc("The model's registered name."),
            "seed": ColumnDoc(_SEED),
            "best_epoch": ColumnDoc("The epoch whose weights count, chosen on validation, from 1.", "epochs"),
            "epochs_trained": ColumnDoc("How many there were; fewer than planned after early stopping.", "epochs"),
            "validation_accuracy": ColumnDoc("Of the best epoch.", _SHARE),
            "validation_macro_f1": ColumnDoc("Of the best epoch; the mean over labels.", _SHARE),
            "test_accuracy": ColumnDoc("Scored once, with the best epoch's weights.", _SHARE),
            "test_macro_f1": ColumnDoc("Likewise; the mean over labels.", _SHARE),
            "test_auc": ColumnDoc(
                "Area under the ROC curve, one against the rest, mean over labels; null where one has no test clip.",
                _SHARE,
            ),
            "test_recall": ColumnDoc("Per label of the sweep; NaN for a label without a test clip.", _SHARE),
            "test_precision": ColumnDoc(
                "Per label; null for a label that was never predicted, and in older rows.", _SHARE
            ),
            "test_confusion": ColumnDoc("[true label][predicted label].", "clips"),
            "train_seconds": ColumnDoc(
                "Spent on training and validation of all its epochs; what a crash undid is not counted.", "s"
            ),
            "num_parameters": ColumnDoc("Of the model, frozen ones included."),
            "device": ColumnDoc("What it was trained on: `cpu`, or the GPU's name."),
            "validation_score": ColumnDoc(
                "What epochs are chosen by: accuracy, or macro ROC-AUC of several labels; null in older rows.", _SHARE
            ),
            "test_score": ColumnDoc("The same on test; null in older rows.", _SHARE),
            "scores": ColumnDoc(
                "All metrics: part → metric → number or null, JSON; `training/metrics.py` describes them."
            ),
            "events": ColumnDoc(
                "What a reader of the numbers should know, in words: memory ran out and the batch was halved …"
            ),
            "latency_ms": ColumnDoc(
                "Median of forward passes over one window, on the device and in the precision of the training; null "
                "where it is no objective of the sweep.",
                "ms",
            ),
        },
    ),
    "epochs": TableDoc(
        "One row per (trial, seed, epoch): learning curves.",
        "`<trial_id>-seed<seed>-epoch<epoch>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "trial_id": ColumnDoc(_TRIAL_ID),
            "architecture": ColumnDoc("The model's registered name."),
            "seed": ColumnDoc(_SEED),
            "epoch": ColumnDoc("Of this seed, from 1.", "epochs"),
            "seed_epoch": ColumnDoc("Of the trial, over all seeds so far: the scheduler's resource.", "epochs"),
            "objective": ColumnDoc(
                "What the scheduler compared: mean over the seeds begun of their best validation score so far.", _SHARE
            ),
            "train_loss": ColumnDoc("Mean over the epoch's batches."),
            "validation_loss": ColumnDoc("Mean over validation clips."),
            "validation_accuracy": ColumnDoc("On validation clips.", _SHARE),
            "validation_score": ColumnDoc("What epochs are chosen by; null in older rows.", _SHARE),
            "learning_rate": ColumnDoc("Of the epoch's last step."),
            "epoch_seconds": ColumnDoc("Of its training and validation, since it was last taken up.", "s"),
            "validation_kl": ColumnDoc(
                "Kullback-Leibler divergence from the labels' distribution, on validation; null in older rows.", "nats"
            ),
        },
    ),
    "predictions": TableDoc(
        "One row per (trial, seed, clip or window) of validation and test, for paired tests.",
        "`<trial_id>-seed<seed>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "trial_id": ColumnDoc(_TRIAL_ID),
            "seed": ColumnDoc(_SEED),
            "part": ColumnDoc("`validation` or `test`."),
            "clip_id": ColumnDoc("The clip, as in the features."),
            "label": ColumnDoc("Index of its label; of several, the one that the corpus names first."),
            "labels": ColumnDoc("Indices of all its labels; null in older rows."),
            "predicted": ColumnDoc("Index of the most probable label."),
            "probabilities": ColumnDoc("Per label; they sum to 1 only where a clip has one label.", _SHARE),
            "group": ColumnDoc("Speaker, recording or site, which never straddles a split; null in older rows."),
        },
    ),
    "failures": TableDoc(
        "One row per failure; a trial may fail, be tried again and finish.",
        "`<trial_id>-<failure_id>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "trial_id": ColumnDoc(_TRIAL_ID),
            "failure_id": ColumnDoc("Random; tells failures of one trial apart."),
            "reason": ColumnDoc("A short word that failures are counted by."),
            "detail": ColumnDoc("The message."),
            "failed_at": ColumnDoc("When it was recorded.", "UTC"),
        },
    ),
    "measurements": TableDoc(
        "One row per architecture and kind of node whose cost was measured before a search, for a sweep that leaves "
        "`gpus_per_trial` or `cpus_per_trial` to a measurement.",
        "`<hash of configuration_id and hardware>`",
        {
            "sweep_id": ColumnDoc(_SWEEP_ID),
            "architecture": ColumnDoc("The model's registered name."),
            "configuration_id": ColumnDoc(
                "Hash of the configuration that was measured: the default, but as large as any of the search; it need "
                "not be one of the sweep's trials."
            ),
            "device": ColumnDoc("What it trained on: `cpu` or `cuda`."),
            "hardware": ColumnDoc(
                "The kind of node, in words: its CPUs, its GPUs with their name, and how many trials the settings "
                "allowed at once, where that is fewer than it has room for."
            ),
            "total_bytes": ColumnDoc(
                "Memory of the GPU, or what Ray may reserve of the node's; 0 for unknown.", "bytes"
            ),
            "peak_bytes": ColumnDoc(
                "The most that one trial took of it: on a GPU with its context and its copy of the features, on CPUs "
                "without the features, which all trials of a node share.",
                "bytes",
            ),
            "cpus_each": ColumnDoc("CPUs that each trial could use; one entry per try, as in the next two columns."),
            "at_once": ColumnDoc("How many trials ran side by side."),
            "steps_per_second": ColumnDoc("Training steps of all of them together.", "1/s"),
            "cpus_per_trial": ColumnDoc(
                "CPUs that every trial of the architecture was given by it; null in rows of earlier versions."
            ),
            "gpus_per_trial": ColumnDoc("Likewise GPUs, or the part of one."),
            "measured_at": ColumnDoc("When it was measured.", "UTC"),
        },
    ),
}


def describe_table(table: str) -> str:
    """One table's columns in Markdown. Raises `InvalidInput` when there is no such table."""
    schema, doc = schema_of(table), TABLE_DOCS[table]
    lines = [f"### {table}", "", f"{doc.row} Commits are named {doc.commit}.", ""]
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for field in schema:
        column = doc.columns[field.name]
        lines.append(f"| `{field.name}` | {_type_in_words(field)} | {column.unit} | {column.meaning} |")
    return "\n".join(lines)


def describe_tables() -> str:
    """All tables in Markdown."""
    return "\n\n".join(describe_table(table) for table in TABLES) + "\n"


def _type_in_words(field: pa.Field) -> str:
    kind = "timestamp, µs" if pa.types.is_timestamp(field.type) else _plain(field.type)
    return f"{kind}, may be null" if field.nullable else kind


def _plain(kind: pa.DataType) -> str:
    names = {pa.float64(): "float64", pa.float32(): "float32"}
    return f"list of {_plain(kind.value_type)}" if pa.types.is_list(kind) else names.get(kind, str(kind))
