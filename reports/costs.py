"""What a sweep cost, and what the full grid would have: every configuration with all its seeds for all its epochs.

Enters: a `SweepResults`. Leaves: hours by architecture, from the seconds that each epoch was measured to take. The
grid's epochs are taken to last as long as the same trial's did, or, of a trial that never came to one, its
architecture's.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from reports.sweep_results import SweepResults, planned_seeds
from reports.trials import TrialSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One architecture, or all of them.

    Attributes:
        name: of the architecture.
        num_configurations: begun or planned, failed ones included.
        epochs, grid_epochs: trained, and of the full grid; over all seeds.
        seconds, grid_seconds: likewise; of a failed trial the grid has what it took. None: nothing was measured.
    """

    name: str
    num_configurations: int
    epochs: int
    grid_epochs: int
    seconds: float
    grid_seconds: float | None

    @property
    def saved(self) -> float | None:
        """Share of the grid's time; None where that is unknown."""
        return 1 - self.seconds / self.grid_seconds if self.grid_seconds else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a trial held while it trained.

    Attributes:
        unit: `GPU-hours` or `CPU-hours`.
        share: GPUs, or cores, a trial: as many were reserved for it.
    """

    unit: str
    share: float

    def hours(self, seconds: float) -> float:
        return seconds / 3600 * self.share


def costs(sweep: SweepResults, trials: Iterable[TrialSummary]) -> list[Cost]:
    """One per architecture, in alphabetical order, and last, where there are several, their sum."""
    trials = list(trials)
    names = sorted({trial.architecture for trial in trials})
    found = [_of_architecture(sweep, name, [one for one in trials if one.architecture == name]) for name in names]
    return [*found, _sum(found)] if len(found) > 1 else found


def machine_of(sweep: SweepResults) -> Machine:
    """As the sweep's settings and the first trial's configuration have it."""
    settings = sweep.settings.get("sweep", {})
    devices = {json.loads(text).get("device", "cpu") for text in sweep.suggestions["configuration"]}
    if devices - {"cpu"}:
        share = settings.get("gpus_per_trial")
        return Machine(unit="GPU-hours", share=1.0 if share is None else float(share))
    return Machine(unit="CPU-hours", share=float(settings.get("cpus_per_trial", 1.0)))


def elapsed_seconds(sweep: SweepResults) -> float | None:
    """From the start to the last trial's end, pauses between processes included; None before a trial has ended."""
    if sweep.trials.empty:
        return None
    return float((sweep.trials["ended_at"].max() - sweep.sweep["started_at"]).total_seconds())


def seconds_of_its_own(follow_up: SweepResults, sweep: SweepResults) -> float:
    """What a confirmation or an audit trained itself. Rows that it took over from the sweep are the sweep's: the same
    seed and epoch of the same configuration took the same time to the last bit."""
    of_trial = dict(zip(follow_up.suggestions["trial_id"], follow_up.suggestions["of_trial"], strict=True))
    known = set(_keys(sweep, {trial_id: trial_id for trial_id in sweep.suggestions["trial_id"]}))
    return float(sum(key[-1] for key in _keys(follow_up, of_trial) if key not in known))


def _keys(sweep: SweepResults, of_trial: dict[str, str]) -> Iterable[tuple[str | None, int, int, float]]:
    rows = sweep.epochs
    for trial_id, seed, epoch, seconds in zip(
        rows["trial_id"], rows["seed"], rows["epoch"], rows["epoch_seconds"], strict=True
    ):
        yield of_trial.get(trial_id), int(seed), int(epoch), float(seconds)


def _of_architecture(sweep: SweepResults, name: str, trials: list[TrialSummary]) -> Cost:
    of_trial = sweep.epochs.groupby("trial_id")["epoch_seconds"]
    sums, means = of_trial.sum().to_dict(), of_trial.mean().to_dict()
    measured = [trial for trial in trials if trial.trial_id in sums]
    epochs = {str(trial_id): len(rows) for trial_id, rows in of_trial}
    planned = _planned_epochs(sweep, name)
    trained = sum(epochs[trial.trial_id] for trial in measured)
    spent = math.fsum(sums[trial.trial_id] for trial in measured)
    grid = None
    if trained:
        grid = math.fsum(
            sums.get(trial.trial_id, 0.0)
            if trial.state == "failed"
            else planned[trial.trial_id] * means.get(trial.trial_id, spent / trained)
            for trial in trials
        )
    return Cost(
        name=name,
        num_configurations=len(trials),
        epochs=trained,
        grid_epochs=sum(
            epochs.get(trial.trial_id, 0) if trial.state == "failed" else planned[trial.trial_id] for trial in trials
        ),
        seconds=spent,
        grid_seconds=grid,
    )


def _planned_epochs(sweep: SweepResults, architecture: str) -> dict[str, int]:
    """Trial → epochs of all its seeds."""
    rows = sweep.suggestions[sweep.suggestions["architecture"] == architecture]
    texts = {str(trial_id): str(text) for trial_id, text in zip(rows["trial_id"], rows["configuration"], strict=True)}
    of_sweep = sweep.settings.get("sweep", {}).get("epochs", 0)
    return {
        trial_id: int(json.loads(text).get("epochs", of_sweep)) * len(planned_seeds(text))
        for trial_id, text in texts.items()
    }


def _sum(found: list[Cost]) -> Cost:
    grids = [cost.grid_seconds for cost in found]
    return Cost(
        name="all",
        num_configurations=sum(cost.num_configurations for cost in found),
        epochs=sum(cost.epochs for cost in found),
        grid_epochs=sum(cost.grid_epochs for cost in found),
        seconds=math.fsum(cost.seconds for cost in found),
        grid_seconds=None if None in grids else math.fsum(seconds for seconds in grids if seconds is not None),
    )
