"""Steps: how a sweep opens, what it does with its budget, and that only scores decide."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from sweeps.allocation import Allocator, Scores, Step
from sweeps.allocation.allocator import NUM_LOOKS

_MILESTONES = (1, 3, 9)
_ScoreOf = Callable[[int, int, int], float]  # row, seed, milestone


def _steady(row: int, seed: int, milestone: int) -> float:
    """Quality by a fixed draw per row, a small deviation per seed, a curve that all share."""
    quality = 0.5 + 0.1 * np.random.default_rng(row).standard_normal()
    return float(quality + 0.01 * np.random.default_rng((row, seed)).standard_normal() - (0.2, 0.1, 0.0)[milestone])


def _run(
    score_of: _ScoreOf,
    *,
    epochs: float,
    num_architectures: int = 1,
    num_configurations: int = 1000,
    limit: int = 10_000,
) -> tuple[Scores, list[Step], float]:
    scores = Scores(_MILESTONES, num_seeds=3, num_architectures=num_architectures)
    allocator, left = Allocator(scores, epochs), epochs
    steps: list[Step] = []
    while len(steps) < limit:
        may_begin = range(num_architectures) if scores.num_rows < num_configurations else ()
        step = allocator.next_step(epochs_left=left, may_begin=may_begin)
        if step is None:
            break
        left -= allocator.cost(step)
        _do(scores, step, score_of)
        steps.append(step)
    return scores, steps, left


def _do(scores: Scores, step: Step, score_of: _ScoreOf) -> int:
    row = scores.add(step.architecture) if step.row is None else step.row
    for milestone in range(int(scores.level_NS[row, step.seed]) + 1, step.milestone + 1):
        scores.record(row, step.seed, milestone, score_of(row, step.seed, milestone))
    return row


class TestOpening:
    def test_the_untuned_default_of_every_architecture_is_trained_over_all_seeds(self) -> None:
        scores, _, _ = _run(_steady, epochs=400, num_architectures=2)
        for architecture in range(2):
            default = np.flatnonzero(scores.architecture_N == architecture)[0]
            assert scores.num_whole_N[default] == 3

    def test_the_best_and_the_middle_of_the_first_looks_come_to_their_end(self) -> None:
        scores, _, _ = _run(_steady, epochs=400, limit=3 + (NUM_LOOKS - 1) + 2)
        looks = np.arange(1, NUM_LOOKS)
        order = looks[np.argsort(-scores.score_NSM[looks, 0, 0])]
        assert set(np.flatnonzero(scores.num_whole_N)) == {0, order[0], order[len(looks) // 2]}

    @pytest.mark.parametrize(
        ("runs", "num_architectures", "of_default", "of_looks"),
        [(10, 1, 3, 2), (8, 1, 2, 2), (6, 1, 1, 2), (4, 1, 1, 0), (2, 1, 1, 0), (10, 2, 1, 1), (10, 3, 1, 0)],
    )
    def test_it_takes_no_more_than_half_of_a_small_budget_for_whole_trainings(
        self, runs: int, num_architectures: int, of_default: int, of_looks: int
    ) -> None:
        steps = _run(_steady, epochs=9.0 * runs, num_architectures=num_architectures)[1]
        opening = list(itertools.takewhile(lambda step: step.rate is None, steps))
        whole = [step for step in opening if step.milestone == len(_MILESTONES) - 1]
        for architecture in range(num_architectures):
            rows = [step.row for step in whole if step.architecture == architecture]
            looks = [row for row in rows if row is not None and row >= num_architectures]
            assert (len(rows) - len(looks), len(looks)) == (of_default, of_looks)

    def test_it_opens_while_others_are_being_trained(self) -> None:
        scores = Scores(_MILESTONES, num_seeds=3, num_architectures=1)
        allocator = Allocator(scores, 1000)
        busy: list[int] = []
        for _ in range(NUM_LOOKS + 2):  # nothing has a score yet, and nobody waits
            step = allocator.next_step(epochs_left=1000, may_begin=[0], busy=busy)
            assert step is not None
            assert step.row is None
            busy.append(scores.add(0))
        assert allocator.next_step(epochs_left=1000, may_begin=[], busy=busy) is None

    @pytest.mark.parametrize("num_seeds", [1, 2, 3])
    def test_a_budget_of_all_seeds_of_the_default_trains_these(self, num_seeds: int) -> None:
        scores = Scores(_MILESTONES, num_seeds=num_seeds, num_architectures=1)
        allocator, left = Allocator(scores, 9.0 * num_seeds), 9.0 * num_seeds
        while (step := allocator.next_step(epochs_left=left, may_begin=[0])) is not None:
            left -= allocator.cost(step)
            _do(scores, step, _steady)
        assert scores.num_whole_N.tolist() == [num_seeds]


class TestFloor:
    def test_every_architecture_is_tuned_with_a_quarter_of_an_equal_share_however_bad_it_is(self) -> None:
        def far_apart(row: int, seed: int, milestone: int) -> float:
            return _steady(row, seed, milestone) - (5.0 if scores.architecture_N[row] == 0 else 0.0)

        scores = Scores(_MILESTONES, num_seeds=3, num_architectures=2)
        allocator, left = Allocator(scores, 800), 800.0
        while (step := allocator.next_step(epochs_left=left, may_begin=[0, 1])) is not None:
            left -= allocator.cost(step)
            _do(scores, step, far_apart)
        reached_NS = np.where(scores.level_NS < 0, 0, np.array(_MILESTONES)[scores.level_NS])
        spent = [float(reached_NS[scores.architecture_N == index].sum()) for index in range(2)]
        assert 100 <= spent[0] < 100 + 27
        assert (scores.architecture_N == 0).sum() > NUM_LOOKS

    def test_the_best_one_has_all_seeds_in_the_end(self) -> None:
        for epochs in (100, 200, 400):
            scores, steps, _ = _run(_steady, epochs=epochs)
            whole = np.flatnonzero(scores.num_whole_N == 3)
            best = Allocator(scores, epochs).posterior().mean_N.argmax()
            assert best in whole
            assert {step.rate for step in steps if step.seed == 0} != {0.0}


class TestAllFailed:
    def test_configurations_that_are_left_are_tried_when_all_others_have_failed(self) -> None:
        scores = Scores(_MILESTONES, num_seeds=3, num_architectures=1)
        for milestone in range(3):
            scores.record(scores.add(0) if not milestone else 0, 0, milestone, 0.5)
        failed = [0, *(scores.add(0) for _ in range(NUM_LOOKS - 1))]
        step = Allocator(scores, 1000).next_step(epochs_left=900, may_begin=[0], busy=failed, closed=failed)
        assert step is not None
        assert step.row is None

    def test_one_first_look_that_failed_keeps_the_others_from_nothing(self) -> None:
        scores = Scores(_MILESTONES, num_seeds=3, num_architectures=1)
        rows = [scores.add(0) for _ in range(NUM_LOOKS)]
        for row in rows[:-1]:
            scores.record(row, 0, 0, 0.1 * row)
        for milestone in range(3):
            for seed in range(3):
                scores.record(0, seed, milestone, 0.5)
        step = Allocator(scores, 1000).next_step(epochs_left=900, may_begin=[0], busy=rows[-1:], closed=rows[-1:])
        assert step == Step(row=rows[-2], architecture=0, seed=0, milestone=2)


class TestBudget:
    @pytest.mark.parametrize("epochs", [1, 10, 100.5, 500])
    def test_it_is_never_exceeded_and_what_is_left_trains_no_further_configuration_over_all_seeds(
        self, epochs: float
    ) -> None:
        _, steps, left = _run(_steady, epochs=epochs)
        assert 0 <= left < 27
        assert len(steps) >= 1

    def test_nothing_is_begun_when_all_configurations_have_been(self) -> None:
        scores, steps, left = _run(_steady, epochs=5000, num_configurations=20)
        assert scores.num_rows == 20
        assert left > 0
        assert len(steps) < 200


class TestEnd:
    @staticmethod
    def _scores() -> Scores:
        """The last but one is better than those before it and has a whole seed; the last is best and has a look."""
        scores, _, _ = _run(_steady, epochs=400, limit=40)
        for row, seed in zip(*np.nonzero(scores.level_NS >= 0), strict=True):  # what was begun comes to its end
            _do(scores, Step(row=int(row), architecture=0, seed=int(seed), milestone=2), _steady)
        better, best = scores.add(0), scores.add(0)
        for milestone in range(3):
            scores.record(better, 0, milestone, (0.9, 1.0, 1.1)[milestone])
        scores.record(best, 0, 0, 1.3)
        return scores

    @pytest.mark.parametrize(("left", "finished"), [(26, "best"), (25, "better"), (18, "better")])
    def test_the_best_one_that_can_still_have_all_seeds_is_trained(self, left: float, finished: str) -> None:
        scores = self._scores()
        step = Allocator(scores, 1000).next_step(epochs_left=left, may_begin=[])
        assert step is not None
        assert step.row == scores.num_rows - (1 if finished == "best" else 2)

    def test_nothing_is_begun_that_could_not_have_all_seeds(self) -> None:
        scores = self._scores()
        everything = range(scores.num_rows)
        step = Allocator(scores, 1000).next_step(epochs_left=27 + 26, may_begin=[0], busy=everything)
        assert step is not None
        assert step.row is None
        assert Allocator(scores, 1000).next_step(epochs_left=26, may_begin=[0], busy=everything) is None


class TestSteps:
    def test_most_configurations_are_looked_at_once_where_first_epochs_foretell_the_end(self) -> None:
        scores, _, _ = _run(_steady, epochs=400)
        assert (scores.level_NS[:, 0] == 0).mean() > 0.7
        best = max(range(scores.num_rows), key=lambda row: _steady(row, 0, 2))
        assert scores.num_whole_N[best] >= 1

    def test_seeds_are_repeated_where_they_differ_and_not_where_they_do_not(self) -> None:
        def noisy(row: int, seed: int, milestone: int) -> float:
            return _steady(row, seed, milestone) + 0.1 * float(np.random.default_rng((7, row, seed)).standard_normal())

        def again(scores: Scores) -> int:
            return int((scores.num_whole_N[1:] >= 2).sum())  # beside the default

        seeds_repeated = [again(_run(score_of, epochs=1000, num_configurations=20)[0]) for score_of in (_steady, noisy)]
        assert seeds_repeated[0] < seeds_repeated[1]

    def test_seeds_of_a_configuration_come_one_after_the_other(self) -> None:
        scores, _, _ = _run(_steady, epochs=400)
        begun = scores.level_NS >= 0
        whole = scores.level_NS == len(_MILESTONES) - 1
        assert (begun[:, 1:] <= whole[:, :-1]).all()

    def test_what_is_busy_or_closed_is_left_alone(self) -> None:
        scores, _, left = _run(_steady, epochs=300, limit=60)
        allocator = Allocator(scores, 1000)
        everything = range(scores.num_rows)
        for unavailable in ({"busy": everything}, {"closed": everything}):
            step = allocator.next_step(epochs_left=left, may_begin=[0], **unavailable)
            assert step is None or step.row is None

    def test_a_closed_configuration_is_no_longer_the_one_to_surpass(self) -> None:
        scores, _, left = _run(_steady, epochs=400, limit=60)
        row = scores.add(0)
        scores.record(row, 0, 0, 5.0)
        allocator = Allocator(scores, 1000)
        with_it = allocator.next_step(epochs_left=left, may_begin=[0], busy=[row])
        without = allocator.next_step(epochs_left=left, may_begin=[0], closed=[row])
        assert without is not None
        assert without.rate is not None
        assert with_it is None or (with_it.rate or 0) < without.rate

    def test_a_sweep_that_is_taken_up_after_any_step_goes_on_as_it_would_have(self) -> None:
        _, undisturbed, _ = _run(_steady, epochs=400, num_architectures=2)
        for cut in (1, 7, len(undisturbed) // 2, len(undisturbed) - 1):
            scores = Scores(_MILESTONES, num_seeds=3, num_architectures=2)
            left = 400.0
            allocator = Allocator(scores, 400)
            for step in undisturbed[:cut]:
                left -= allocator.cost(step)
                _do(scores, step, _steady)
            assert Allocator(scores, 400).next_step(epochs_left=left, may_begin=[0, 1]) == undisturbed[cut]

    def test_the_unit_of_scores_does_not_matter(self) -> None:
        def scaled_by_128(row: int, seed: int, milestone: int) -> float:  # a power of two, which rounds nothing
            return 128 * _steady(row, seed, milestone)

        plain, scaled = _run(_steady, epochs=300)[1], _run(scaled_by_128, epochs=300)[1]
        assert [(step.row, step.seed, step.milestone) for step in plain] == [
            (step.row, step.seed, step.milestone) for step in scaled
        ]
