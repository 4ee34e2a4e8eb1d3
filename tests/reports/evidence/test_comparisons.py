"""Two configurations: identical ones are told so, clear differences are found, and what could not be found is said."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reports.evidence import (
    ScoreCube,
    compare,
    compare_all,
    detectable_difference,
    difference,
    estimate,
    power_of,
    score_cube,
    seeds_needed,
)
from reports.evidence.spread import Excess, Spread
from storage.errors import InvalidInput

_CLIPS = [f"clip{number:04d}" for number in range(400)]


def test_identical_configurations_give_p_1_and_no_effect() -> None:
    cube = _cube(0.9)
    found = compare(cube, cube)
    assert (found.p_value, found.p_permutation, found.p_adjusted) == (1.0, 1.0, 1.0)
    assert (found.estimate.mean, found.standardised, found.superiority) == (0.0, 0.0, 0.5)
    assert found.more_seeds is None
    assert {seed: test.p_value for seed, test in found.mcnemar.items()} == {1: 1.0, 2: 1.0, 3: 1.0}


def test_a_clear_difference_is_found_by_every_test() -> None:
    found = compare(_cube(0.9, seed=1), _cube(0.7, seed=2))
    assert found.estimate.interval is not None
    assert 0.1 < found.estimate.interval.low < found.estimate.mean < found.estimate.interval.high < 0.3
    assert found.p_value < 0.01
    assert found.p_permutation < 0.01
    assert found.superiority == 1.0
    assert found.more_seeds == 0
    assert all(test.p_value < 0.001 for test in found.mcnemar.values())


def test_a_handful_of_clips_that_agree_is_no_proof() -> None:
    clips = list("abcd")
    right, wrong = (score_cube(np.full((4, 1), share), clip_ids=clips, seeds=[1]) for share in (1.0, 0.0))
    found = compare(right, wrong)
    assert found.p_permutation == pytest.approx(2 / 16)
    assert found.p_value == pytest.approx(2 * stats.t.sf(2, 3), abs=0.01)


def test_exchanging_the_two_turns_the_sign_alone() -> None:
    first, second = _cube(0.8, seed=1), _cube(0.78, seed=2)
    one, other = compare(first, second), compare(second, first)
    assert one.estimate.mean == pytest.approx(-other.estimate.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.p_permutation == pytest.approx(other.p_permutation)
    assert one.superiority == pytest.approx(1 - other.superiority)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_p_value_and_the_interval_agree(level: float) -> None:
    first, second = _cube(0.8, seed=1), _cube(0.75, seed=2)
    p_value, interval = compare(first, second).p_value, estimate(difference(first, second), level=level).interval
    assert interval is not None
    assert (p_value < 1 - level) == (interval.low > 0)


def test_a_family_of_comparisons_is_adjusted_by_holm() -> None:
    found = compare_all({"a": _cube(0.9, seed=1), "b": _cube(0.88, seed=2), "c": _cube(0.86, seed=3)})
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    least = min(found.values(), key=lambda one: one.p_value)
    assert least.p_adjusted == pytest.approx(min(1.0, 3 * least.p_value))
    assert all(one.p_adjusted >= one.p_value for one in found.values())


def test_scores_that_are_no_answers_have_no_mcnemar_and_one_seed_no_plan() -> None:
    values = np.random.default_rng(0).random((400, 1))
    cube = score_cube(values, clip_ids=_CLIPS, seeds=[1])
    found = compare(cube, score_cube(values[::-1], clip_ids=_CLIPS, seeds=[1]))
    assert (found.mcnemar, found.detectable, found.more_seeds, found.standardised) == ({}, None, None, None)


def test_power_of_a_known_variance_is_the_textbooks() -> None:
    # Only clips, very many: a two-sided normal test, whose power at 2.8 deviations is 0.8.
    found = _spread(clips=1.0, seeds=0.0)
    assert power_of(found, 2.802) == pytest.approx(0.8, abs=0.01)
    assert power_of(found, 0.0) == pytest.approx(0.05, abs=0.005)
    assert detectable_difference(found) == pytest.approx(stats.norm.ppf(0.975) + stats.norm.ppf(0.8), abs=0.03)


def test_seeds_needed_is_0_where_it_is_decided_and_none_where_clips_hide_it() -> None:
    assert seeds_needed(_spread(clips=1.0, seeds=0.01), 5.0) == 0
    assert seeds_needed(_spread(clips=1.0, seeds=4.0), 2.0) is None  # below 2.8 deviations of the clips alone
    assert seeds_needed(_spread(clips=1.0, seeds=0.0), 0.0) is None


def test_seeds_needed_brings_the_power_up_and_no_fewer_would() -> None:
    found = _spread(clips=0.1, seeds=4.0)
    more = seeds_needed(found, 2.0)
    assert more is not None
    assert power_of(found.with_seeds(3 + more), 2.0) >= 0.8 > power_of(found.with_seeds(2 + more), 2.0)
    # Of seeds alone: 2.8² × 12 ÷ (2² − 2.8² × 0.1) = 29 and a few for the t.
    assert 3 + more == pytest.approx(30, abs=4)


def test_more_seeds_leave_the_clips_variance_and_lessen_their_own() -> None:
    found = _spread(clips=1.0, seeds=3.0)
    assert float(found.with_seeds(30).variance) == pytest.approx(1.0 + 0.3)
    assert float(found.with_seeds(3).variance) == pytest.approx(float(found.variance))
    assert float(found.variance_that_stays) == 1.0


def test_one_seed_cannot_plan() -> None:
    with pytest.raises(InvalidInput, match="Train a second seed"):
        seeds_needed(replace(_spread(clips=1.0, seeds=0.0), num_seeds=1), 1.0)


def _cube(share: float, *, seed: int = 0) -> ScoreCube:
    rng = np.random.default_rng(seed)
    return score_cube((rng.random((400, 3)) < share).astype(float), clip_ids=_CLIPS, seeds=[1, 2, 3])


def _spread(*, clips: float, seeds: float) -> Spread:
    """Of three seeds and very many clips, whose variances are known."""
    nothing = Excess(square=np.float64(0.0), floor=np.float64(0.0), df=0.0)
    return Spread(
        base=np.float64(clips),
        answers=np.float64(0.0),
        runs=np.float64(0.0),
        folds=nothing,
        seeds=Excess(square=np.float64(seeds), floor=np.float64(0.0), df=2.0),
        base_df=100_000.0,
        num_seeds=3,
        num_folds=1,
    )
