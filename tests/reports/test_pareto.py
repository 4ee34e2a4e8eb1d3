"""The Pareto front, from rows alone."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.leaderboard import leaderboard
from reports.page import render_page
from reports.pareto import front_lines, objectives_of, pareto_front, pareto_rows

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

_ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)
_BETTER = (True, False, False)


def _dominates(ours: Sequence[int], theirs: Sequence[int]) -> bool:
    gains = [(a - b) * (1 if better else -1) for a, b, better in zip(ours, theirs, _BETTER, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


@given(rows=_ROWS)
def test_a_row_is_on_the_front_if_no_other_dominates_it(rows: list[tuple[int, int, int]]) -> None:
    front = pareto_front(np.array(rows), higher_is_better=_BETTER)
    assert front.tolist() == [not any(_dominates(other, row) for other in rows) for row in rows]


def test_equal_rows_stay_together_and_one_objective_leaves_the_best() -> None:
    assert pareto_front([[1.0, 2.0], [1.0, 2.0]], higher_is_better=(True, False)).tolist() == [True, True]
    assert pareto_front([[1.0], [3.0], [2.0]], higher_is_better=(True,)).tolist() == [False, True, False]
    assert pareto_front(np.empty((0, 2)), higher_is_better=(True, False)).tolist() == []


def _objectives(*names: str) -> str:
    return json.dumps({"sweep": {"objectives": list(names)}})


@pytest.fixture
def costly(new_sweep: Callable[..., "InventedSweep"]) -> "InventedSweep":
    """Four configurations of three seeds: accurate and slow, the other way round, beaten in both, and not measured."""
    sweep = new_sweep(settings=_objectives("score", "latency_ms"))
    costs: dict[str, dict[str, Any]] = {
        "slow": {"validation_accuracy": 0.9, "latency_ms": 9.0},
        "fast": {"validation_accuracy": 0.7, "latency_ms": 1.0},
        "beaten": {"validation_accuracy": 0.8, "latency_ms": 9.5},
        "unknown": {"validation_accuracy": 0.95, "latency_ms": None},
    }
    for number, (trial_id, columns) in enumerate(costs.items()):
        sweep.finished_trial(trial_id, number=number, **columns)
    return sweep


def test_rows_of_a_sweep_have_those_of_the_front_first(costly: "InventedSweep") -> None:
    rows = pareto_rows(costly.load())
    assert [(row.trial_id, row.is_on_front) for row in rows] == [("slow", True), ("fast", True), ("beaten", False)]
    assert rows[0].values == pytest.approx({"score": 0.9, "latency_ms": 9.0})
    assert rows[1].number == 1


def test_the_front_as_a_table(costly: "InventedSweep") -> None:
    header, lines = front_lines([row for row in pareto_rows(costly.load()) if row.is_on_front])
    assert header == ["architecture", "number", "score", "latency, ms"]
    assert lines == [["cnn", "0", "0.900", "9.00"], ["cnn", "1", "0.700", "1.00"]]


def test_latency_is_the_median_over_seeds(new_sweep: Callable[..., "InventedSweep"]) -> None:
    sweep = new_sweep(settings=_objectives("score", "latency_ms", "num_parameters"))
    sweep.suggest("t", number=0)
    for seed, latency_ms in ((1, 1.0), (2, 2.0), (3, 30.0)):
        sweep.complete_seed("t", seed, latency_ms=latency_ms)
    (row,) = pareto_rows(sweep.load())
    assert row.values == pytest.approx({"score": 0.8, "latency_ms": 2.0, "num_parameters": 123_456})


def test_an_older_sweep_looked_for_the_score_alone(new_sweep: Callable[..., "InventedSweep"]) -> None:
    sweep = new_sweep()
    sweep.finished_trial("low", number=0, validation_accuracy=0.5)
    sweep.finished_trial("high", number=1, validation_accuracy=0.6)
    assert objectives_of(sweep.load()) == ["score"]
    assert [(row.trial_id, row.is_on_front) for row in pareto_rows(sweep.load())] == [("high", True), ("low", False)]


def test_the_page_shows_what_scores_cost_where_that_was_looked_for(
    costly: "InventedSweep", new_sweep: Callable[..., "InventedSweep"]
) -> None:
    page = render_page(costly.load(), leaderboard(costly.load()))
    assert "Scores and what they cost" in page
    assert "latency, ms" in page
    plain = new_sweep(sweep_id="plain", settings=_objectives("score"))
    plain.finished_trial("t0", number=0)
    assert "Scores and what they cost" not in render_page(plain.load(), leaderboard(plain.load()))
