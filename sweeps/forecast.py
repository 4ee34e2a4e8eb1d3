"""What a sweep would train, and what that would cost, before anything of it is run.

Enters: a plan, the numbers of rows, and the results table, which is only read. Leaves: seed-epochs, and of every
architecture what an epoch costs: by rows of an earlier sweep on the same features or, where there is none, by some
steps on noise in a fresh process of this machine.
"""

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from storage.chosen_trials import read_trials
from storage.results_table import ResultsTable
from sweeps.plan import SweepPlan
from sweeps.sweep_settings import SweepSettings
from training.embeddings import can_train_head
from training.trial_cost import CannotMeasure, measure

_TRIALS_LOOKED_AT = 8  # of each architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedEpochs:
    """How many a sweep trains.

    Attributes:
        most: if no trial is stopped, or the budget of an adaptive sweep; no seed stops early.
        likely: if every rung lets the best 1/reduction_factor go on; None where there are no rungs.
    """

    most: int
    likely: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """How many rows an epoch has.

    Attributes:
        num_train, num_train_clips: with all variants and windows.
        num_validation: originals.
    """

    num_train: int
    num_train_clips: int
    num_validation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochCost:
    """What an epoch of one seed costs.

    Attributes:
        seconds: None where nobody knows.
        source: where that is from, or why it is unknown, in words.
        peak_bytes: of a trial's process, or of its GPU; None where it was not measured.
        num_parameters: of the model; None likewise.
    """

    seconds: float | None
    source: str
    peak_bytes: int | None = None
    num_parameters: int | None = None


def device_here(settings: SweepSettings) -> Literal["cpu", "cuda"]:
    """As far as one can tell without a cluster: what the settings ask for, else what this machine has."""
    asked = settings.gpus_per_trial
    has_gpu = torch.cuda.is_available() if asked in (None, "auto") else bool(asked)
    return "cuda" if has_gpu else "cpu"


def share_of(plan: SweepPlan) -> tuple[float, float]:
    """CPUs and GPUs of a trial; of `auto`, which is measured on the cluster, what one gets without a measurement."""
    cpus, gpus = plan.settings.cpus_per_trial, plan.settings.gpus_per_trial
    whole = 1.0 if plan.device == "cuda" else 0.0
    return (1.0 if cpus == "auto" else cpus), (whole if gpus is None or gpus == "auto" else gpus)


def at_once(plan: SweepPlan, *, num_cpus: int) -> int | None:
    """Trials side by side; None where they take GPUs, this machine has none, and the settings say no number.

    Args:
        num_cpus: of all machines together.
    """
    (cpus, gpus), wanted = share_of(plan), plan.settings.max_concurrent_trials
    most = min(wanted or plan.num_trials, plan.num_trials)
    if not gpus:
        return max(1, min(most, math.floor(num_cpus / cpus)))
    here = math.floor(torch.cuda.device_count() / gpus)
    return max(1, min(most, here)) if here else most if wanted else None


def seed_epochs(plan: SweepPlan) -> SeedEpochs:
    settings = plan.settings
    whole = settings.epochs * len(settings.seeds)
    if settings.scheduler == "adaptive":
        return SeedEpochs(most=int(plan.budget_epochs), likely=None)
    most = plan.num_trials * whole
    if settings.scheduler == "fifo":
        return SeedEpochs(most=most, likely=None)
    brackets = Counter(plan.bracket_of(place) for place in range(plan.trials_per_architecture))
    spared = Counter(plan.bracket_of(place) for place in range(settings.rungs.never_stop_first))
    likely = sum(_halved(plan, bracket, count, spared[bracket], whole) for bracket, count in brackets.items())
    return SeedEpochs(most=most, likely=round(likely * len(settings.architectures)))


