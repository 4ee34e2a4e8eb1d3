"""Trains every fold of an experiment, or what an earlier process left of it.

Enters: a plan, features and splits at rest, a store and an initialised Ray. Leaves: rows in the results table, as of a
sweep, and the embeddings of every fold's test clips. Folds are Ray tasks: as many at a time as the cluster holds.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import ray
from ray.util.queue import Queue

from storage.checkpoints import Checkpoints
from storage.features import Features
from storage.object_store import ObjectStore
from storage.out_of_fold import save_embeddings
from storage.results_table import ResultsTable
from storage.split import Split
from sweeps.experiment import ExperimentPlan
from sweeps.ledger import Ledger, Suggestion
from sweeps.resources import trial_resources
from sweeps.trial_actor import EpochNews, FailedTraining, TrialContext, checkpoint_prefix, train_recorded
from training import SeedResult, TrialData, TrialResult, load_trial_data
from training.fuse_choice import FuseSeeds

_LISTEN_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentOutcome:
    """What this process found and did: folds that were complete before, that it completed, and that failed.

    Attributes:
        failed: fold → why, in a line; training failed, or its process died too often. The latter are open: the same
            call tries them again.
    """

    num_found: int
    num_run: int
    failed: Mapping[int, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldNews:
    """An epoch of a fold, as told while it trains."""

    fold: int
    news: EpochNews


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedNews:
    """A seed of a fold is trained to its end; without its weights and embeddings, which lie in the store."""

    fold: int
    result: SeedResult


def run_experiment(
    plan: ExperimentPlan,
    features: Features,
    splits: Mapping[int, Split],
    store: ObjectStore,
    *,
    folder: str,
    sweep_row: Mapping[str, Any],
    feature_spec: Mapping[str, Any] | None = None,
    on_news: Callable[[FoldNews | SeedNews], None] = lambda news: None,
    embedded: Mapping[int, TrialData] = MappingProxyType({}),
) -> ExperimentOutcome:
    """Trains and records every fold that is not complete.

    Args:
        features: of all clips; they travel once to every node.
        folder: of the experiment in the store.
        feature_spec: of the features, field by field, for the cards of the models; None where none are kept.
        sweep_row: the remaining columns of the `sweeps` table, recorded once.
        on_news: hears of every epoch and every seed that is in the results table, of a resumed fold's last ones again.
        embedded: fold → its data with embeddings (`embeddings.embed_folds`), where it trains its head alone.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
    """
    num_cpus, num_gpus = trial_resources(plan.settings, device=plan.device, section="train")
    ledger = Ledger(ResultsTable(store), plan.experiment_id)
    ledger.start({"kind": "experiment", **sweep_row})
    for suggestion in plan.suggestions():
        ledger.suggest(suggestion)
    records = ledger.records()
    todo = [record.suggestion for record in records if record.state is None]
    failed = {_fold(record.suggestion): "training failed before" for record in records if record.state == "failed"}
    num_failed_before = len(failed)
    if todo:
        shared = ray.put(features)
        place = _Place(
            experiment_id=plan.experiment_id,
            folder=folder,
            store=store,
            feature_spec=None if plan.settings.keep_models == "none" else feature_spec,
            fuse_seeds=plan.fuse_seeds,
        )
        task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=plan.settings.max_failures)(_train_fold)

        def start(suggestion: Suggestion, queue: Queue) -> ray.ObjectRef:
            fold = _fold(suggestion)
            return task.remote(suggestion, shared, splits[fold], place, queue, ray.put(embedded.get(fold)))

        at_a_time = plan.settings.max_concurrent_trials or len(todo)
        for suggestion, reference in _ended(todo, start, at_a_time=at_a_time, on_news=on_news):
            reason = _record_end(reference, suggestion, ledger, store)
            if reason:
                failed[_fold(suggestion)] = reason
    num_run = len(todo) - (len(failed) - num_failed_before)
    return ExperimentOutcome(num_found=len(records) - len(todo) - num_failed_before, num_run=num_run, failed=failed)


def _ended(
    todo: Sequence[Suggestion],
    start: Callable[[Suggestion, Queue], ray.ObjectRef],
    *,
    at_a_time: int,
    on_news: Callable[[FoldNews | SeedNews], None],
) -> Iterator[tuple[Suggestion, ray.ObjectRef]]:
    """Starts folds, passes on what they tell, and yields each one as it ends."""
    queue = Queue(actor_options={"num_cpus": 0})
    waiting, running = list(todo), dict[ray.ObjectRef, Suggestion]()
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                suggestion = waiting.pop(0)
                running[start(suggestion, queue)] = suggestion
            done, _ = ray.wait(list(running), timeout=_LISTEN_S)
            for news in queue.get_nowait_batch(queue.qsize()):  # a fold tells its last epoch before it ends
                on_news(news)
            for reference in done:
                yield running.pop(reference), reference
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        queue.shutdown(force=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a fold's results go."""

    experiment_id: str
    folder: str
    store: ObjectStore
    feature_spec: Mapping[str, Any] | None
    fuse_seeds: FuseSeeds


def _train_fold(
    suggestion: Suggestion,
    features: Features,
    split: Split,
    place: _Place,
    queue: Queue,
    embedded: TrialData | None,
) -> TrialResult | FailedTraining:
    """Runs in a Ray worker."""
    fold = _fold(suggestion)
    context = TrialContext(
        sweep_id=place.experiment_id,
        store=place.store,
        data=load_trial_data(features, split) if embedded is None else embedded,
        feature_spec=place.feature_spec,
    )

    def on_seed(result: SeedResult) -> None:
        save_embeddings(
            place.store,
            place.folder,
            fold=fold,
            seed=result.seed,
            clip_ids=result.test.clip_ids,
            embeddings=result.test_embeddings,
        )
        nothing = np.empty((0, 0), np.float32)
        queue.put(SeedNews(fold=fold, result=dataclasses.replace(result, best_weights={}, test_embeddings=nothing)))

    def hear(news: EpochNews) -> None:
        queue.put(FoldNews(fold=fold, news=news))

    ended = train_recorded(suggestion.config, context, hear, on_seed, fuse_seeds=place.fuse_seeds)
    # The results are in the table; weights and predictions need not travel.
    return ended if isinstance(ended, FailedTraining) else dataclasses.replace(ended, seeds=())


def _record_end(reference: ray.ObjectRef, suggestion: Suggestion, ledger: Ledger, store: ObjectStore) -> str | None:
    """Records how a fold ended and removes the checkpoints of a finished one. Returns why it failed, if it did."""
    trial_id = suggestion.config.trial_id
    try:
        ended = ray.get(reference)
    except ray.exceptions.RayError as e:  # the fold stays open, and the same command tries it again
        ledger.failure(trial_id, reason="gave_up", detail=f"{type(e).__name__}: {e}")
        return str(e.cause if isinstance(e, ray.exceptions.RayTaskError) else e).strip().splitlines()[-1]
    if isinstance(ended, FailedTraining):
        ledger.end(suggestion, state="failed", seed_epochs=0, objective=None)
    else:
        ledger.end(suggestion, state="finished", seed_epochs=ended.seed_epochs, objective=ended.objective)
    if isinstance(ended, FailedTraining):  # the checkpoint of its last healthy epoch stays
        return f"{ended.reason}: {ended.detail}"
    Checkpoints(store, checkpoint_prefix(ledger.sweep_id, trial_id)).delete_all()
    return None


def _fold(suggestion: Suggestion) -> int:
    assert suggestion.fold is not None
    return suggestion.fold
