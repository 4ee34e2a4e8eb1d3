"""Halving that pauses: who is taken up from which rung, held against the paper's rule."""

from collections.abc import Callable

import numpy as np
import pytest

from sweeps.allocation import Ladder, Promotions, Scores, Step
from sweeps.rungs import bracket_of

_MILESTONES = (1, 3, 9)
_LAST = len(_MILESTONES) - 1
_ScoreOf = Callable[[int, int, int], float]  # row, seed, milestone


def _by_row(row: int, seed: int, milestone: int) -> float:
    """Later ones are better."""
    return float(row)


def _against_row(row: int, seed: int, milestone: int) -> float:
    return -float(row)


def _promotions(scores: Scores, **changed: object) -> Promotions:
    values: dict[str, object] = {
        "reduction_factor": 3,
        "num_brackets": 1,
        "bracket_of": lambda place: 0,
        "never_stop_first": 0,
        "compares_seeds": True,
    }
    return Promotions(scores, Ladder(**{**values, **changed}))  # type: ignore[arg-type]


def _scores(*, num_seeds: int = 1, num_architectures: int = 1) -> Scores:
    return Scores(_MILESTONES, num_seeds=num_seeds, num_architectures=num_architectures)


def _run(
    scores: Scores, promotions: Promotions, score_of: _ScoreOf = _by_row, *, num_configurations: int, limit: int = 10**6
) -> list[Step]:
    """Steps, one at a time, until there is none; so many configurations of each architecture."""
    steps: list[Step] = []
    while len(steps) < limit:
        counts = np.bincount(scores.architecture_N, minlength=scores.num_architectures)
        may_begin = np.flatnonzero(counts < num_configurations).tolist()
        whole = np.flatnonzero(scores.num_whole_N == scores.num_seeds).tolist()
        step = promotions.next_step(epochs_left=float("inf"), may_begin=may_begin, busy=whole)
        if step is None:
            break
        row = scores.add(step.architecture) if step.row is None else step.row
        for milestone in range(int(scores.level_NS[row, step.seed]) + 1, step.milestone + 1):
            scores.record(row, step.seed, milestone, score_of(row, step.seed, milestone))
        steps.append(step)
    return steps


def _num_at(scores: Scores, milestone: int, seed: int = 0) -> int:
    return int((scores.level_NS[:, seed] >= milestone).sum())


class TestOneRung:
    def test_nothing_goes_on_because_it_came_first(self) -> None:
        scores = _scores()
        steps = _run(scores, _promotions(scores), num_configurations=3, limit=4)
        assert [step.row for step in steps] == [None, None, None, 2]

    def test_one_that_was_put_down_goes_on_once_it_is_among_the_best(self) -> None:
        scores = _scores()
        steps = _run(scores, _promotions(scores), _against_row, num_configurations=9, limit=13)
        taken_up = [step.row for step in steps if step.row is not None]
        assert taken_up[:3] == [0, 1, 2]
        assert taken_up[3] == 0  # now three stand at the second rung

    def test_of_27_a_third_comes_to_each_rung(self) -> None:
        scores = _scores()
        drawn = np.random.default_rng(0).permutation(27)
        _run(scores, _promotions(scores), lambda row, seed, milestone: float(drawn[row]), num_configurations=27)
        assert _num_at(scores, 0) == 27
        assert 9 <= _num_at(scores, 1) <= 9 + 3  # some went on that were among the best third of fewer
        assert np.flatnonzero(drawn == 26)[0] in np.flatnonzero(scores.num_whole_N)

    def test_equal_ones_go_on_in_the_order_in_which_they_were_begun(self) -> None:
        scores = _scores()
        steps = _run(scores, _promotions(scores), lambda row, seed, milestone: 0.5, num_configurations=6, limit=8)
        assert [step.row for step in steps if step.row is not None] == [0, 1]


