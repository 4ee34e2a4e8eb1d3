"""Callers of a trial that remember, stop or die, and what must repeat; tests import this by the name `trial_toys`."""

from storage.checkpoints import Checkpoints
from storage.object_store import ObjectStore
from training import SeedResult, TrialConfig, TrialData, run_trial
from training.progress import EpochMetrics
from training.run_trial import TrialResult


class Interrupted(Exception):
    """Stands for a process that dies."""


class Recorder:
    """A caller that remembers what was reported and may stop or die after a number of reports."""

    def __init__(self, *, stop_at: int | None = None, die_after: int | None = None) -> None:
        self.reported: list[tuple[int, int, float, EpochMetrics]] = []
        self._stop_at, self._die_after = stop_at, die_after

    def __call__(self, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> str | None:
        self.reported.append((seed, seed_epoch, objective, metrics))
        if self._die_after is not None and len(self.reported) > self._die_after:
            raise Interrupted
        return "stop" if seed_epoch == self._stop_at else None


def run(
    config: TrialConfig, data: TrialData, store: ObjectStore, recorder: Recorder
) -> tuple[TrialResult, list[SeedResult]]:
    received: list[SeedResult] = []
    result = run_trial(config, data, recorder, Checkpoints(store, "trial"), on_seed=received.append)
    return result, received


def numbers(metrics: EpochMetrics) -> tuple[float, ...]:
    """Everything about an epoch that must repeat; its duration cannot."""
    return (
        metrics.epoch,
        metrics.train_loss,
        metrics.validation_loss,
        metrics.validation_score,
        metrics.learning_rate,
    )
