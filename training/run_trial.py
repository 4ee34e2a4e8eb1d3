"""One trial from its configuration to its seeds' results, resumable after any step. Plain torch; knows no scheduler.

Seeds run one after the other, so a trial that the caller stops early has spent its epochs on the first seed; or, where
the caller allows it and it is faster, together. What is reported, and in which order, is the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from storage.checkpoints import Checkpoints
from training.config import TrialConfig
from training.data import TrialData
from training.embeddings import refuse_other_embeddings
from training.first_weights import first_weights
from training.fuse_choice import Choice, FuseSeeds, choose
from training.inputs import device_data
from training.modes import device_of, modes
from training.progress import EpochMetrics
from training.seed_result import SeedResult
from training.seed_run import SeedRun
from training.seed_turns import TOGETHER, Pace, Turn, all_together, checkpoint_name, one_after_the_other
from training.steps import TrainingFailed, told_as_out_of_memory


class Report(Protocol):
    """Called after every epoch. Must be idempotent: a resumed trial reports its last finished epoch again.

    Where its seeds train together it reports those of all seeds but the first again from their beginning.
    """

    def __call__(self, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> str | None:
        """Hears of an epoch and may answer "stop".

        Args:
            seed_epoch: epochs of this trial so far, over all its seeds; a seed that early stopping ended counts
                in full.
            objective: mean over the seeds begun of their best validation score so far; higher is better.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """How a trial ended: `finished` with a result per seed, or `stopped` by the caller."""

    state: str
    seed_epochs: int
    objective: float
    seeds: tuple[SeedResult, ...]


def run_trial(
    config: TrialConfig,
    data: TrialData,
    report: Report,
    checkpoints: Checkpoints,
    *,
    on_seed: Callable[[SeedResult], None] = lambda result: None,
    pause: Callable[[], bool] = lambda: False,
    checkpoint_every_s: float = 300.0,
    fuse_seeds: FuseSeeds = "never",
) -> TrialResult:
    """Trains every seed of a trial, going on from its newest checkpoints.

    On data with embeddings (`embeddings.with_embeddings`) the head alone is trained, to the numbers that a run over the
    log-mels gives within float tolerance; the weights in a result are the whole model's all the same.

    On the CPU a run that was stopped after any step and started again equals the undisturbed one bit for bit, given
    the same number of threads; on a GPU with `loop.deterministic`.

    Args:
        report: hears of every epoch; "stop" ends the trial.
        checkpoints: written after every epoch, before the epoch is reported, and within long ones.
        on_seed: receives each seed's result once, before its last epoch is reported; again after a resume.
        pause: asked after every step; when it answers True, a checkpoint is written and the trial ends with `Paused`.
        checkpoint_every_s: how much of a long epoch may be lost when the process is killed.
        fuse_seeds: `auto` trains the seeds of small architectures together where 20 steps show that to be faster on
            this device and the numbers are those of separate seeds to rounding: in fp32 (losses to 1e-5 after 20 steps
            on the CPU), and not AlexNet with Adam. `always`: wherever it is possible. Say `never` where trials are
            stopped at rungs: a trial that is stopped at its first seed has then trained the others for nothing.

    Raises:
        InvalidInput: the configuration asks for a GPU, or for bf16 on one, and this process has none; the loss does not
            fit the labels; there are no such weights; or the data are embeddings and the configuration needs log-mels,
            or other embeddings.
        StorageError: a checkpoint or embeddings that do not belong to this run.
        TrainingFailed: a seed's loss, a gradient or an output became NaN or infinite. Nothing is lost: finished seeds
            were received, its epochs reported, and its newest checkpoint is of the last healthy epoch, with the weights
            of its best one. Seeds that have begun are trained to their end before; no other one begins.
        OutOfMemory: the data, a model, its optimizer's state or a single clip do not fit into the device's memory.
        Paused: `pause` answered True.
    """
    refuse_other_embeddings(config, data)
    device = device_of(config)
    with told_as_out_of_memory("the data", device):
        on_device = device_data(data, config, device)
    weights = first_weights(config)

    def make_run(seed: int) -> SeedRun:
        with told_as_out_of_memory("the model", device):
            return SeedRun(config, seed=seed, data=on_device, weights=weights)

    account = _Account(config, report, on_seed)
    with torch.random.fork_rng(), modes(config):
        pace = Pace(checkpoints, pause, checkpoint_every_s)
        for run, epochs in _turns(
            config, make_run, checkpoints, pace, fuse_seeds if data.embedding is None else "never"
        ):
            if account.failure is not None and not run.history:
                break
            stopped = account.take_turn(run, epochs)
            if stopped is not None:
                return stopped
    return account.finished()


