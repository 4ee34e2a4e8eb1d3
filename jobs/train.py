"""One configuration, cross-validated: recordings → features → folds × seeds → scores, predictions and a report.

python jobs/train.py preset=s1 data.root=<ESC-50 tree>
python jobs/train.py data.root=<ESC-50 tree> train.architecture=cnn folds.test_folds=[1,2] train.trial.batch_size=32
python jobs/train.py --smoke data.root=<ESC-50 tree>

Every experiment has a number; running the same command again resumes it. Its predictions and embeddings of clips that
the model has not seen lie in the store under experiments/<number>/, its scores in the results table. While it trains,
`tensorboard --logdir workspace/logs` shows it; log.kinds=[tensorboard,wandb,mlflow] tells others, too.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.session import ray_session
from jobs.console import Tell, progress, run_job, say
from jobs.settings import JobSettings, parse_settings, usage
from jobs.stages import find_recordings, make_features, open_checked_store, print_scores, versions, write_report
from pipelines.folds import draw_folds
from storage.experiments import experiment_folder, experiment_number
from storage.model_file import model_key
from storage.object_store import ObjectStore
from storage.out_of_fold import out_of_fold
from storage.split import PARTS, Split, save_split
from sweeps import ExperimentPlan, run_experiment
from sweeps.configurations import with_weights_hash
from sweeps.embeddings import embed_folds
from sweeps.loggers import RunInfo, RunLogger, open_logger
from sweeps.pooled_scores import mean_scores, pooled_evaluations
from sweeps.resources import choose_device
from sweeps.run_experiment import ExperimentOutcome, FoldNews, SeedNews

# What --smoke changes: sizes, nothing else.
SMOKE = ("train.epochs=2", "train.seeds=[42]")
_NUM_SMOKE_FOLDS = 1


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_train, argv, usage=usage(__doc__, JobSettings))


def _train(words: Sequence[str]) -> int:
    settings = parse_settings(JobSettings, words, smoke=SMOKE)
    trial = with_weights_hash(settings.train.trial)
    settings = dataclasses.replace(settings, train=dataclasses.replace(settings.train, trial=trial))
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
    plan.check(feature_shape=settings.features.feature_shape)
    store = open_checked_store(settings.storage)
    with ray_session(address=settings.cluster.address, num_cpus=settings.cluster.num_cpus):
        plan = dataclasses.replace(plan, device=choose_device(settings.train))
        stored = make_features(manifest, settings, store).features
        features = stored.load()
        for fold, split in splits.items():
            save_split(store, split)
            say(f"fold {fold}: {_counts(split)} clips, split {split.split_hash}")
        number = experiment_number(store, plan.experiment_id, about={"settings": dataclasses.asdict(settings)})
        labels = sorted({label for of_clip in features.labels for label in of_clip})
        row = _sweep_row(settings, plan, splits, labels)
        say(f"experiment {number:04d}, {plan.experiment_id}: {_what(plan)}")
        with progress("embed, rows") as tell_rows:
            embedded = embed_folds(plan, features, stored, splits, on_progress=lambda *rows: tell_rows(*rows))
        with progress("train, seed-epochs") as tell, _logged(plan, settings, number) as logger:
            outcome = run_experiment(
                plan,
                features,
                splits,
                store,
                folder=experiment_folder(number),
                sweep_row=row,
                feature_spec=dataclasses.asdict(settings.features),
                on_news=_Watch(plan, tell, logger),
                embedded=embedded,
            )
    return _conclude(plan, outcome, store, number, settings, num_labels=len(labels))


@contextlib.contextmanager
def _logged(plan: ExperimentPlan, settings: JobSettings, number: int) -> Iterator[RunLogger]:
    """TensorBoard's log and the others that are asked for, for the length of the run."""
    logger = open_logger(settings.log, say=say)
    configuration = plan.trial_config(plan.folds[0]).to_dict()
    name = f"{number:04d}-{plan.settings.name}"
    logger.start(RunInfo(run_id=plan.experiment_id, name=name, group=plan.settings.name, configuration=configuration))
    try:
        yield logger
    except BaseException:
        logger.end("failed")
        raise
    logger.end("finished")


class _Watch:
    """Counts seed-epochs over all folds, shows the newest, and tells the logs."""

    def __init__(self, plan: ExperimentPlan, tell: Tell, logger: RunLogger) -> None:
        self._of_fold: dict[int, int] = {}
        self._total = len(plan.folds) * len(plan.settings.seeds) * plan.settings.epochs
        self._tell, self._logger = tell, logger

    def __call__(self, heard: FoldNews | SeedNews) -> None:
        if isinstance(heard, SeedNews):
            self._logger.seed(fold=heard.fold, result=heard.result)
            return
        news, metrics = heard.news, heard.news.metrics
        self._logger.epoch(seed=news.seed, fold=heard.fold, metrics=metrics)
        self._of_fold[heard.fold] = news.seed_epoch
        text = (
            f"fold {heard.fold} seed {news.seed} epoch {metrics.epoch}: loss {metrics.train_loss:.3f}, "
            f"validation {metrics.validation_score:.3f}"
        )
        self._tell(sum(self._of_fold.values()), self._total, text)


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
    for fold, reason in outcome.failed.items():
        say(f"fold {fold} failed: {reason}")
    sweep, path = write_report(store, plan.experiment_id, settings.report)
    print_scores(sweep)
    if not outcome.failed:
        _keep_out_of_fold(plan, store, number, num_labels=num_labels)
    key = model_key(plan.experiment_id, plan.trial_config(plan.folds[0]).trial_id, plan.settings.seeds[0])
    if store.size_bytes(key) is not None:
        say(f"to use a model: python jobs/predict.py storage.uri={store.uri} model={key} files=<file or folder>")
    say(f"report: {path}")
    return 1 if outcome.failed else 0


def _keep_out_of_fold(plan: ExperimentPlan, store: ObjectStore, number: int, *, num_labels: int) -> None:
    """Stores predictions and embeddings of all folds, and says how all test clips together were answered."""
    folder = experiment_folder(number)
    table = out_of_fold(store, plan.experiment_id, plan.fold_trials(), folder=folder)
    is_multi_label = any(len(labels) > 1 for labels in table["labels"].to_pylist())
    pooled = mean_scores(pooled_evaluations(table, num_labels=num_labels, is_multi_label=is_multi_label))
    store.put_if_absent(f"{folder}/scores.json", json.dumps(pooled, sort_keys=True, indent=1).encode())
    told = [f"{name} {mean:.3f}{_deviation(deviation)}" for name, (mean, deviation) in pooled.items()]
    say(f"out of fold, all test clips together: {', '.join(told)}")
    say(f"predictions and embeddings: {store.uri}/{folder}/out_of_fold.parquet")


def _deviation(value: float | None) -> str:
    return "" if value is None else f" ± {value:.3f}"


def _sweep_row(
    settings: JobSettings, plan: ExperimentPlan, splits: Mapping[int, Split], labels: list[str]
) -> dict[str, Any]:
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
