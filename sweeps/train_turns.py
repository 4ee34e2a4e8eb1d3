"""Trials take their turns on the cluster, as many at a time as are wanted, and every end is recorded.

Enters: turns, and what starts them as Ray tasks. Leaves: ends and failures in the results table, and news.
"""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

import ray

from cluster.versions import VersionsDiffer
from storage.checkpoints import Checkpoints
from storage.errors import StoreOutOfReach
from storage.vigil import Vigil
from sweeps.fold_task import Turn, put_down
from sweeps.ledger import Ledger
from sweeps.news import FoldEnded, News, NewsQueue
from sweeps.records import Suggestion, TrialState
from sweeps.trial_actor import FailedTraining, checkpoint_prefix
from training.steps import OutOfMemory

_LISTEN_S = 0.5
_PUT_DOWN_S = 10.0  # for a checkpoint, when the driver ends; `ray job stop` itself waits 3 s after SIGTERM


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a trial failed, in a line; `is_open` where the same call tries it again: its process died, memory ran out."""

    reason: str
    is_open: bool


class Starter(Protocol):
    """Starts trials: `fold_task.FoldStarter`."""

    def start(self, turn: Turn, queue: NewsQueue) -> ray.ObjectRef:
        """Returns at once; the reference is to a `TrialResult` or a `FailedTraining`."""
        ...


def train_turns(
    waiting: list[Turn], starter: Starter, ledger: Ledger, at_a_time: int, on_news: Callable[[News], None]
) -> dict[int, Failure]:
    """Trains the trials that wait; one whose memory runs out beside others, once more with a GPU for itself.

    Args:
        waiting: is empty in the end.
        at_a_time: how many.

    Returns:
        Number → why it failed.

    Raises:
        StorageError: the store failed, here or where a trial is trained; trials that run are put down.
        VersionsDiffer: a node that has come meanwhile has other packages.
    """
    failed: dict[int, Failure] = {}
    # To close the generator after an error cancels what still runs.
    with Vigil(ledger.store) as vigil, contextlib.closing(_ended(waiting, starter, at_a_time, on_news, vigil)) as ends:
        for turn, reference in ends:
            again, failure = _record_end(reference, turn, ledger)
            if again is not None:
                waiting.append(again)
                continue
            on_news(FoldEnded(number=turn.number, fold=turn.fold, state=_state(failure)))
            if failure is not None:
                failed[turn.number] = failure
    return failed


def _ended(
    waiting: list[Turn], starter: Starter, at_a_time: int, on_news: Callable[[News], None], vigil: Vigil
) -> Generator[tuple[Turn, ray.ObjectRef], None, None]:
    """Starts trials, passes on what they tell, and yields each one as it ends; its caller may then add to `waiting`."""
    if not waiting:
        return
    queue = NewsQueue()
    running = dict[ray.ObjectRef, Turn]()
    try:
        while waiting or running:
            vigil.check()
            while waiting and len(running) < at_a_time:
                turn = waiting.pop(0)
                running[starter.start(turn, queue)] = turn
            done, _ = ray.wait(list(running), timeout=_LISTEN_S)
            for news in queue.heard():  # a trial tells its last epoch before it ends
                on_news(news)
            for reference in done:
                yield running.pop(reference), reference
    finally:
        put_down(list(running), patience_s=_PUT_DOWN_S)
        queue.close()


def _record_end(reference: ray.ObjectRef, turn: Turn, ledger: Ledger) -> tuple[Turn | None, Failure | None]:
    """Records how a trial ended, and removes the checkpoints of one that has ended for good.

    Returns:
        The turn to take next, where it is to be tried again at once; and why it failed, if it did.

    Raises:
        StoreOutOfReach: for the trial, which is not to blame: it stays open without a word.
    """
    suggestion = turn.suggestion
    try:
        ended = ray.get(reference)
    except ray.exceptions.RayError as e:
        cause = e.cause if isinstance(e, ray.exceptions.RayTaskError) else e
        if isinstance(cause, VersionsDiffer):
            raise VersionsDiffer(str(cause)) from e  # the others would fare no better there
        if isinstance(cause, OutOfMemory) and (again := turn.alone()):
            return again, None
        if isinstance(cause, StoreOutOfReach):
            raise cause from e
        ledger.failure(suggestion.config.trial_id, reason="gave_up", detail=f"{type(e).__name__}: {e}")
        return None, Failure(reason=_in_a_line(cause), is_open=True)
    if isinstance(ended, FailedTraining):
        ledger.end(suggestion, state="failed", seed_epochs=0, objective=None)
    else:
        ledger.end(suggestion, state="finished", seed_epochs=ended.seed_epochs, objective=ended.objective)
    if isinstance(ended, FailedTraining):  # the checkpoint of its last healthy epoch stays
        return None, Failure(reason=f"{ended.reason}: {ended.detail}", is_open=False)
    delete_checkpoints(ledger, suggestion)
    return None, None


def _state(failure: Failure | None) -> TrialState | None:
    if failure is None:
        return "finished"
    return None if failure.is_open else "failed"


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OutOfMemory):
        return (
            f"out_of_memory: {error}; the fold stays open, and the same command tries it again: free the device, use "
            "one with more memory, or train a smaller architecture or shorter windows"
        )
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def delete_checkpoints(ledger: Ledger, suggestion: Suggestion) -> None:
    """Those of a trial that has ended."""
    Checkpoints(ledger.store, checkpoint_prefix(ledger.sweep_id, suggestion.config.trial_id)).delete_all()
