"""One configuration, cross-validated: recordings → features → folds × seeds → scores, predictions and a report.

python jobs/train.py preset=s1 data.root=<ESC-50 tree>
python jobs/train.py data.root=<ESC-50 tree> train.architecture=cnn folds.test_folds=[1,2] train.trial.batch_size=32
python jobs/train.py --smoke data.root=<ESC-50 tree>

Every experiment has a number (jobs/experiments.py lists them); running the same command again resumes it. Its
predictions and embeddings of clips that the model has not seen lie in the store under experiments/<number>/, its
scores in the results table. While it trains, `tensorboard --logdir workspace/logs` shows it;
log.kinds=[tensorboard,wandb,mlflow] tells others, too.
"""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.session import ray_session
from jobs.command_line import parse_settings, usage
from jobs.console import Tell, lines_of_progress, progress, run_job, say
from jobs.other_jobs import NOT_OF_TRAIN
from jobs.seed_epochs import SeedEpochs
from jobs.settings import JobSettings
from jobs.stages import find_recordings, make_features, open_checked_store, print_scores, versions, write_report
from pipelines.folds import draw_folds
from storage.experiments import experiment_folder, experiment_number
from storage.feature_store import FeatureStore
from storage.model_file import model_key
from storage.object_store import ObjectStore
from storage.out_of_fold import out_of_fold
from storage.split import PARTS, Split, save_split
from sweeps import ExperimentPlan, run_experiment
from sweeps.configurations import check_labels, check_published_weights, with_weights_hash
from sweeps.embeddings import embed_folds
from sweeps.loggers import RunInfo, RunLogger, open_logger
from sweeps.loggers.run_logger import RunState
from sweeps.news import FoldNews, News, SeedNews
from sweeps.pooled_scores import mean_scores, pooled_evaluations, scores_json
from sweeps.resources import choose_device, trial_resources
from sweeps.run_experiment import ExperimentOutcome
from training import TrialData
from training.embeddings import can_train_head

# What --smoke changes: sizes, nothing else.
SMOKE = ("train.epochs=2", "train.seeds=[42]")
_NUM_SMOKE_FOLDS = 1

Splits = Mapping[int, Split]


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_train, argv, usage=usage(__doc__, JobSettings))


def _train(words: Sequence[str]) -> int:
    settings = parse_settings(JobSettings, words, smoke=SMOKE, not_used=NOT_OF_TRAIN)
    trial = with_weights_hash(settings.train.trial)
    settings = dataclasses.replace(settings, train=dataclasses.replace(settings.train, trial=trial))
    lines_of_progress(every_s=settings.log.line_every_s)
    manifest = find_recordings(settings)
    splits = draw_folds(manifest, settings.folds)
    if "--smoke" in words:
        splits = dict(list(splits.items())[:_NUM_SMOKE_FOLDS])
    plan = ExperimentPlan(
        settings=settings.train,
        dataset=manifest.dataset,
        fingerprint=settings.features.fingerprint,
        split_hashes={fold: split.split_hash for fold, split in splits.items()},
        device="cpu",
    )
    # What can be known now is told now, and not after hours of featurizing.
    plan.check(feature_shape=settings.features.feature_shape)
    _check_labels(plan, splits, {clip.clip_id: clip.labels for clip in manifest.clips})
    check_published_weights(plan.trial_config(plan.folds[0]))
    logger = open_logger(settings.log, say=say)
    store = open_checked_store(settings.storage)
    with ray_session(address=settings.cluster.address, num_cpus=settings.cluster.num_cpus):
        plan = dataclasses.replace(plan, device=choose_device(settings.train))
        trial_resources(settings.train, device=plan.device, section="train")
        features = make_features(manifest, settings, store).features
        plan = dataclasses.replace(plan, quarantine_hash=features.quarantine_hash())
        labels_of_clip = _labels(features)
        _check_labels(plan, splits, labels_of_clip)  # of clips that have features
        labels = sorted({label for labels in labels_of_clip.values() for label in labels})
        number = _begin(plan, splits, store, settings)
        run = functools.partial(_cross_validate, plan, features, splits, number, settings, labels, logger)
        outcome = _logged(run, logger, plan, number)
    return _conclude(plan, outcome, store, number, settings, num_labels=len(labels))


def _check_labels(plan: ExperimentPlan, splits: Splits, labels_of_clip: Mapping[str, Sequence[str]]) -> None:
    for fold, split in splits.items():
        check_labels(labels_of_clip, split, plan.trial_config(fold), section="train", where=f" of fold {fold}")


def _labels(features: FeatureStore) -> dict[str, list[str]]:
    """clip_id → labels, of the clips that have features."""
    rows = features.read(columns=["clip_id", "labels"])
    return dict(zip(rows.column("clip_id").to_pylist(), rows.column("labels").to_pylist(), strict=True))


def _begin(plan: ExperimentPlan, splits: Splits, store: ObjectStore, settings: JobSettings) -> int:
    """Stores the splits and takes the experiment's number."""
    for fold, split in splits.items():
        save_split(store, split)
        say(f"fold {fold}: {_counts(split)} clips, split {split.split_hash}")
    number = experiment_number(store, plan.experiment_id, about={"settings": dataclasses.asdict(settings)})
    say(f"experiment {number:04d}, {plan.experiment_id}: {_what(plan)}")
    return number


