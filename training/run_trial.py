"""One trial from its configuration to its seeds' results, resumable after any epoch. Plain torch; knows no scheduler.

Seeds run one after the other, so a trial that the caller stops early has spent its epochs on the first seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from storage.checkpoints import Checkpoints
from storage.errors import InvalidInput
from training.config import TrialConfig
from training.data import TrialData, to_device
from training.seed_run import EpochMetrics, SeedResult, SeedRun


class Report(Protocol):
    """Called after every epoch. Must be idempotent: a resumed trial reports its last finished epoch again."""

    def __call__(self, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> str | None:
        """Hears of an epoch and may answer "stop".

        Args:
            seed_epoch: epochs of this trial so far, over all its seeds; a seed that early stopping ended counts
                in full.
            objective: mean over the seeds begun of their best validation accuracy so far; higher is better.
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
) -> TrialResult:
    """Trains every seed of a trial, going on from its newest checkpoints.

    On the CPU a run that was stopped after any epoch and started again equals the undisturbed one bit for bit, given
    the same number of threads.

    Args:
        report: hears of every epoch; "stop" ends the trial.
        checkpoints: written after every epoch, before the epoch is reported.
        on_seed: receives each seed's result once, before its last epoch is reported; again after a resume.

    Raises:
        InvalidInput: the configuration asks for a GPU, or for bf16 on one, and this process has none.
        TrainingFailed: the loss became NaN or infinite.
    """
    device = _device(config)
    parts = to_device(data, device)
    saved = {seed: checkpoints.newest(_name(seed)) for seed in config.seeds}
    newest_seed = next((seed for seed in reversed(config.seeds) if saved[seed] is not None), None)
    results: list[SeedResult] = []
    best_accuracies: list[float] = []
    epochs_before = 0
    with torch.random.fork_rng():
        for seed in config.seeds:
            run = SeedRun(config, seed=seed, num_labels=len(data.labels), parts=parts, device=device)
            checkpoint = saved[seed]
            if checkpoint is not None:
                run.restore(checkpoint)
            result: SeedResult | None = None
            for metrics in _epochs(run, checkpoints, from_last=seed == newest_seed):
                if run.finished:
                    result = run.result()
                    on_seed(result)
                # A seed that stops early counts in full, so that all trials are compared at the same places.
                seed_epoch = epochs_before + (config.epochs if run.finished else metrics.epoch)
                objective = _mean([*best_accuracies, run.best_accuracy])
                if report(seed=seed, seed_epoch=seed_epoch, objective=objective, metrics=metrics) == "stop":
                    return TrialResult(
                        state="stopped", seed_epochs=seed_epoch, objective=objective, seeds=tuple(results)
                    )
            if result is None:  # finished before the trial was resumed; its result may not have been received
                result = run.result()
                on_seed(result)
            results.append(result)
            best_accuracies.append(run.best_accuracy)
            epochs_before += config.epochs
    return TrialResult(
        state="finished", seed_epochs=epochs_before, objective=_mean(best_accuracies), seeds=tuple(results)
    )


def _epochs(run: SeedRun, checkpoints: Checkpoints, *, from_last: bool) -> Iterator[EpochMetrics]:
    """Yields every epoch that is still to be reported, each after its checkpoint is stored.

    The last epoch of a resumed seed comes again: nobody can know whether it was heard before the interruption.
    """
    if from_last and run.history:
        yield run.history[-1]
    while not run.finished:
        metrics = run.train_epoch()
        checkpoints.save(_name(run.seed), run.checkpoint())
        yield metrics


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
                "trial.precision", given="bf16", allowed="fp32 on this GPU", remedy="Use precision=fp32."
            )
    return torch.device(config.device)
