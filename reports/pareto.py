"""Which configurations of a sweep with several objectives no other one beats in all of them.

Enters: a `SweepResults`. Leaves: one row per configuration whose seeds are all complete, those of the front first.
Nothing of the searcher is needed: the front follows from the rows. Shapes: N = configurations, K = objectives.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.leaderboard import LeaderboardRow, leaderboard
from reports.sweep_results import SweepResults

_IS_BETTER_WHEN_HIGHER = {"score": True, "num_parameters": False, "latency_ms": False}

CALLED = {"score": "score", "num_parameters": "parameters", "latency_ms": "latency, ms"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ParetoRow:
    """One configuration.

    Attributes:
        number: the trial's place in the order of suggestions.
        values: objective → number: `score`, the mean validation score over seeds, 0–1; `num_parameters`; `latency_ms`,
            the median over seeds of what one window takes.
        is_on_front: no other configuration is as good in all objectives and better in one.
    """

    architecture: str
    trial_id: str
    number: int
    values: Mapping[str, float]
    is_on_front: bool


def objectives_of(sweep: SweepResults) -> list[str]:
    """What the sweep looked for; older ones looked for the score alone."""
    return list(sweep.settings.get("sweep", {}).get("objectives", ["score"]))


def pareto_rows(sweep: SweepResults) -> list[ParetoRow]:
    """Those on the front first, each group by score; configurations that lack a measurement are left out."""
    objectives = objectives_of(sweep)
    measured = [(row, _values(sweep, row, objectives)) for row in leaderboard(sweep)]
    whole = [(row, values) for row, values in measured if None not in values.values()]
    front_N = pareto_front(
        np.array([list(values.values()) for _, values in whole], dtype=float).reshape(len(whole), len(objectives)),
        higher_is_better=[_IS_BETTER_WHEN_HIGHER[name] for name in objectives],
    )
    rows = [
        ParetoRow(
            architecture=row.architecture,
            trial_id=row.trial_id,
            number=row.number,
            values={name: float(value) for name, value in values.items() if value is not None},
            is_on_front=bool(is_on_front),
        )
        for (row, values), is_on_front in zip(whole, front_N, strict=True)
    ]
    return sorted(rows, key=lambda row: not row.is_on_front)


def front_lines(rows: Sequence[ParetoRow]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of a table of rows that have the same objectives."""
    names = list(rows[0].values) if rows else []
    header = ["architecture", "number", *(CALLED[name] for name in names)]
    lines = [[row.architecture, str(row.number), *(_shown(name, row.values[name]) for name in names)] for row in rows]
    return header, lines


def pareto_front(values_NK: ArrayLike, *, higher_is_better: Sequence[bool]) -> NDArray[np.bool_]:
    """Which rows no other row dominates: is as good in every column and better in one. Equal rows stay together.

    Args:
        values_NK: float (N, K), finite.
        higher_is_better: per column.

    Returns:
        bool (N,).
    """
    gains_NK = np.asarray(values_NK, dtype=float) * np.where(higher_is_better, 1.0, -1.0)
    as_good_NN = (gains_NK[:, None] >= gains_NK[None, :]).all(axis=2)
    better_NN = (gains_NK[:, None] > gains_NK[None, :]).any(axis=2)
    return np.logical_not(np.any(as_good_NN & better_NN, axis=0))


def _shown(name: str, value: float) -> str:
    return {"score": f"{value:.3f}", "num_parameters": f"{value:,.0f}", "latency_ms": f"{value:.2f}"}[name]


def _values(sweep: SweepResults, row: LeaderboardRow, objectives: Sequence[str]) -> dict[str, float | None]:
    latencies = [float(value) for value in sweep.seeds_of(row.trial_id, row.seeds)["latency_ms"].dropna()]
    known = {
        "score": row.validation_score_mean,
        "num_parameters": float(row.num_parameters),
        "latency_ms": statistics.median(latencies) if len(latencies) == len(row.seeds) else None,
    }
    return {name: known[name] for name in objectives}
