"""One trial from its configuration to its seeds' results, resumable after any step. Plain torch; knows no scheduler.

Seeds run one after the other, so a trial that the caller stops early has spent its epochs on the first seed; or, where
the caller allows it and it is faster, together. What is reported, and in which order, is the same.
"""

import contextlib
import os
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
from training.fuse_choice import FuseSeeds, choose
from training.inputs import device_data
from training.progress import EpochMetrics
from training.seed_run import SeedResult, SeedRun
from training.seed_turns import TOGETHER, Pace, Turn, all_together, checkpoint_name, one_after_the_other


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
            this device; `always`, wherever it is possible. The numbers are then those of separate seeds to rounding
            (1e-5 after 20 steps in fp32). Say `never` where trials are stopped at rungs: a trial that is stopped at its
            first seed has then trained the others for nothing.

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

    def make_run(seed: int) -> SeedRun:
        return SeedRun(config, seed=seed, data=on_device, weights=weights)

    results: list[SeedResult] = []
    best_scores: list[float] = []
    with torch.random.fork_rng(), _modes(config):
        pace = Pace(checkpoints, pause, checkpoint_every_s)
        for run, epochs in _turns(
            config, make_run, checkpoints, pace, fuse_seeds if data.embedding is None else "never"
        ):
            result: SeedResult | None = None
            for metrics in epochs:
                is_last = run.finished and metrics.epoch == len(run.history)
                if is_last:
                    result = run.result()
                    on_seed(result)
                # A seed that stops early counts in full, so that all trials are compared at the same places.
                seed_epoch = len(results) * config.epochs + (config.epochs if is_last else metrics.epoch)
                objective = _mean([*best_scores, run.best_score_after(metrics.epoch)])
                if report(seed=run.seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics) == "stop":
                    return TrialResult(
                        state="stopped", seed_epochs=seed_epoch, objective=objective, seeds=tuple(results)
                    )
            if result is None:  # finished before the trial was resumed; its result may not have been received
                result = run.result()
                on_seed(result)
            results.append(result)
            best_scores.append(run.best_score)
    return TrialResult(
        state="finished",
        seed_epochs=len(results) * config.epochs,
        objective=_mean(best_scores),
        seeds=tuple(results),
    )


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
    if saved or fuse_seeds == "never" or len(config.seeds) == 1:
        return one_after_the_other(config.seeds, make_run, saved, pace)
    choice = choose(config, make_run, fuse_seeds)

    def make_noted(seed: int) -> SeedRun:
        run = make_run(seed)
        run.note(choice.reason)
        return run

    if choice.together:
        return all_together([make_noted(seed) for seed in config.seeds], None, pace)
    return one_after_the_other(config.seeds, make_noted, saved, pace)


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
