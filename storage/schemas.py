"""The columns of the results tables. Adding a column with a default is compatible; nothing else is."""

import pyarrow as pa

_STAMP = pa.timestamp("us", tz="UTC")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


# One row per sweep or experiment: what was asked for, on which data, with which versions.
SWEEPS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("dataset", pa.string()),
        _required("fingerprint", pa.string()),
        _required("split_hash", pa.string()),
        _required("split_policy", pa.string()),
        _required("labels", pa.list_(pa.string())),  # index in every other table = position here
        _required("settings", pa.string()),  # the whole resolved configuration, JSON
        _required("versions", pa.string()),  # packages, Python and machine, JSON
        _required("started_at", _STAMP),
        pa.field("kind", pa.string()),  # sweep (null: likewise), experiment, confirmation or audit; see schema_docs.py
        pa.field("protocol", pa.string()),  # honest (null: likewise), or literature: epochs chosen on test
        pa.field("of_sweep", pa.string()),  # the sweep that this confirmation or audit belongs to
        pa.field("identity", pa.string()),  # all that a sweep's id is the hash of, JSON; null in older rows
    ]
)

# One row per extension of a sweep: configurations that were added to what its settings plan.
EXTENSIONS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("extend", pa.int32()),  # in all, per architecture; the largest counts
        _required("extended_at", _STAMP),
    ]
)

# One row per trial of an earlier sweep that a sweep was started with, fixed when it began.
WARM_STARTS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("place", pa.int32()),  # 0, 1, 2 … in the order in which they are told
        _required("of_sweep", pa.string()),
        _required("of_trial", pa.string()),
        _required("architecture", pa.string()),
        _required("state", pa.string()),  # finished or stopped
        _required("objective", pa.float64()),
        _required("parameters", pa.string()),  # values of what the new sweep searches, JSON
        _required("curve", pa.string()),  # seed-epoch → objective, JSON
    ]
)

# One row per planned trial, written before it starts: the recorded order of suggestions.
SUGGESTIONS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("trial_id", pa.string()),
        _required("number", pa.int32()),  # 0, 1, 2 … in the whole sweep
        _required("architecture", pa.string()),
        _required("parameters", pa.string()),  # what the searcher chose, JSON
        _required("distributions", pa.string()),  # name → Optuna distribution, JSON
        _required("configuration", pa.string()),  # the whole TrialConfig, JSON
        _required("untuned_default", pa.bool_()),  # the architecture's default, with nothing chosen by the searcher
        pa.field("fold", pa.int32()),  # that is tested on, in an experiment or a confirmation over folds
        pa.field("of_trial", pa.string()),  # the trial of the sweep whose configuration this is
    ]
)

# One row per trial that has ended.
TRIALS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("trial_id", pa.string()),
        _required("number", pa.int32()),
        _required("architecture", pa.string()),
        _required("state", pa.string()),  # finished: all seeds complete; stopped: by the scheduler; failed
        _required("seed_epochs", pa.int32()),  # where it ended, over all seeds; a seed ended early counts in full
        pa.field("objective", pa.float64()),  # mean of its seeds' best validation scores; null if failed at once
        _required("ended_at", _STAMP),
        pa.field("known_from", pa.int32()),  # number of the first suggestion made with this end in mind
    ]
)

# One row per decision of a sweep that allots its budget step by step (sweeps/allocation).
DECISIONS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("decision", pa.int32()),  # counted from 0 in the sweep
        _required("trial_id", pa.string()),  # void if it was never suggested
        _required("seed", pa.int64()),
        _required("until", pa.int32()),  # the seed-epoch to which the trial is trained
        pa.field("rate", pa.float64()),  # expected rise of the best mean per epoch; null for opening steps
        _required("decided_at", _STAMP),
        pa.field("heard", pa.string()),  # trial → seed-epoch of those on their way, as far as was known, JSON
    ]
)

