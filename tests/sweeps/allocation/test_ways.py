"""What may be trained next, and the stages before it."""

import numpy as np
import pytest

from sweeps.allocation import Scores
from sweeps.allocation.beliefs import fit_beliefs
from sweeps.allocation.posterior import posterior_of
from sweeps.allocation.ways import Left, Standing, Way, ways_further, ways_to_begin

_MILESTONES = (1, 3, 9)


def _standing(*, left: float = 1000.0, held_back: float = 0.0) -> Standing:
    """Rows 0 to 3 have a whole seed, 4 to 7 came to the second milestone, 8 to 15 to the first."""
    scores = Scores(_MILESTONES, num_seeds=3, num_architectures=1)
    rng = np.random.default_rng(0)
    for row, level in enumerate([3] * 4 + [2] * 4 + [1] * 8):
        quality = 0.5 + 0.1 * rng.standard_normal()
        scores.add(0)
        for milestone in range(level):
            scores.record(row, 0, milestone, quality - (0.2, 0.1, 0.0)[milestone] + 0.03 * rng.standard_normal())
    beliefs = fit_beliefs(scores)
    posterior = posterior_of(scores, beliefs)
    return Standing(
        scores=scores,
        beliefs=beliefs,
        mean_N=posterior.mean_N,
        precision_N=posterior.precision_N,
        left=Left(in_all=left, free=left - held_back),
    )


def _kinds(ways: list[Way]) -> set[tuple[int, int]]:
    return {(way.seed, way.milestone) for way in ways}


class TestFurther:
    def test_the_one_nearest_to_its_rival_stands_for_all_with_the_same_stages_before_them(self) -> None:
        standing = _standing()
        mean_N = standing.mean_N
        distance_N = np.array([abs(mean - np.delete(mean_N, row).max()) for row, mean in enumerate(mean_N)])
        ways = list(ways_further(standing, taken=()))
        assert _kinds(ways) == {(1, 0), (0, 2), (0, 1)}
        for way in ways:
            alike = {(1, 0): slice(0, 4), (0, 2): slice(4, 8), (0, 1): slice(8, 16)}[way.seed, way.milestone]
            assert way.row is not None
            assert distance_N[way.row] == distance_N[alike].min()
            assert abs(way.chain.ahead) == distance_N[way.row]

    def test_the_stages_move_the_mean_by_what_all_seeds_leave_less_unknown(self) -> None:
        standing = _standing()
        precision = standing.beliefs.precision_AM[0]
        for way in ways_further(standing, taken=()):
            assert way.row is not None
            now = standing.precision_N[way.row]
            then = 1 / standing.beliefs.variance_A[0] + 3 * precision[-1]
            assert (way.chain.deviation_T**2).sum() == pytest.approx(1 / now - 1 / then)
            assert way.chain.cost_T.sum() == 27 - standing.scores.epochs_NS[way.row].sum()

    def test_stages_beyond_what_is_free_are_left_out(self) -> None:
        ways = list(ways_further(_standing(left=30, held_back=16), taken=()))
        costs = {(way.seed, way.milestone): way.chain.cost_T.tolist() for way in ways}
        assert costs == {(1, 0): [1, 2, 6], (0, 2): [6], (0, 1): [2, 6]}

    def test_what_could_no_longer_have_all_seeds_is_no_way(self) -> None:
        assert _kinds(list(ways_further(_standing(left=25), taken=()))) == {(1, 0), (0, 2)}
        assert _kinds(list(ways_further(_standing(left=20), taken=()))) == {(1, 0)}

    def test_what_is_taken_is_no_way(self) -> None:
        assert _kinds(list(ways_further(_standing(), taken=range(8)))) == {(0, 1)}


class TestToBegin:
    def test_each_architecture_that_has_some_is_one_with_all_stages_before_it(self) -> None:
        standing = _standing()
        (way,) = ways_to_begin(standing, may_begin=[0])
        assert way.row is None
        assert way.chain.cost_T.tolist() == [1, 2, 6, 9, 9]
        assert way.chain.ahead == pytest.approx(standing.beliefs.mean_A[0] - standing.mean_N.max())
        assert list(ways_to_begin(standing, may_begin=[])) == []

    def test_none_is_begun_that_could_not_have_all_seeds(self) -> None:
        assert len(list(ways_to_begin(_standing(left=27), may_begin=[0]))) == 1
        assert list(ways_to_begin(_standing(left=26), may_begin=[0])) == []
