"""One trial from its configuration to its seeds' results, resumable after any step. Plain torch; knows no scheduler.

Seeds run one after the other, so a trial that the caller stops early has spent its epochs on the first seed.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from storage.checkpoints import Checkpoints
from storage.errors import InvalidInput
from training.config import TrialConfig
from training.data import TrialData
from training.embeddings import refuse_other_embeddings
from training.first_weights import first_weights
from training.inputs import device_data
from training.progress import EpochMetrics
from training.seed_run import SeedResult, SeedRun


class Report(Protocol):
    """Called after every epoch. Must be idempotent: a resumed trial reports its last finished epoch again."""

    def __call__(self, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> str | None:
        """Hears of an epoch and may answer "stop".

        Args:
            seed_epoch: epochs of this trial so far, over all its seeds; a seed that early stopping ended counts
                in full.
            objective: mean over the seeds begun of their best validation score so far; higher is better.
        """
        ...


class Paused(Exception):
    """The caller asked for a pause; everything up to the last step is in the checkpoint."""


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

    Raises:
        InvalidInput: the configuration asks for a GPU, or for bf16 on one, and this process has none; the loss does not
            fit the labels; there are no such weights; or the data are embeddings and the configuration needs log-mels,
            or other embeddings.
        StorageError: a checkpoint or embeddings that do not belong to this run.
        TrainingFailed: the loss became NaN or infinite.
        OutOfMemory: a single clip does not fit into the device's memory.
        Paused: `pause` answered True.
    """
    refuse_other_embeddings(config, data)
    on_device = device_data(data, config, _device(config))
    weights = first_weights(config)
    saved = {seed: checkpoints.newest(_name(seed)) for seed in config.seeds}
    newest_seed = next((seed for seed in reversed(config.seeds) if saved[seed] is not None), None)
    results: list[SeedResult] = []
    best_scores: list[float] = []
    epochs_before = 0
    with torch.random.fork_rng(), _modes(config):
        for seed in config.seeds:
            run = SeedRun(config, seed=seed, data=on_device, weights=weights)
            checkpoint = saved[seed]
            if checkpoint is not None:
                run.restore(checkpoint)
            result: SeedResult | None = None
            paced = _Paced(run, checkpoints, pause, checkpoint_every_s)
            for metrics in paced.epochs(from_last=seed == newest_seed):
                if run.finished:
                    result = run.result()
                    on_seed(result)
                # A seed that stops early counts in full, so that all trials are compared at the same places.
                seed_epoch = epochs_before + (config.epochs if run.finished else metrics.epoch)
                objective = _mean([*best_scores, run.best_score])
                if report(seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics) == "stop":
                    return TrialResult(
                        state="stopped", seed_epochs=seed_epoch, objective=objective, seeds=tuple(results)
                    )
            if result is None:  # finished before the trial was resumed; its result may not have been received
                result = run.result()
                on_seed(result)
            results.append(result)
            best_scores.append(run.best_score)
            epochs_before += config.epochs
    return TrialResult(state="finished", seed_epochs=epochs_before, objective=_mean(best_scores), seeds=tuple(results))


class _Paced:
    """A seed's epochs, each with its checkpoint stored, and checkpoints within those that take long."""

    def __init__(
        self, run: SeedRun, checkpoints: Checkpoints, pause: Callable[[], bool], checkpoint_every_s: float
    ) -> None:
        self._run, self._checkpoints, self._pause = run, checkpoints, pause
        self._every_s, self._saved_at = checkpoint_every_s, time.monotonic()

    def epochs(self, *, from_last: bool) -> Iterator[EpochMetrics]:
        """Every epoch that is still to be reported.

        The last finished one of a resumed seed comes again: nobody can know whether it was heard before.
        """
        if from_last and self._run.history:
            yield self._run.history[-1]
        while not self._run.finished:
            metrics = self._run.train_epoch(self._is_time)
            self._checkpoints.save(_name(self._run.seed), self._run.checkpoint())
            self._saved_at = time.monotonic()
            if metrics is not None:
                yield metrics
            elif self._pause():
                raise Paused

    def _is_time(self) -> bool:
        return self._pause() or time.monotonic() - self._saved_at > self._every_s


@contextlib.contextmanager
def _modes(config: TrialConfig) -> Iterator[None]:
    """torch's switches for the length of a trial."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    if config.loop.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it before its first call
        torch.use_deterministic_algorithms(True)
    try:
        with torch.autograd.set_detect_anomaly(config.loop.detect_anomaly):
            yield
    finally:
        torch.use_deterministic_algorithms(was_deterministic)


def _name(seed: int) -> str:
    return f"seed={seed}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _device(config: TrialConfig) -> torch.device:
    if config.device == "cuda":
        if not torch.cuda.is_available():
            raise InvalidInput("trial.device", given="cuda", allowed="cpu in this process", remedy="Use device=cpu.")
        if config.precision_resolved == "bf16" and not torch.cuda.is_bf16_supported():
            raise InvalidInput(
                "trial.loop.precision", given="bf16", allowed="fp32 on this GPU", remedy="Use precision=fp32."
            )
    return torch.device(config.device)