def _halved(plan: SweepPlan, bracket: int, count: int, num_spared: int, whole: int) -> float:
    """Seed-epochs of the trials of a bracket."""
    total, reached, left = 0.0, 0, float(count)
    for rung in plan.rung_places(bracket):
        total += left * (rung - reached)
        reached, left = rung, max(left / plan.settings.reduction_factor, 1.0, min(num_spared, count))
    return total + left * (whole - reached)


def earlier_costs(plan: SweepPlan, results: ResultsTable) -> dict[str, EpochCost]:
    """Architecture → what its epochs took in the newest sweep that trained it on these features and kind of device.

    Whatever else differed (values that are searched, trials side by side) is in it.
    """
    columns = ("sweep_id", "dataset", "fingerprint", "started_at")
    sweeps = [
        row
        for row in results.read("sweeps", columns=columns).to_pylist()
        if (row["dataset"], row["fingerprint"]) == (plan.dataset, plan.fingerprint)
    ]
    found: dict[str, EpochCost] = {}
    for row in sorted(sweeps, key=lambda row: row["started_at"], reverse=True):
        missing = set(plan.settings.architectures) - found.keys()
        if not missing:
            break
        found |= _costs_in(plan, results, row["sweep_id"], missing)
    return found


def _costs_in(plan: SweepPlan, results: ResultsTable, sweep_id: str, wanted: set[str]) -> dict[str, EpochCost]:
    columns = ("trial_id", "number", "architecture", "configuration")
    suggestions = results.read("suggestions", sweep_id=sweep_id, columns=columns).to_pylist()
    trials: dict[str, list[str]] = defaultdict(list)
    for row in sorted(suggestions, key=lambda row: row["number"]):
        name = row["architecture"]
        is_alike = name in wanted and json.loads(row["configuration"]).get("device", "cpu") == plan.device
        if is_alike and len(trials[name]) < _TRIALS_LOOKED_AT:
            trials[name].append(row["trial_id"])
    chosen = [trial_id for of_architecture in trials.values() for trial_id in of_architecture]
    if not chosen:
        return {}
    epochs = read_trials(
        results, "epochs", sweep_id=sweep_id, trial_ids=chosen, columns=("trial_id", "architecture", "epoch_seconds")
    )
    seconds: dict[str, list[float]] = defaultdict(list)
    for row in epochs.to_pylist():
        seconds[row["architecture"]].append(row["epoch_seconds"])
    return {
        name: EpochCost(seconds=statistics.median(values), source=f"median of {len(values)} epochs of {sweep_id}")
        for name, values in seconds.items()
    }


def measured_cost(
    plan: SweepPlan,
    architecture: str,
    rows: Rows,
    *,
    feature_shape: tuple[int, ...],
    labels_of_clips: Sequence[Sequence[str]],
) -> EpochCost:
    """By some steps of the architecture's default on this machine, in a process of its own."""
    config = plan.trial_config(architecture, {})
    if plan.device == "cuda" and not torch.cuda.is_available():
        return EpochCost(seconds=None, source="unknown: this machine has no GPU to measure on")
    if can_train_head(config) is None:
        return EpochCost(
            seconds=None, source="unknown: its head alone is trained, on embeddings that are yet to be made"
        )
    threads = plan.settings.cpus_per_trial
    num_threads = max(1, int(threads)) if threads != "auto" else 1
    try:
        cost = measure(
            config,
            feature_shape=feature_shape,
            labels_of_clips=labels_of_clips,
            num_scored=rows.num_validation,
            num_threads=num_threads,
        )
    except CannotMeasure as e:
        return EpochCost(seconds=None, source=f"unknown: it could not be measured here ({e})")
    num_train = rows.num_train_clips if config.input.train_windows == "random" else rows.num_train
    return EpochCost(
        seconds=num_train / cost.rows_per_second + rows.num_validation / cost.scored_rows_per_second,
        source=f"measured here, one trial alone{'' if plan.device == 'cuda' else f' in {num_threads} threads'}",
        peak_bytes=cost.peak_bytes,
        num_parameters=cost.num_parameters,
    )