def _cross_validate(
    plan: ExperimentPlan,
    features: FeatureStore,
    splits: Splits,
    number: int,
    settings: JobSettings,
    labels: list[str],
    logger: RunLogger,
) -> ExperimentOutcome:
    embedded = _embed(plan, features, splits)
    with progress("train, seed-epochs") as tell:
        return run_experiment(
            plan,
            features.load,
            splits,
            features.store,
            folder=experiment_folder(number),
            sweep_row=_sweep_row(settings, plan, splits, labels),
            feature_spec=dataclasses.asdict(settings.features),
            on_news=_Watch(plan, tell, logger),
            embedded=embedded,
        )


def _embed(plan: ExperimentPlan, features: FeatureStore, splits: Splits) -> dict[int, TrialData]:
    """Runs a frozen backbone once. The log-mels are in memory only while it does."""
    if all(can_train_head(plan.trial_config(fold)) is not None for fold in plan.folds):
        return {}
    with progress("embed, rows") as tell:
        return embed_folds(plan, features.load(), features, splits, on_progress=lambda *rows: tell(*rows))


def _logged(
    run: Callable[[], ExperimentOutcome], logger: RunLogger, plan: ExperimentPlan, number: int
) -> ExperimentOutcome:
    """Tells TensorBoard's log, and the others that are asked for, how the run begins and ends."""
    configuration = plan.trial_config(plan.folds[0]).to_dict()
    name = f"{number:04d}-{plan.settings.name}"
    logger.start(RunInfo(run_id=plan.experiment_id, name=name, group=plan.settings.name, configuration=configuration))
    state: RunState = "failed"
    try:
        outcome = run()
        state = "failed" if outcome.failed else "finished"
        return outcome
    except (KeyboardInterrupt, SystemExit):  # by Ctrl-C, or by SIGTERM (`jobs/console.py`)
        state = "stopped"
        raise
    finally:
        logger.end(state)


class _Watch:
    """Shows how far all folds have come, and tells the logs."""

    def __init__(self, plan: ExperimentPlan, tell: Tell, logger: RunLogger) -> None:
        names = {suggestion.number: f"fold {suggestion.fold}" for suggestion in plan.suggestions()}
        self._seed_epochs = SeedEpochs(tell, names, per_trial=len(plan.settings.seeds) * plan.settings.epochs)
        self._logger = logger

    def __call__(self, heard: News) -> None:
        if isinstance(heard, SeedNews):
            self._logger.seed(fold=heard.fold, result=heard.result)
        elif isinstance(heard, FoldNews):
            self._logger.epoch(seed=heard.news.seed, fold=heard.fold, metrics=heard.news.metrics)
        self._seed_epochs(heard)


def _conclude(
    plan: ExperimentPlan,
    outcome: ExperimentOutcome,
    store: ObjectStore,
    number: int,
    settings: JobSettings,
    *,
    num_labels: int,
) -> int:
    say(f"experiment {number:04d}: {outcome.num_run} folds trained now, {outcome.num_found} found")
    for fold, reason in sorted(outcome.failed.items()):
        say(f"fold {fold} failed: {reason}")
    sweep, path = write_report(store, plan.experiment_id, settings.report)
    print_scores(sweep)
    if not outcome.failed:
        _keep_out_of_fold(plan, store, number, settings, num_labels=num_labels)
    key = model_key(plan.experiment_id, plan.trial_config(plan.folds[0]).trial_id, plan.settings.seeds[0])
    if store.size_bytes(key) is not None:
        say(f"to use a model: python jobs/predict.py storage.uri={store.uri} model={key} files=<file or folder>")
    say(f"report: {path}")
    return 1 if outcome.failed else 0


def _keep_out_of_fold(
    plan: ExperimentPlan, store: ObjectStore, number: int, settings: JobSettings, *, num_labels: int
) -> None:
    """Stores predictions and embeddings of all folds, and says how all test clips together were answered."""
    folder = experiment_folder(number)
    table = out_of_fold(store, plan.experiment_id, plan.fold_trials(), folder=folder)
    is_multi_label = any(len(labels) > 1 for labels in table["labels"].to_pylist())
    evaluations = pooled_evaluations(table, num_labels=num_labels, is_multi_label=is_multi_label)
    store.put_if_absent(f"{folder}/scores.json", scores_json(evaluations).encode())
    pooled = mean_scores(evaluations)
    told = [f"{name} {mean:.3f}{_deviation(deviation)}" for name, (mean, deviation) in pooled.items()]
    is_literature = settings.folds.protocol == "literature"
    caveat = " (protocol literature: too good by the choice of epochs)" if is_literature else ""
    say(f"out of fold, all test clips together{caveat}: {', '.join(told)}")
    say(f"predictions and embeddings: {store.uri}/{folder}/out_of_fold.parquet")


def _deviation(value: float | None) -> str:
    return "" if value is None else f" ± {value:.3f}"


def _sweep_row(settings: JobSettings, plan: ExperimentPlan, splits: Splits, labels: list[str]) -> dict[str, Any]:
    return {
        "dataset": plan.dataset,
        "fingerprint": plan.fingerprint,
        "split_hash": ", ".join(plan.split_hashes[fold] for fold in plan.folds),
        "split_policy": "; ".join(splits[fold].policy for fold in plan.folds),
        "labels": labels,
        "settings": json.dumps(dataclasses.asdict(settings)),
        "versions": json.dumps(versions()),
        "protocol": settings.folds.protocol,
    }


def _what(plan: ExperimentPlan) -> str:
    settings = plan.settings
    size = f"{len(plan.folds)} folds × {len(settings.seeds)} seeds × {settings.epochs} epochs"
    return f"{settings.architecture}, {size} on {plan.device}"


def _counts(split: Split) -> str:
    return " / ".join(str(len(split.clip_ids(part))) for part in PARTS)


if __name__ == "__main__":
    sys.exit(main())
