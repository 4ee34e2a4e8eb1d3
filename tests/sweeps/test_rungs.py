"""Successive halving, held against the paper's rule and against a process that was restarted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.rungs import Rungs, milestones

objectives = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_milestones_are_geometric_within_the_first_seed_and_then_one_per_seed() -> None:
    assert milestones(grace_epochs=3, reduction_factor=3, epochs=25, num_seeds=3) == (3, 9, 25, 50)


def test_a_milestone_never_falls_on_the_last_seed_epoch() -> None:
    assert milestones(grace_epochs=5, reduction_factor=2, epochs=5, num_seeds=1) == ()


@given(grace=st.integers(1, 9), factor=st.integers(2, 5), epochs=st.integers(1, 60), num_seeds=st.integers(1, 4))
def test_milestones_ascend_and_end_before_the_trial_does(grace: int, factor: int, epochs: int, num_seeds: int) -> None:
    found = milestones(grace_epochs=grace, reduction_factor=factor, epochs=epochs, num_seeds=num_seeds)
    assert list(found) == sorted(set(found))
    assert all(milestone < epochs * num_seeds for milestone in found)
    assert len([milestone for milestone in found if milestone >= epochs]) == num_seeds - 1


def decide_all(values: list[float], factor: int = 3) -> list[bool]:
    rungs = Rungs(milestones=(1,), reduction_factor=factor)
    return [rungs.goes_on(str(index), 1, value) for index, value in enumerate(values)]


def test_the_first_trial_at_a_rung_goes_on() -> None:
    assert decide_all([0.1]) == [True]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 0.4, 0.3, 0.2], [True, False, False, False]),
        ([0.2, 0.3, 0.4, 0.5], [True, True, True, True]),
        ([0.5, 0.5], [True, True]),  # a tie with the best is not worse than the best
        ([0.9, 0.1, 0.2, 0.3, 0.4, 0.8], [True, False, False, False, False, True]),  # the sixth is among the best 6/3
    ],
)
def test_a_trial_goes_on_if_it_is_among_the_best_third_so_far(values: list[float], expected: list[bool]) -> None:
    assert decide_all(values) == expected


@given(objectives, st.integers(2, 5))
def test_the_best_trial_so_far_always_goes_on(values: list[float], factor: int) -> None:
    for index, goes_on in enumerate(decide_all(values, factor)):
        if values[index] == max(values[: index + 1]):
            assert goes_on


def test_between_rungs_everything_goes_on() -> None:
    rungs = Rungs(milestones=(2,), reduction_factor=2)
    assert rungs.goes_on("a", 2, 0.9)
    assert rungs.goes_on("b", 1, 0.0)
    assert not rungs.goes_on("b", 2, 0.0)
    assert rungs.goes_on("b", 3, 0.0)


def test_a_decision_is_the_same_when_it_is_asked_for_after_a_restart() -> None:
    before = Rungs(milestones=(2, 4), reduction_factor=2)
    for trial, value in (("a", 0.9), ("b", 0.8)):
        before.goes_on(trial, 2, value)
    first = before.goes_on("c", 2, 0.1)

    after = Rungs(milestones=(2, 4), reduction_factor=2)
    after.restore("a", [(1, 0.5), (2, 0.9), (3, 0.9), (4, 0.95)], undecided_at=None)
    after.restore("b", [(1, 0.5), (2, 0.8)], undecided_at=None)
    after.restore("c", [(1, 0.1), (2, 0.1)], undecided_at=2)
    assert after.goes_on("c", 2, 0.1) is first is False


def test_a_trial_past_a_rung_is_not_judged_there_again() -> None:
    rungs = Rungs(milestones=(2,), reduction_factor=2)
    rungs.restore("a", [(1, 0.1), (2, 0.1), (3, 0.1)], undecided_at=3)
    rungs.goes_on("b", 2, 0.9)
    assert rungs.goes_on("a", 2, 0.1)


def test_a_trial_whose_checkpoint_is_newer_than_its_last_row_had_gone_on_from_there() -> None:
    rungs = Rungs(milestones=(2,), reduction_factor=2)
    rungs.restore("a", [(1, 0.5), (2, 0.9)], undecided_at=2)
    assert rungs.goes_on("a", 3, 0.9)  # heard of at 3: it was sent on at 2 before the interruption
    assert rungs.recorded[2] == {"a": 0.9}
    assert not rungs.goes_on("b", 2, 0.1)


def test_a_seed_that_stopped_early_is_judged_at_the_rungs_that_it_passed() -> None:
    rungs = Rungs(milestones=(3, 9, 25), reduction_factor=3)
    for number in range(6):
        assert rungs.goes_on(str(number), 9, 0.5 + number / 100)
    assert not rungs.goes_on("early", 25, 0.1)
    assert [rungs.recorded[place].get("early") for place in (3, 9, 25)] == [0.1, 0.1, 0.1]
    again = Rungs(milestones=(3, 9, 25), reduction_factor=3)
    again.restore("early", [(1, 0.1), (2, 0.1), (25, 0.1)], undecided_at=None)
    assert [again.recorded[place].get("early") for place in (3, 9, 25)] == [0.1, 0.1, 0.1]


@given(objectives, objectives, st.integers(2, 5))
def test_decisions_are_those_of_the_papers_rule_after_a_restart_too(
    before: list[float], after: list[float], factor: int
) -> None:
    rungs = Rungs(milestones=(1,), reduction_factor=factor)
    for index, value in enumerate(before):
        rungs.restore(f"before {index}", [(1, value)], undecided_at=None)
    seen = list(before)
    for index, value in enumerate(after):
        seen.append(value)
        best = sorted(seen, reverse=True)[: max(1, len(seen) // factor)]
        assert rungs.goes_on(f"after {index}", 1, value) == (value >= best[-1])
