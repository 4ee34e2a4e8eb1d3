"""Trials of earlier sweeps that a sweep starts with: which, as what, and fixed when it begins."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_toys import record_trial
from sweep_toys import SWEEP_ROW, make_plan

from storage.errors import InvalidInput
from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.ledger import Ledger
from sweeps.records import Suggestion, TrialState
from sweeps.sampler_settings import SamplerSettings
from sweeps.studies import Studies
from sweeps.turn_search import TurnSearch
from sweeps.warm_start import check_warm_start, take_earlier

_CURVES: Mapping[TrialState | None, Mapping[int, float]] = {
    "finished": {1: 0.3, 2: 0.4, 3: 0.5, 4: 0.5, 5: 0.55, 6: 0.6},
    "stopped": {1: 0.2},
    "failed": {1: 0.1},
    None: {1: 0.9},
}
_STATES: tuple[TrialState | None, ...] = ("finished", "stopped", "failed", None)


class Store:
    """A results table with one earlier sweep in it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.results = ResultsTable(LocalObjectStore(folder))
        self.earlier = make_plan(name="earlier", **settings)
        self.ledger = Ledger(self.results, self.earlier.sweep_id)
        self.ledger.start(SWEEP_ROW)
        self._studies, self._number = Studies(self.earlier), 0

    def trial(self, state: TrialState | None) -> Suggestion:
        """Another trial of the earlier sweep."""
        suggestion = self._studies.suggest(self._number)
        assert suggestion is not None
        record_trial(self.ledger, suggestion, state, _CURVES[state])
        self._number += 1
        return suggestion

    def plan(self, **settings: object) -> SweepPlan:
        return make_plan(**{"warm_start": (self.earlier.sweep_id,), **settings})

    def take(self, plan: SweepPlan) -> tuple[list[tuple[str | None, Mapping[str, object]]], list[str]]:
        """(state, parameters) of the trials taken, and what was said."""
        said: list[str] = []
        taken = take_earlier(plan, Ledger(self.results, plan.sweep_id), say=said.append)
        return [(record.state, record.suggestion.parameters) for record in taken], said


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path)
    for state in _STATES:
        found.trial(state)
    return found


def test_finished_and_stopped_trials_are_taken_with_their_curves_and_the_others_counted(store: Store) -> None:
    said: list[str] = []
    plan = store.plan()
    taken = take_earlier(plan, Ledger(store.results, plan.sweep_id), say=said.append)
    suggested = [record.suggestion.parameters for record in store.ledger.records()]
    assert [(record.state, record.objective, record.objectives) for record in taken] == [
        ("finished", 0.6, _CURVES["finished"]),
        ("stopped", 0.2, _CURVES["stopped"]),
    ]
    assert [record.suggestion.parameters for record in taken] == suggested[:2]
    assert said == [
        f"warm start from {store.earlier.sweep_id}: 2 trials taken; left out: 1 failed, 1 not ended",
    ]


def test_which_they_are_is_fixed_when_the_sweep_begins(store: Store) -> None:
    first, _ = store.take(store.plan())
    store.trial("finished")
    again, said = store.take(store.plan())
    assert again == first
    assert said == ["warm start: 2 earlier trials, as they were when the sweep began"]
    assert len(store.take(store.plan(searcher_seed=9))[0]) == 3


def test_a_search_goes_on_from_what_they_found(store: Store) -> None:
    for _ in range(3):
        store.trial("finished")
    plan = store.plan(num_trials=3)  # two of three would be drawn at random without them
    taken = take_earlier(plan, Ledger(store.results, plan.sweep_id), say=lambda line: None)
    warm, cold, again = Studies(plan, taken), Studies(plan), Studies(plan, taken)
    pairs = [(warm.suggest(number), cold.suggest(number), again.suggest(number)) for number in range(2)]
    assert pairs[0][0] == pairs[0][1]  # the untuned default
    assert pairs[1][0] != pairs[1][1]
    assert all(mine == theirs for mine, _, theirs in pairs)


def test_an_adaptive_search_goes_on_from_what_they_found(store: Store) -> None:
    store.trial("finished")
    plan = store.plan(num_trials=3, scheduler="adaptive")
    ledger = Ledger(store.results, plan.sweep_id)
    taken = take_earlier(plan, ledger, say=lambda line: None)
    second = []
    for earlier in (taken, []):
        search = TurnSearch(plan, Ledger(store.results, f"{plan.sweep_id}-{len(earlier)}"), [], [], earlier)
        turns = [search.next_turn() for _ in range(2)]
        assert turns[0] is not None
        assert turns[0].suggestion.untuned_default
        second.append(turns[1])
    assert None not in second
    assert second[0] != second[1]


