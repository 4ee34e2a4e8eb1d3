"""What a sweep cost, and what the full grid would have: every configuration with all its seeds for all its epochs.

Enters: a `SweepResults`. Leaves: hours by architecture, from the seconds that each epoch was measured to take, and
from what a trial held meanwhile: as the settings say or, where they leave that open, as was measured. The grid's
epochs are taken to last as long as the same trial's did, or, of a trial that never came to one, its architecture's.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
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
        hours, grid_hours: the same in the machine's unit.
    """

    name: str
    num_configurations: int
    epochs: int
    grid_epochs: int
    seconds: float
    grid_seconds: float | None
    hours: float
    grid_hours: float | None

    @property
    def saved(self) -> float | None:
        """Share of the grid's hours; None where these are unknown."""
        return 1 - self.hours / self.grid_hours if self.grid_hours else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a trial held while it trained.

    Attributes:
        unit: `GPU-hours` or `CPU-hours`; `trial-hours` where it is unknown what a trial held.
        shares: architecture → GPUs, or cores, a trial: as many were reserved for it; empty where that is unknown.
    """

    unit: str
    shares: Mapping[str, float]

    def hours(self, seconds: float, architecture: str) -> float:
        return seconds / 3600 * self.shares.get(architecture, 1.0)


def costs(sweep: SweepResults, trials: Iterable[TrialSummary]) -> list[Cost]:
    """One per architecture, in alphabetical order, and last, where there are several, their sum."""
    trials = list(trials)
    names = sorted({trial.architecture for trial in trials})
    machine = machine_of(sweep)
    of_name = {name: [trial for trial in trials if trial.architecture == name] for name in names}
    found = [_of_architecture(sweep, machine, name, of_name[name]) for name in names]
    return [*found, _sum(found)] if len(found) > 1 else found


def machine_of(sweep: SweepResults) -> Machine:
    """As the sweep's settings and the trials' configurations have it; of `auto`, as the newest measurement has it."""
    settings, names = sweep.settings.get("sweep", {}), sorted(set(sweep.suggestions["architecture"]))
    devices = {json.loads(text).get("device", "cpu") for text in sweep.suggestions["configuration"]}
    is_gpu = bool(devices - {"cpu"})
    setting = "gpus_per_trial" if is_gpu else "cpus_per_trial"
    share = settings.get(setting)
    if share == "auto":
        shares = _measured_shares(sweep, setting, device="cuda" if is_gpu else "cpu")
    else:
        shares = dict.fromkeys(names, 1.0 if share is None else float(share))
    if not shares.keys() >= set(names):
        return Machine(unit="trial-hours", shares={})
    return Machine(unit="GPU-hours" if is_gpu else "CPU-hours", shares={name: shares[name] for name in names})


def _measured_shares(sweep: SweepResults, setting: str, *, device: str) -> dict[str, float]:
    """Architecture → what a trial was given by the newest measurement that says so."""
    rows = sweep.results.read("measurements", sweep_id=sweep.sweep_id).to_pylist()
    told = [row for row in rows if row["device"] == device and row[setting] is not None]
    told.sort(key=lambda row: row["measured_at"])
    return {str(row["architecture"]): float(row[setting]) for row in told}


def elapsed_seconds(sweep: SweepResults) -> float | None:
    """From the start to the last trial's end, pauses between processes included; None before a trial has ended."""
    if sweep.trials.empty:
        return None
    return float((sweep.trials["ended_at"].max() - sweep.sweep["started_at"]).total_seconds())


def hours_of_its_own(follow_up: SweepResults, earlier: Sequence[SweepResults]) -> float:
    """What a confirmation or an audit trained itself, in the unit of the sweep's machine. Rows that it took over are
    theirs who trained them: the same seed and epoch of the same configuration took the same time to the last bit.

    Args:
        earlier: the sweep, then what followed it and is told before this one.
    """
    known = {key for rows in earlier for key in _keys(rows)}
    names, machine = follow_up.epochs["architecture"], machine_of(earlier[0])
    own = zip(_keys(follow_up), names, strict=True)
    return math.fsum(machine.hours(key[-1], name) for key, name in own if key not in known)


def _keys(sweep: SweepResults) -> Iterable[tuple[str, int, int, float]]:
    """Of every epoch: the trial of the search, the seed, the epoch, and how long it took."""
    rows, following = sweep.epochs, sweep.suggestions.dropna(subset="of_trial")
    of_trial = dict(zip(following["trial_id"], following["of_trial"], strict=True))
    for trial_id, seed, epoch, seconds in zip(
        rows["trial_id"], rows["seed"], rows["epoch"], rows["epoch_seconds"], strict=True
    ):
        yield of_trial.get(trial_id, trial_id), int(seed), int(epoch), float(seconds)


def _of_architecture(sweep: SweepResults, machine: Machine, name: str, trials: list[TrialSummary]) -> Cost:
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
        hours=machine.hours(spent, name),
        grid_hours=None if grid is None else machine.hours(grid, name),
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
    return Cost(
        name="all",
        num_configurations=sum(cost.num_configurations for cost in found),
        epochs=sum(cost.epochs for cost in found),
        grid_epochs=sum(cost.grid_epochs for cost in found),
        seconds=math.fsum(cost.seconds for cost in found),
        grid_seconds=_sum_of_known(cost.grid_seconds for cost in found),
        hours=math.fsum(cost.hours for cost in found),
        grid_hours=_sum_of_known(cost.grid_hours for cost in found),
    )


def _sum_of_known(numbers: Iterable[float | None]) -> float | None:
    """None where one of them is not known."""
    known = list(numbers)
    return None if None in known else math.fsum(number for number in known if number is not None)
