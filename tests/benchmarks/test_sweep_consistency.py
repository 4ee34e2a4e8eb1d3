"""What is held against a sweep that was killed finds each kind of fault, and none in a sound sweep."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.sweep_consistency import (
    Arrival,
    arrivals,
    decision_faults,
    row_faults,
    rung_faults,
    stop_faults,
)

MILESTONES = (1, 2)
_SEEDS = (5, 6)


def sweep(
    curves: list[list[float]], *, whole: int = 3, epochs: int = 3, untuned: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Rows of a sweep whose trials ran one after the other; those with a whole curve have finished."""
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("suggestions", "decisions", "trials", "epochs", "seeds", "predictions", "failures")
    }
    for number, curve in enumerate(curves):
        trial = {"trial_id": f"t{number}", "architecture": "cnn"}
        rows["suggestions"].append({**trial, "number": number, "untuned_default": number == untuned})
        rows["epochs"] += [{**trial, "seed_epoch": at, "objective": value} for at, value in enumerate(curve, 1)]
        state = "finished" if len(curve) == whole else "stopped"
        end = {"number": number, "state": state, "seed_epochs": len(curve), "objective": curve[-1]}
        rows["trials"].append({**trial, **end, "ended_at": datetime.datetime.fromtimestamp(10.0 * number + 9)})
        for seed in _SEEDS[: len(curve) // epochs]:
            rows["seeds"].append({**trial, "seed": seed})
            answer = {**trial, "seed": seed}
            rows["predictions"] += [{**answer, "part": part, "clip_id": part[0]} for part in ("validation", "test")]
    return rows


def faults_of_rows(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    return row_faults(rows, seeds=_SEEDS[:1], epochs=3)


SOUND = [[0.5, 0.6, 0.7], [0.4], [0.6, 0.5]]  # by halves: the second is below the best of two, the third above it


def faults_at_rungs(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    return rung_faults(arrivals(rows, MILESTONES), reduction_factor=2)


class TestRows:
    def test_a_sound_sweep_has_no_fault(self) -> None:
        rows = sweep(SOUND)
        assert faults_of_rows(rows) == stop_faults(rows, MILESTONES, whole=3) == faults_at_rungs(rows) == []

    @pytest.mark.parametrize("table", ["suggestions", "trials", "epochs", "seeds", "predictions"])
    def test_a_row_twice_and_a_lost_row_are_found(self, table: str) -> None:
        twice, lost = sweep(SOUND), sweep(SOUND)
        twice[table].append(twice[table][-1])
        del lost[table][:2]
        assert faults_of_rows(twice)
        assert faults_of_rows(lost)

    def test_an_end_that_differs_from_the_last_epoch_is_found(self) -> None:
        rows = sweep(SOUND)
        rows["trials"][1]["objective"] = 0.9
        assert faults_of_rows(rows) == ["t1: its end has another objective than its last epoch"]

    def test_a_trial_that_was_stopped_between_rungs_is_found(self) -> None:
        rows = sweep([[0.5, 0.6, 0.7], [0.4, 0.4, 0.4]], whole=4)
        assert [fault.split(":")[0] for fault in stop_faults(rows, MILESTONES, whole=4)] == ["t0", "t1"]


class TestSeeds:
    """A trial of two seeds with two epochs each has finished, one was stopped after a seed, one after an epoch."""

    def faults(self, change: Callable[[dict[str, list[dict[str, Any]]]], object]) -> list[str]:
        rows = sweep([[0.5, 0.5, 0.6, 0.6], [0.5, 0.6], [0.4]], whole=4, epochs=2)
        change(rows)
        return row_faults(rows, seeds=_SEEDS, epochs=2)

    def test_a_sound_sweep_has_no_fault(self) -> None:
        assert self.faults(lambda rows: None) == []

    def test_a_lost_seed_of_a_trial_that_was_stopped_later_is_found(self) -> None:
        assert self.faults(lambda rows: rows["seeds"].pop()) == [
            "t1: ended at 2 and has seeds []",
            "t1: seed 5 has predictions and no row of its own",
        ]

    def test_a_lost_seed_is_found_though_its_predictions_are_lost_too(self) -> None:
        def lose(rows: dict[str, list[dict[str, Any]]]) -> None:
            rows["seeds"].pop()
            del rows["predictions"][-2:]

        assert self.faults(lose) == ["t1: ended at 2 and has seeds []"]

    def test_a_seed_of_a_trial_that_never_came_to_its_end_is_found(self) -> None:
        def add(rows: dict[str, list[dict[str, Any]]]) -> None:
            rows["seeds"].append({**rows["seeds"][0], "trial_id": "t2"})
            rows["predictions"] += [{**row, "trial_id": "t2"} for row in rows["predictions"][:2]]

        assert self.faults(add) == ["t2: ended at 1 and has seeds [5]"]

    def test_the_predictions_of_a_clip_or_a_part_that_are_missing_are_found(self) -> None:
        assert self.faults(lambda rows: rows["predictions"].pop(2)) == ["t0: seed 6 has no predictions of 1 clips"]

    def test_an_end_that_became_a_failure_is_found_and_a_recorded_failure_is_none(self) -> None:
        assert self.faults(lambda rows: rows["trials"][2].update(state="failed")) == [
            "t2: failed, and nothing says how"
        ]

        def fail(rows: dict[str, list[dict[str, Any]]]) -> None:
            rows["trials"][2]["state"] = "failed"
            rows["failures"].append({"trial_id": "t2", "reason": "not_finite"})

        assert self.faults(fail) == []


class TestRungs:
    @pytest.mark.parametrize(
        ("curves", "wrong"),
        [
            ([[0.5, 0.6, 0.7], [0.4, 0.1]], "t1 at ('cnn', 1): went on"),
            ([[0.5, 0.6, 0.7], [0.6]], "t1 at ('cnn', 1): was stopped"),
            ([[0.5, 0.6, 0.7], [0.5]], "t1 at ('cnn', 1): was stopped"),  # a tie goes on
        ],
    )
    def test_a_decision_against_the_rung_is_found(self, curves: list[list[float]], wrong: str) -> None:
        (fault,) = faults_at_rungs(sweep(curves))
        assert fault.startswith(wrong)

    def test_what_came_later_explains_nothing(self) -> None:
        assert faults_at_rungs(sweep([[0.4, 0.4, 0.4], [0.5, 0.5, 0.5]])) == []
        assert len(faults_at_rungs(sweep([[0.4], [0.5, 0.5, 0.5]]))) == 1  # the first at a rung goes on

    def test_an_untuned_default_is_never_stopped(self) -> None:
        curves = [[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]]
        assert faults_at_rungs(sweep(curves, untuned=1)) == []
        assert len(faults_at_rungs(sweep([[0.5, 0.5, 0.5], [0.1]], untuned=1))) == 1

    @pytest.mark.parametrize("went_on", [True, False])
    def test_at_the_same_time_either_order_is_right(self, went_on: bool) -> None:
        def arrival(name: str, objective: float, since: float, went_on: bool) -> Arrival:
            return Arrival(
                trial_id=name, rung=("cnn", 1), objective=objective, earliest=since, latest=since + 2, went_on=went_on
            )

        low = arrival("low", 0.4, 1.0, went_on)
        assert rung_faults([low, arrival("high", 0.5, 0.0, True)], reduction_factor=2) == []
        before = rung_faults([low, arrival("high", 0.5, -5.0, True)], reduction_factor=2)
        assert bool(before) == went_on

    def test_by_the_times_of_rows_a_trial_stands_at_a_rung_until_its_next_row_or_its_end(self) -> None:
        rows = sweep([[0.5, 0.6], [0.4]])
        times = {("t0", 1): 1.0, ("t0", 2): 4.0, ("t1", 1): 3.0}
        found = {(a.trial_id, a.rung[1]): (a.earliest, a.latest) for a in arrivals(rows, MILESTONES, times)}
        assert found == {("t0", 1): (1.0, 4.0), ("t0", 2): (4.0, 9.0), ("t1", 1): (3.0, 19.0)}


class TestDecisions:
    def rows(self, decisions: list[tuple[str, int]]) -> dict[str, list[dict[str, Any]]]:
        rows = sweep([[0.5, 0.6, 0.7], [0.4]])
        rows["decisions"] = [
            {"decision": number, "trial_id": trial_id, "until": until}
            for number, (trial_id, until) in enumerate(decisions)
        ]
        return rows

    def test_a_sound_sweep_has_no_fault(self) -> None:
        rows = self.rows([("t0", 2), ("t1", 1), ("void", 1), ("t0", 3)])
        assert decision_faults(rows, whole=3, budget=4) == []

    @pytest.mark.parametrize(
        ("decisions", "budget", "wrong"),
        [
            ([("t0", 3), ("t1", 1), ("t1", 1)], 4.0, "decision 2: t1 had been sent to 1 before"),
            ([("t0", 2), ("t1", 1)], 4.0, "t0: sent to 2, ended at 3"),
            ([("t0", 3), ("t1", 2)], 4.0, "t1: sent to 2, ended at 1"),
            ([("t0", 3), ("t1", 1)], 3.0, "4 seed-epochs of 3"),
        ],
    )
    def test_what_no_decision_allowed_is_found(
        self, decisions: list[tuple[str, int]], budget: float, wrong: str
    ) -> None:
        assert wrong in decision_faults(self.rows(decisions), whole=3, budget=budget)

    def test_a_lost_decision_is_found(self) -> None:
        rows = self.rows([("t0", 2), ("t1", 1), ("t0", 3)])
        del rows["decisions"][1]
        assert any(fault.startswith("decisions: numbers") for fault in decision_faults(rows, whole=3, budget=4))
