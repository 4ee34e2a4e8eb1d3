"""Intervals against textbook ones where those apply, and what widens them. Coverage is held in test_coverage.py."""

import numpy as np
import pytest
from scipy import stats

from reports.evidence import Estimate, ScoreCube, estimate, score_cube
from reports.evidence.spread import spread

_NAMES = [f"clip{number:04d}" for number in range(400)]


def test_a_single_group_is_told_by_students_t_over_seeds() -> None:
    scores = np.array([[0.8, 0.9, 0.85]])
    found = estimate(score_cube(scores, clip_ids=["all"], seeds=[1, 2, 3], is_share=False))
    expected = stats.t.interval(0.95, 2, loc=0.85, scale=0.05 / np.sqrt(3))
    assert found.mean == pytest.approx(0.85)
    assert found.deviation == pytest.approx(0.05)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, rel=0.01)


def test_many_clips_of_one_seed_are_told_by_the_normal_interval() -> None:
    found = estimate(score_cube(_share(200), clip_ids=_NAMES, seeds=[1]))
    assert found.interval is not None
    reach = 1.96 * np.sqrt(0.25 / 400)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=0.001)


def test_where_nothing_was_wrong_the_interval_is_one_sided_and_open_below() -> None:
    found = estimate(score_cube(_share(400), clip_ids=_NAMES, seeds=[1]))
    assert found.interval is not None
    # Wilson's: n ÷ (n + t²).
    assert (found.interval.low, found.interval.high) == pytest.approx((400 / (400 + 1.966**2), 1.0), abs=1e-4)


def test_nothing_repeats_with_one_seed_on_one_group() -> None:
    found = estimate(score_cube(np.array([[1.0], [0.0]]), clip_ids=["a", "b"], seeds=[1], groups=["g", "g"]))
    assert (found.interval, found.deviation, found.num_groups) == (None, None, 1)


def test_clips_that_come_in_groups_tell_less() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(40) < 0.8, 10)[:, None].astype(float)
    groups = [f"g{number // 10}" for number in range(400)]
    alone = estimate(score_cube(values, clip_ids=_NAMES, seeds=[1]))
    grouped = estimate(score_cube(values, clip_ids=_NAMES, seeds=[1], groups=groups))
    assert _width(grouped) > 2.5 * _width(alone)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike = (rng.random((400, 3)) < 0.7).astype(float)
    unlike = (rng.random((400, 3)) < [0.6, 0.7, 0.8]).astype(float)
    assert _width(estimate(_cube(unlike))) > 2 * _width(estimate(_cube(alike)))


def test_folds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    folds = [number // 80 for number in range(400)]
    right = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 80)[:, None]
    values = (rng.random((400, 3)) < right).astype(float)
    told = estimate(score_cube(values, clip_ids=_NAMES, seeds=[1, 2, 3], folds=folds))
    assert _width(told) > 2 * _width(estimate(_cube(values)))


def test_folds_stand_in_for_groups_where_each_is_one() -> None:
    rng = np.random.default_rng(0)
    folds = [number // 80 for number in range(400)]
    values = (rng.random((400, 1)) < 0.7).astype(float)
    cube = score_cube(values, clip_ids=_NAMES, seeds=[1], folds=folds, groups=[f"site{fold}" for fold in folds])
    found = spread(cube.unit_sums, cube.layout)
    assert float(found.variance) == pytest.approx(cube.run_scores[:, 0].var(ddof=1) / 5)
    assert found.base_df == 4


def test_variances_are_those_of_an_analysis_of_variance() -> None:
    values = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    cube = score_cube(values, clip_ids=["a", "b", "c"], seeds=[1, 2])
    found = spread(cube.unit_sums, cube.layout)
    # Means of clips 0.5, 1, 0 and of seeds 2/3, 1/3; what is left of each answer is ± 1/3 or ± 1/6.
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    assert float(found.base) == pytest.approx(np.var([0.5, 1.0, 0.0], ddof=1) / 3)
    assert float(found.seeds.square) == pytest.approx(np.var([2 / 3, 1 / 3], ddof=1) / 2)
    assert float(found.answers) == pytest.approx((left**2).sum() / (2 * 1) / (3 * 2))


def test_a_higher_level_widens_the_interval_and_the_order_of_clips_does_not() -> None:
    rng = np.random.default_rng(3)
    values = (rng.random((400, 3)) < 0.9).astype(float)
    order = rng.permutation(400)
    found, shuffled = (
        estimate(_cube(values)),
        estimate(score_cube(values[order], clip_ids=[_NAMES[place] for place in order], seeds=[1, 2, 3])),
    )
    assert found.interval == shuffled.interval
    assert _width(estimate(_cube(values), level=0.99)) > 1.2 * _width(found)


def _share(num_right: int) -> np.ndarray:
    return (np.arange(400) < num_right)[:, None].astype(float)


def _cube(values: np.ndarray) -> ScoreCube:
    return score_cube(values, clip_ids=_NAMES, seeds=[1, 2, 3])


def _width(found: Estimate) -> float:
    assert found.interval is not None
    return found.interval.high - found.interval.low
