"""Trains every fold of an experiment, or what an earlier process left of it.

Enters: a plan, features and splits at rest, a store and an initialised Ray. Leaves: rows in the results table, as of a
sweep, and the embeddings of every fold's test clips. Folds are Ray tasks: as many at a time as the cluster holds.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import ray

from storage.checkpoints import Checkpoints
from storage.features import Features
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.split import Split
from sweeps.experiment import ExperimentPlan
from sweeps.fold_task import FoldStarter, Place, Turn, fold_of, put_down
from sweeps.ledger import Ledger, Suggestion, TrialRecord
from sweeps.news import FoldEnded, News, NewsQueue
from sweeps.resources import trial_resources
from sweeps.trial_actor import FailedTraining, checkpoint_prefix
from training import TrialData
from training.steps import OutOfMemory

_LISTEN_S = 0.5
_PUT_DOWN_S = 10.0  # for a checkpoint, when the driver ends; `ray job stop` itself waits 3 s after SIGTERM


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentOutcome:
    """What this process found and did: folds that were complete before, that it completed, and that failed.

    Attributes:
        failed: fold → why, in a line; training failed, its process died too often, or memory ran out. The last two are
            open: the same call tries them again.
    """

    num_found: int
    num_run: int
    failed: Mapping[int, str]


def run_experiment(
    plan: ExperimentPlan,
    load_features: Callable[[], Features],
    splits: Mapping[int, Split],
    store: ObjectStore,
    *,
    folder: str,
    sweep_row: Mapping[str, Any],
    feature_spec: Mapping[str, Any] | None = None,
    on_news: Callable[[News], None] = lambda news: None,
    embedded: Mapping[int, TrialData] = MappingProxyType({}),
) -> ExperimentOutcome:
    """Trains and records every fold that is not complete.

    Args:
        load_features: reads those of all clips, if any fold needs them; they travel once to every node, and the driver
            keeps none.
        folder: of the experiment in the store.
        feature_spec: of the features, field by field, for the cards of the models; None where none are kept.
        sweep_row: the remaining columns of the `sweeps` table, recorded once.
        on_news: hears of folds that have ended before; then of every epoch, seed and fold that is in the results table,
            of a resumed fold's last ones again.
        embedded: fold → its data with embeddings (`embeddings.embed_folds`), where it trains its head alone.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
    """
    num_cpus, num_gpus = trial_resources(plan.settings, device=plan.device, section="train")
    ledger = Ledger(ResultsTable(store), plan.experiment_id)
    records = _planned(plan, ledger, sweep_row)
    ended = [record for record in records if record.state is not None]
    for record in ended:  # a process that died between a fold's row and its clean-up left checkpoints behind
        if record.state == "finished":  # that of a failed one's last healthy epoch stays
            _delete_checkpoints(ledger, record.suggestion)
        on_news(FoldEnded(fold=fold_of(record.suggestion)))
    waiting = [Turn(suggestion=record.suggestion, num_gpus=num_gpus) for record in records if record.state is None]
    num_waiting = len(waiting)
    starter = FoldStarter(
        place=Place(
            experiment_id=plan.experiment_id,
            folder=folder,
            store=store,
            feature_spec=None if plan.settings.keep_models == "none" else feature_spec,
            fuse_seeds=plan.fuse_seeds,
        ),
        splits=splits,
        log_mels=_shared(waiting, embedded, load_features),
        embedded=embedded,
        num_cpus=num_cpus,
        max_failures=plan.settings.max_failures,
    )
    failed_now = train_folds(waiting, starter, ledger, plan.settings.max_concurrent_trials or num_waiting, on_news)
    before = {fold_of(record.suggestion): "training failed before" for record in ended if record.state == "failed"}
    return ExperimentOutcome(
        num_found=len(ended) - len(before),
        num_run=num_waiting - len(failed_now),
        failed={**before, **failed_now},
    )


class Starter(Protocol):
    """Starts folds: `fold_task.FoldStarter`."""

    def start(self, turn: Turn, queue: NewsQueue) -> ray.ObjectRef:
        """Returns at once; the reference is to a `TrialResult` or a `FailedTraining`."""
        ...


def _planned(plan: ExperimentPlan, ledger: Ledger, sweep_row: Mapping[str, Any]) -> list[TrialRecord]:
    """Records the experiment and its folds, and reads what became of them."""
    ledger.start({"kind": "experiment", **sweep_row})
    for suggestion in plan.suggestions():
        ledger.suggest(suggestion)
    return ledger.records()


def _shared(
    waiting: Sequence[Turn], embedded: Mapping[int, TrialData], load_features: Callable[[], Features]
) -> ray.ObjectRef | None:
    """The features in Ray's object store, and nowhere else; None where no fold needs them."""
    return ray.put(load_features()) if any(turn.fold not in embedded for turn in waiting) else None