def test_it_is_part_of_which_sweep_it_is(store: Store) -> None:
    assert store.plan().sweep_id != make_plan().sweep_id
    assert "warm_start" not in make_plan().identity["settings"]


class TestOtherSpaces:
    def test_what_is_searched_no_more_is_dropped_and_what_was_fixed_is_read_from_the_configuration(
        self, tmp_path: Path
    ) -> None:
        store = Store(tmp_path, trial={"model.width": 4, "model.dropout": 0.125})
        store.trial("finished")
        plan = store.plan(trial={"model.width": 4, "batch_size": 32})
        ((_, parameters),), said = store.take(plan)
        assert parameters.keys() == plan.space("cnn").distributions.keys()
        assert parameters["model.dropout"] == 0.125
        assert said[1:] == [
            "  searched there and not here, left out of them: batch_size",
            "  the same in all trials here, and otherwise there: batch_size",
        ]

    def test_a_trial_outside_of_the_space_is_left_out_whole(self, tmp_path: Path) -> None:
        store = Store(tmp_path, trial={"model.width": 4, "model.dropout": 0.9})
        store.trial("finished")
        with pytest.raises(InvalidInput, match=r"1 with model\.dropout outside of what is searched"):
            store.take(store.plan())

    def test_a_trial_of_an_architecture_that_is_not_searched_is_left_out(self, tmp_path: Path) -> None:
        store = Store(tmp_path, architectures=("cnn", "alexnet"), trial={})
        store.trial("stopped")
        store.trial("stopped")
        taken, said = store.take(store.plan(trial={}))
        assert len(taken) == 1
        assert "left out: 1 of other architectures" in said[0]


class TestRefused:
    @pytest.mark.parametrize("value", ["6" * 16])
    @pytest.mark.parametrize("name", ["dataset", "fingerprint", "split_hash"])
    def test_other_data_and_other_splits(self, store: Store, name: str, value: str) -> None:
        with pytest.raises(InvalidInput, match=r"sweep\.warm_start: .*do not compare"):
            check_warm_start(replace(store.plan(), **{name: value}), store.results)  # type: ignore[arg-type]

    def test_another_number_of_epochs(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match=r"trials have 3 epochs.*sweep\.epochs=9.*sweep\.points"):
            check_warm_start(store.plan(epochs=9), store.results)

    def test_a_sweep_that_is_not_there(self, store: Store) -> None:
        misspelt = f"{store.earlier.sweep_id[:-1]}x"
        with pytest.raises(InvalidInput, match=f"Did you mean '{store.earlier.sweep_id}'"):
            check_warm_start(make_plan(warm_start=(misspelt,)), store.results)

    @pytest.mark.parametrize("given", ["../../x", "", "a/../b", "x\0"])
    def test_what_cannot_be_an_id(self, store: Store, given: str) -> None:
        with pytest.raises(InvalidInput, match=r"allowed: ids of this store's sweeps, like first-0123456789ab") as told:
            check_warm_start(make_plan(warm_start=(given,)), store.results)
        assert (told.value.field, told.value.given) == ("sweep.warm_start", given)

    def test_a_name_without_its_hash(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match=f"Did you mean '{store.earlier.sweep_id}'"):
            check_warm_start(make_plan(warm_start=("earlier",)), store.results)

    def test_what_is_no_sweep(self, store: Store) -> None:
        Ledger(store.results, "e-1").start({**SWEEP_ROW, "kind": "experiment"})
        with pytest.raises(InvalidInput, match="kind is experiment"):
            check_warm_start(make_plan(warm_start=("e-1",)), store.results)

    @pytest.mark.parametrize("kind", ["random", "grid", "cmaes"])
    def test_samplers_that_would_not_learn_from_it(self, kind: str) -> None:
        with pytest.raises(InvalidInput, match=r"sweep\.warm_start.*kind=tpe or gp"):
            make_plan(warm_start=("a-1",), sampler=SamplerSettings(kind=kind))  # type: ignore[arg-type]

    def test_the_same_sweep_twice(self) -> None:
        with pytest.raises(InvalidInput, match=r"sweep\.warm_start"):
            make_plan(warm_start=("a-1", "a-1"))


def test_good_ones_are_not_refused(store: Store) -> None:
    check_warm_start(store.plan(seeds=(7,)), store.results)
    check_warm_start(make_plan(), store.results)
