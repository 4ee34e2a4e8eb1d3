"""A trial's seeds, each with its epochs as they are to be reported: seed after seed, in the configuration's order.

Whether seeds train one after the other or together, the caller hears the same epochs in the same order. Together, the
first seed's epochs come while all train; those of the others are there already when their turn comes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from storage.checkpoints import Checkpoint, Checkpoints
from training.progress import EpochMetrics
from training.seed_group import SeedGroup
from training.seed_run import SeedRun
from training.steps import TrainingFailed

Turn = tuple[SeedRun, Iterator[EpochMetrics]]

TOGETHER = "together"  # the checkpoints' name of all seeds; those of one seed have `checkpoint_name`


class Paused(Exception):
    """The caller asked for a pause; everything up to the last step is in the checkpoint."""


class Trained(Protocol):
    """What trains epoch by epoch: a seed or a group of them."""

    def train_epoch(self, pause: Callable[[], bool]) -> object:
        """Something true when the epoch was finished, something false when it was put down."""
        ...

    def checkpoint(self) -> Checkpoint: ...


class Pace:
    """Stores a checkpoint after every epoch, and within those that take long or are paused."""

    def __init__(self, checkpoints: Checkpoints, pause: Callable[[], bool], checkpoint_every_s: float) -> None:
        self._checkpoints, self._pause = checkpoints, pause
        self._every_s, self._saved_at = checkpoint_every_s, time.monotonic()

    def train_epoch(self, trained: Trained, name: str) -> None:
        """Trains on to the end of the epoch.

        Raises:
            Paused: as the caller asked.
        """
        finished = False
        while not finished:
            finished = bool(trained.train_epoch(self._is_time))
            self._checkpoints.save(name, trained.checkpoint())
            self._saved_at = time.monotonic()
            if not finished and self._pause():
                raise Paused

    def _is_time(self) -> bool:
        return self._pause() or time.monotonic() - self._saved_at > self._every_s


def one_after_the_other(
    seeds: Sequence[int], make_run: Callable[[int], SeedRun], saved: Mapping[int, Checkpoint], pace: Pace
) -> Iterator[Turn]:
    """Each seed begins when the one before it is finished.

    The last finished epoch of the seed that was interrupted comes again: nobody can know whether it was heard before.
    """
    interrupted = next((seed for seed in reversed(seeds) if seed in saved), None)
    for seed in seeds:
        run = make_run(seed)
        if seed in saved:
            run.restore(saved[seed])
        heard = len(run.history) - (1 if seed == interrupted else 0)
        yield run, _epochs(run, run, checkpoint_name(seed), heard, pace)


def all_together(runs: Sequence[SeedRun], saved: Checkpoint | None, pace: Pace) -> Iterator[Turn]:
    """All seeds train at the same time.

    Taken up again, the first seed's last finished epoch and all epochs of the others come again. A seed that failed
    while they trained says so when its turn has come to the epoch that it failed in.
    """
    group = SeedGroup(runs)
    if saved is not None:
        group.restore(saved)
    heard_of_first = len(runs[0].history) - 1
    for run in runs:
        yield run, _epochs(run, group, TOGETHER, heard_of_first if run is runs[0] else 0, pace)


def checkpoint_name(seed: int) -> str:
    return f"seed={seed}"


def _epochs(run: SeedRun, trained: Trained, name: str, heard: int, pace: Pace) -> Iterator[EpochMetrics]:
    yield from run.history[max(0, heard) :]
    while not run.finished:
        if not run.failure:
            pace.train_epoch(trained, name)
        if run.failure:
            raise TrainingFailed(run.failure)
        yield run.history[-1]
