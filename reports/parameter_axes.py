"""Hyperparameters on axes from 0 to 1, and the scores by which trials are compared. Enters: a sweep. Leaves: both.

Ranges are those that the searcher drew from, so that a region that was never tried is seen to be empty.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.sweep_results import SweepResults
from reports.text import parameter_text

_MOST_CHOICES_TOLD = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One hyperparameter, or the score.

    Attributes:
        places: trial → 0 to 1; trials without the parameter are left out.
        values: trial → as people read it.
        ticks: (place, text), in rising order.
    """

    name: str
    places: dict[str, float]
    values: dict[str, str]
    ticks: tuple[tuple[float, str], ...]


def common_scores(sweep: SweepResults, architecture: str) -> tuple[int, dict[str, float]]:
    """(seed-epoch, trial → objective there): the last one that every ended trial came to, failed ones left out.

    Final scores would compare a trial that was stopped after three epochs with one that was trained for 75; and those
    that were trained to the end are the best ones, among which hardly anything differs.
    """
    ended = sweep.trials[
        (sweep.trials["architecture"] == architecture) & sweep.trials["state"].isin(("finished", "stopped"))
    ]
    rows = sweep.epochs[sweep.epochs["trial_id"].isin(list(ended["trial_id"]))]
    if rows.empty:
        return 0, {}
    common = int(rows.groupby("trial_id")["seed_epoch"].max().min())
    there = rows[(rows["seed_epoch"] == common) & np.isfinite(rows["objective"])]
    return common, {
        str(trial_id): float(score) for trial_id, score in zip(there["trial_id"], there["objective"], strict=True)
    }


def parameter_axes(sweep: SweepResults, architecture: str) -> list[Axis]:
    """One per searched parameter, in the order of the space; none where nothing was searched."""
    rows = sweep.suggestions[sweep.suggestions["architecture"] == architecture]
    kinds: dict[str, dict[str, Any]] = {}
    for text in rows["distributions"]:
        for name, kind in json.loads(text).items():
            kinds.setdefault(name, json.loads(kind))
    return [_axis(name, kind, rows) for name, kind in kinds.items()]


def score_axis(name: str, scores: dict[str, float], told: Sequence[str]) -> Axis:
    """Args: told: each score as people read it, in their order."""
    lowest, highest = min(scores.values()), max(scores.values())
    width = (highest - lowest) or 1.0
    texts = dict(zip(scores, told, strict=True))
    ends = {value: texts[trial_id] for trial_id, value in scores.items() if value in (lowest, highest)}
    return Axis(
        name=name,
        places={trial_id: (value - lowest) / width for trial_id, value in scores.items()},
        values=texts,
        ticks=tuple(((value - lowest) / width, text) for value, text in sorted(ends.items())),
    )


def _axis(name: str, kind: dict[str, Any], rows: pd.DataFrame) -> Axis:
    values = {
        str(trial_id): given[name]
        for trial_id, text in zip(rows["trial_id"], rows["parameters"], strict=True)
        if name in (given := json.loads(text))
    }
    told = {trial_id: parameter_text(value) for trial_id, value in values.items()}
    if "choices" in kind["attributes"]:
        choices = list(kind["attributes"]["choices"])
        step = 1 / max(1, len(choices) - 1)
        places = {trial_id: choices.index(value) * step for trial_id, value in values.items() if value in choices}
        shown = choices if len(choices) <= _MOST_CHOICES_TOLD else [choices[0], choices[-1]]
        ticks = tuple((choices.index(choice) * step, parameter_text(choice)) for choice in shown)
        return Axis(name=name, places=places, values=told, ticks=ticks)
    low, high = float(kind["attributes"]["low"]), float(kind["attributes"]["high"])
    is_log = bool(kind["attributes"].get("log"))
    places = {trial_id: _place(float(value), low, high, is_log=is_log) for trial_id, value in values.items()}
    return Axis(name=name, places=places, values=told, ticks=((0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")))


def _place(value: float, low: float, high: float, *, is_log: bool) -> float:
    if is_log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5
