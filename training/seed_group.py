"""Several seeds of a trial that train together, in lockstep, and are put down and taken up as one.

Enters: the seeds. Leaves: finished epochs in each seed's history, and one checkpoint of them all.
"""

import time
from collections.abc import Callable, Sequence

import torch

from storage.checkpoints import Checkpoint
from training.fused_step import FusedStepper
from training.seed_run import SeedRun
from training.steps import TrainingFailed


class SeedGroup:
    """All seeds that are not finished take each step at the same time.

    A seed that early stopping has ended takes no further step, nor does one that failed (`SeedRun.failure`); the others
    go on as if it had never been there. Where the seeds together do not fit into memory, or one is left, each takes its
    steps by itself from then on.

    Attributes:
        runs: in the configuration's order.
    """

    def __init__(self, runs: Sequence[SeedRun]) -> None:
        self.runs = tuple(runs)
        self._fits = True
        self._fused: FusedStepper | None = None

    @property
    def finished(self) -> bool:
        return not self._running()

    def train_epoch(self, pause: Callable[[], bool] = lambda: False) -> bool:
        """Trains every unfinished seed on to the end of the epoch and scores it on validation.

        Args:
            pause: asked after every step; when it answers True the epoch stays unfinished.

        Returns:
            Whether the epoch was finished, or no seed is left for it; if not, `checkpoint` holds its steps so far.

        Raises:
            OutOfMemory: a single clip does not fit into the device's memory.
        """
        started = time.perf_counter()
        runs = self._running()
        for run in runs:
            run.begin_epoch()
        if self._fused is not None and self._fused.runs != runs:
            self._fused = None  # what it held was handed back when the last epoch ended
        put_down = False
        while not put_down and not runs[0].epoch_is_trained:
            for run, loss in zip(runs, self._step(runs), strict=True):
                run.took_step(loss)
            put_down = not runs[0].epoch_is_trained and pause()
        if self._fused is not None:
            self._fused.hand_back()
        share_s = (time.perf_counter() - started) / len(runs)  # so that the seeds' times add up to the trial's
        for run in runs:
            try:
                if put_down:
                    run.put_down(train_seconds=share_s)
                else:
                    run.finish_epoch(train_seconds=share_s)
            except TrainingFailed as e:
                run.fail(e)
        return not put_down or self.finished

    def checkpoint(self) -> Checkpoint:
        """One for all seeds, so that after any kill they stand at the same step."""
        of_seeds = {run.seed: run.checkpoint() for run in self.runs}
        return Checkpoint(
            step=sum(of_seed.step for of_seed in of_seeds.values()),
            tensors={
                f"{seed}.{name}": tensor
                for seed, of_seed in of_seeds.items()
                for name, tensor in of_seed.tensors.items()
            },
            state={"fits": self._fits, "seeds": {str(seed): of_seed.state for seed, of_seed in of_seeds.items()}},
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up where `checkpoint` was made: the steps that follow equal those of an undisturbed group."""
        self._fits, self._fused = checkpoint.state["fits"], None
        tensors: dict[str, dict[str, torch.Tensor]] = {str(run.seed): {} for run in self.runs}
        for key, tensor in checkpoint.tensors.items():
            seed, _, name = key.partition(".")
            tensors[seed][name] = tensor
        for run in self.runs:
            of_seed, state = tensors[str(run.seed)], checkpoint.state["seeds"][str(run.seed)]
            run.restore(Checkpoint(step=checkpoint.step, tensors=of_seed, state=state))

    def _running(self) -> list[SeedRun]:
        return [run for run in self.runs if not run.finished and not run.failure]

    def _step(self, runs: list[SeedRun]) -> list[torch.Tensor]:
        batches = [run.next_batches() for run in runs]
        if self._fits and len(runs) > 1:
            try:
                self._fused = self._fused or FusedStepper(runs)
                return self._fused.step(batches)
            except torch.OutOfMemoryError:
                self._fits = False
            # Outside of the except block, where the traceback would still hold the tensors.
            self._come_apart(runs)
        return [run.step(of_run) for run, of_run in zip(runs, batches, strict=True)]

    def _come_apart(self, runs: list[SeedRun]) -> None:
        if self._fused is not None:
            self._fused.hand_back()
        self._fused = None
        for run in runs:
            run.note("out of memory: the seeds no longer train together")
        if runs[0].device.type == "cuda":
            torch.cuda.empty_cache()