class TestTheEnd:
    @pytest.mark.parametrize("num_configurations", [1, 2, 4])
    def test_a_sweep_of_few_has_one_that_is_trained_to_its_end(self, num_configurations: int) -> None:
        scores = _scores(num_seeds=2)
        _run(scores, _promotions(scores), num_configurations=num_configurations)
        assert scores.num_whole_N.max() == 2
        assert scores.num_whole_N.argmax() == num_configurations - 1

    def test_while_one_is_on_its_way_to_a_rung_none_goes_on_for_want_of_others(self) -> None:
        scores = _scores()
        for score in (0.1, 0.2):
            scores.record(scores.add(0), 0, 0, score)
        late = scores.add(0)
        promotions = _promotions(scores)
        assert promotions.next_step(epochs_left=1, may_begin=[], busy=[late]) is None
        scores.record(late, 0, 0, 0.15)
        step = promotions.next_step(epochs_left=1, may_begin=[])
        assert step == Step(row=1, architecture=0, seed=0, milestone=1)


class TestSeeds:
    def test_further_seeds_are_earned_by_the_mean_over_all_that_were_begun(self) -> None:
        scores = _scores(num_seeds=3)
        lucky = {0: (0.9, 0.1, 0.5), 1: (0.6, 0.6, 0.6), 2: (0.5, 0.8, 0.8)}
        for row, of_seeds in lucky.items():
            scores.add(0)
            for seed, score in enumerate(of_seeds[:2]):
                for milestone in range(len(_MILESTONES)):
                    scores.record(row, seed, milestone, score)
        step = _promotions(scores).next_step(epochs_left=1, may_begin=[])
        assert step == Step(row=2, architecture=0, seed=2, milestone=_LAST)

    def test_without_rungs_between_seeds_whoever_ends_the_first_gets_them_all(self) -> None:
        scores = _scores(num_seeds=3)
        _run(scores, _promotions(scores, compares_seeds=False), num_configurations=9)
        whole = scores.num_whole_N
        assert set(whole.tolist()) == {0, 3}


class TestSpared:
    def test_the_first_ones_go_through_all_rungs_before_any_other_goes_on(self) -> None:
        scores = _scores(num_seeds=2)
        steps = _run(scores, _promotions(scores, never_stop_first=2), num_configurations=6)
        assert scores.num_whole_N[:2].tolist() == [2, 2]
        assert [step.row for step in steps[:6]] == [None, 0, 0, None, 1, 1]


class TestFailures:
    def test_one_that_failed_is_not_taken_up_and_its_scores_stay_what_others_are_compared_with(self) -> None:
        scores = _scores()
        for score in (0.9, 0.5, 0.4, 0.3, 0.2, 0.1):
            scores.record(scores.add(0), 0, 0, score)
        step = _promotions(scores).next_step(epochs_left=1, may_begin=[], closed=[0])
        assert step is not None
        assert step.row == 1  # two of six go on, of which one cannot
        scores.record(1, 0, 1, 0.6)
        assert _promotions(scores).next_step(epochs_left=1, may_begin=[0], closed=[0]) == Step(
            row=None, architecture=0, seed=0, milestone=0
        )


class TestBrackets:
    def test_each_compares_its_own_alone_and_begins_at_its_own_first_rung(self) -> None:
        scores = _scores()
        promotions = _promotions(scores, num_brackets=2, bracket_of=lambda place: place % 2)
        steps = _run(scores, promotions, num_configurations=6, limit=6)
        assert [(step.row, step.milestone) for step in steps[:5]] == [(None, 0), (None, 1)] * 2 + [(None, 0)]
        assert (steps[5].row, steps[5].milestone) == (4, 1)  # the best of 0, 2 and 4

    def test_architectures_take_turns(self) -> None:
        scores = _scores(num_architectures=2)
        steps = _run(scores, _promotions(scores), num_configurations=2, limit=4)
        assert [step.architecture for step in steps] == [0, 1, 0, 1]

    def test_configurations_are_dealt_by_hyperbands_shares_the_first_to_bracket_0(self) -> None:
        dealt = [bracket_of(place, num_brackets=3, reduction_factor=3) for place in range(17 * 4)]
        assert dealt[0] == 0
        assert [dealt.count(bracket) for bracket in range(3)] == [9 * 4, 5 * 4, 3 * 4]
        assert dealt[:17] == dealt[17:34]
        assert set(dealt[:6]) == {0, 1, 2}  # each is met early
        assert {bracket_of(place, num_brackets=1, reduction_factor=3) for place in range(9)} == {0}