# One row per (trial, seed) that was trained to its end: what the leaderboard is made of.
SEEDS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("trial_id", pa.string()),
        _required("architecture", pa.string()),
        _required("seed", pa.int64()),
        _required("best_epoch", pa.int32()),  # chosen on validation, counted from 1
        _required("epochs_trained", pa.int32()),
        _required("validation_accuracy", pa.float64()),
        _required("validation_macro_f1", pa.float64()),
        _required("test_accuracy", pa.float64()),
        _required("test_macro_f1", pa.float64()),
        pa.field("test_auc", pa.float64()),  # one-vs-rest, macro; null where a class has no test clip
        _required("test_recall", pa.list_(pa.float64())),  # per label of the sweep; NaN without a test clip
        pa.field("test_precision", pa.list_(pa.float64())),  # likewise; null where it was never predicted
        _required("test_confusion", pa.list_(pa.list_(pa.int64()))),  # [true label][predicted label]
        _required("train_seconds", pa.float64()),
        _required("num_parameters", pa.int64()),
        _required("device", pa.string()),
        pa.field("validation_score", pa.float64()),  # accuracy, or macro ROC-AUC of several labels
        pa.field("test_score", pa.float64()),
        pa.field("scores", pa.string()),  # part → metric → number or null, JSON; training/metrics.py describes them
        pa.field("events", pa.list_(pa.string())),  # what a reader of the numbers should know: memory ran out …
        pa.field("latency_ms", pa.float64()),  # median of forward passes over one window; null where it is no objective
    ]
)

# One row per (trial, seed, epoch), epochs counted from 1.
EPOCHS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("trial_id", pa.string()),
        _required("architecture", pa.string()),
        _required("seed", pa.int64()),
        _required("epoch", pa.int32()),
        _required("seed_epoch", pa.int32()),  # epochs so far, over all seeds: the scheduler's resource
        _required("objective", pa.float64()),  # what the scheduler compared
        _required("train_loss", pa.float64()),
        _required("validation_loss", pa.float64()),
        _required("validation_accuracy", pa.float64()),
        pa.field("validation_score", pa.float64()),  # accuracy, or macro ROC-AUC of several labels
        _required("learning_rate", pa.float64()),  # of the epoch's last step
        _required("epoch_seconds", pa.float64()),
        pa.field("validation_kl", pa.float64()),  # mean Kullback-Leibler divergence; chooses epochs where asked to
    ]
)

# One row per (trial, seed, clip) of validation and test, so that paired tests are possible.
PREDICTIONS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("trial_id", pa.string()),
        _required("seed", pa.int64()),
        _required("part", pa.string()),
        _required("clip_id", pa.string()),
        _required("label", pa.int32()),  # the one that the corpus names first
        pa.field("labels", pa.list_(pa.int32())),  # all of them
        _required("predicted", pa.int32()),
        _required("probabilities", pa.list_(pa.float32())),
        pa.field("group", pa.string()),  # speaker, recording, site: for scores by group
    ]
)

# One row per failure; a trial may fail, be tried again and finish.
FAILURES = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("trial_id", pa.string()),
        _required("failure_id", pa.string()),
        _required("reason", pa.string()),
        _required("detail", pa.string()),
        _required("failed_at", _STAMP),
    ]
)

# One row per architecture and kind of node whose cost was measured before a search (sweeps/placement.py).
MEASUREMENTS = pa.schema(
    [
        _required("sweep_id", pa.string()),
        _required("architecture", pa.string()),
        _required("configuration_id", pa.string()),  # a trial_id; the largest configuration, not one of the sweep's
        _required("device", pa.string()),  # cpu or cuda
        _required("hardware", pa.string()),  # the kind of node, in words
        _required("total_bytes", pa.int64()),  # of the GPU, or of the node; 0 for unknown
        _required("peak_bytes", pa.int64()),  # what one trial takes of it
        _required("cpus_each", pa.list_(pa.float64())),  # one entry per try, as in the next two
        _required("at_once", pa.list_(pa.int32())),  # trials side by side
        _required("steps_per_second", pa.list_(pa.float64())),  # of all of them together
        pa.field("cpus_per_trial", pa.float64()),  # that a trial was given by it; null: an earlier version wrote this
        pa.field("gpus_per_trial", pa.float64()),
        _required("measured_at", _STAMP),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "sweeps": SWEEPS,
    "extensions": EXTENSIONS,
    "warm_starts": WARM_STARTS,
    "suggestions": SUGGESTIONS,
    "decisions": DECISIONS,
    "trials": TRIALS,
    "seeds": SEEDS,
    "epochs": EPOCHS,
    "predictions": PREDICTIONS,
    "failures": FAILURES,
    "measurements": MEASUREMENTS,
}