def train_folds(
    waiting: list[Turn], starter: Starter, ledger: Ledger, at_a_time: int, on_news: Callable[[News], None]
) -> dict[int, str]:
    """Trains the folds that wait; one whose memory runs out beside others, once more with a GPU for itself.

    Args:
        waiting: is empty in the end.
        at_a_time: how many.

    Returns:
        Fold → why it failed.
    """
    failed: dict[int, str] = {}
    with contextlib.closing(_ended(waiting, starter, at_a_time, on_news)) as ends:  # cancels what runs after an error
        for turn, reference in ends:
            again, reason = _record_end(reference, turn, ledger)
            if again is not None:
                waiting.append(again)
                continue
            on_news(FoldEnded(fold=turn.fold))
            if reason:
                failed[turn.fold] = reason
    return failed


def _ended(
    waiting: list[Turn], starter: Starter, at_a_time: int, on_news: Callable[[News], None]
) -> Generator[tuple[Turn, ray.ObjectRef], None, None]:
    """Starts folds, passes on what they tell, and yields each one as it ends; its caller may then add to `waiting`."""
    if not waiting:
        return
    queue = NewsQueue()
    running = dict[ray.ObjectRef, Turn]()
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                turn = waiting.pop(0)
                running[starter.start(turn, queue)] = turn
            done, _ = ray.wait(list(running), timeout=_LISTEN_S)
            for news in queue.heard():  # a fold tells its last epoch before it ends
                on_news(news)
            for reference in done:
                yield running.pop(reference), reference
    finally:
        put_down(list(running), patience_s=_PUT_DOWN_S)
        queue.close()


def _record_end(reference: ray.ObjectRef, turn: Turn, ledger: Ledger) -> tuple[Turn | None, str | None]:
    """Records how a fold ended, and removes the checkpoints of one that has ended for good.

    Returns:
        The turn to take next, where it is to be tried again at once; and why it failed, if it did.
    """
    suggestion = turn.suggestion
    try:
        ended = ray.get(reference)
    except ray.exceptions.RayError as e:
        cause = e.cause if isinstance(e, ray.exceptions.RayTaskError) else e
        if isinstance(cause, OutOfMemory) and (again := turn.alone()):
            return again, None
        reason = _in_a_line(cause)  # the fold stays open, and the same command tries it again
        ledger.failure(suggestion.config.trial_id, reason="gave_up", detail=f"{type(e).__name__}: {e}")
        return None, reason
    if isinstance(ended, FailedTraining):
        ledger.end(suggestion, state="failed", seed_epochs=0, objective=None)
    else:
        ledger.end(suggestion, state="finished", seed_epochs=ended.seed_epochs, objective=ended.objective)
    if isinstance(ended, FailedTraining):  # the checkpoint of its last healthy epoch stays
        return None, f"{ended.reason}: {ended.detail}"
    _delete_checkpoints(ledger, suggestion)
    return None, None


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OutOfMemory):
        return (
            f"out_of_memory: {error}; the fold stays open, and the same command tries it again: free the device, use "
            "one with more memory, or train a smaller architecture or shorter windows"
        )
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _delete_checkpoints(ledger: Ledger, suggestion: Suggestion) -> None:
    Checkpoints(ledger.store, checkpoint_prefix(ledger.sweep_id, suggestion.config.trial_id)).delete_all()