class _Account:
    """What the seeds have come to, turn after turn.

    Attributes:
        failure: of the first seed that failed.
    """

    def __init__(self, config: TrialConfig, report: Report, on_seed: Callable[[SeedResult], None]) -> None:
        self._config, self._report, self._on_seed = config, report, on_seed
        self._results: list[SeedResult] = []
        self._best_scores: list[float] = []
        self._num_turns = 0
        self.failure: TrainingFailed | None = None

    def take_turn(self, run: SeedRun, epochs: Iterator[EpochMetrics]) -> TrialResult | None:
        """Reports a seed's epochs as they come. Returns the trial's end where the caller stops it."""
        try:
            stopped = self._hear(run, epochs)
        except TrainingFailed as e:
            self.failure = self.failure or e
            stopped = None
        if run.history:
            self._best_scores.append(run.best_score)
        self._num_turns += 1
        return stopped

    def finished(self) -> TrialResult:
        """The end of a trial all of whose seeds had their turn.

        Raises:
            TrainingFailed: one of them failed.
        """
        if self.failure is not None:
            raise self.failure
        return self._ended("finished", self._num_turns * self._config.epochs, _mean(self._best_scores))

    def _hear(self, run: SeedRun, epochs: Iterator[EpochMetrics]) -> TrialResult | None:
        result: SeedResult | None = None
        for metrics in epochs:
            is_last = run.finished and metrics.epoch == len(run.history)
            if is_last:
                result = self._receive(run)
            # A seed that stops early counts in full, so that all trials are compared at the same places.
            seed_epoch = self._num_turns * self._config.epochs + (self._config.epochs if is_last else metrics.epoch)
            objective = _mean([*self._best_scores, run.best_score_after(metrics.epoch)])
            if self._report(seed=run.seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics) == "stop":
                return self._ended("stopped", seed_epoch, objective)
        # A seed that was finished before the trial was resumed: its result may not have been received.
        self._results.append(result or self._receive(run))
        return None

    def _receive(self, run: SeedRun) -> SeedResult:
        result = run.result()
        self._on_seed(result)
        return result

    def _ended(self, state: str, seed_epochs: int, objective: float) -> TrialResult:
        return TrialResult(state=state, seed_epochs=seed_epochs, objective=objective, seeds=tuple(self._results))


def _turns(
    config: TrialConfig,
    make_run: Callable[[int], SeedRun],
    checkpoints: Checkpoints,
    pace: Pace,
    fuse_seeds: FuseSeeds,
) -> Iterator[Turn]:
    """A trial that has begun goes on in the way in which it began."""
    saved_together = checkpoints.newest(TOGETHER)
    found = {seed: checkpoints.newest(checkpoint_name(seed)) for seed in config.seeds}
    saved = {seed: checkpoint for seed, checkpoint in found.items() if checkpoint is not None}
    if saved_together is not None:
        return all_together([make_run(seed) for seed in config.seeds], saved_together, pace)
    if saved:  # the seeds to come note what the first one did
        choice = Choice(together=False, reason=next(iter(saved.values())).state["choice"])
    elif fuse_seeds == "never" or len(config.seeds) == 1:
        choice = Choice(together=False, reason="")
    else:
        choice = choose(config, make_run, fuse_seeds)

    def make_noted(seed: int) -> SeedRun:
        run = make_run(seed)
        if choice.reason:
            run.note_choice(choice.reason)
        return run

    if choice.together:
        return all_together([make_noted(seed) for seed in config.seeds], None, pace)
    return one_after_the_other(config.seeds, make_noted, saved, pace)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
