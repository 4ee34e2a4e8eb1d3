"""Turns of adaptive sweeps, trained by a toy: budget, order, several at once, failures."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from turn_toys import EPOCHS, SEEDS, Killed, Toy, adaptive_plan, pausing_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.allocation import Step
from sweeps.turn_search import TurnSearch


class TestUndisturbed:
    def test_every_trial_has_one_end_and_all_seeds_of_the_defaults_are_trained(self, tmp_path: Path) -> None:
        toy = Toy(adaptive_plan(budget=20.0), LocalObjectStore(tmp_path / "store"))
        toy.run()
        ledger = toy.ledger
        rows = ResultsTable(ledger.store).read("trials", sweep_id=ledger.sweep_id).to_pylist()
        assert sorted(row["number"] for row in rows) == list(range(len(ledger.records())))
        whole = {row["trial_id"] for row in rows if row["seed_epochs"] == EPOCHS * len(SEEDS)}
        defaults = [record.suggestion for record in ledger.records() if record.suggestion.untuned_default]
        assert len(defaults) == 2
        assert {suggestion.config.trial_id for suggestion in defaults} <= whole

    def test_the_budget_is_spent_and_not_exceeded(self, undisturbed: Toy) -> None:
        spent = sum(max(record.objectives) for record in undisturbed.ledger.records())
        assert adaptive_plan().budget_epochs - EPOCHS < spent <= adaptive_plan().budget_epochs

    def test_decisions_are_numbered_and_lead_to_where_trials_came(self, undisturbed: Toy) -> None:
        decisions = undisturbed.ledger.decisions()
        assert [decision.number for decision in decisions] == list(range(len(decisions)))
        until = {decision.trial_id: decision.until for decision in decisions}
        assert until == {
            record.suggestion.config.trial_id: max(record.objectives) for record in undisturbed.ledger.records()
        }

    def test_a_finished_configuration_stays_what_others_have_to_be_better_than(self, tmp_path: Path) -> None:
        toy = Toy(adaptive_plan(), LocalObjectStore(tmp_path / "store"))
        weighed: list[Collection[int]] = []
        choose = toy.search._chooser.next_step

        def next_step(**given: Any) -> Step | None:
            weighed.append([row for row in given["busy"] if row not in given["closed"]])
            return choose(**given)

        toy.search._chooser.next_step = next_step  # type: ignore[method-assign]
        toy.run()
        finished = {row for row, trial in enumerate(toy.search._trials) if trial.state == "finished"}
        assert finished
        assert finished == set(weighed[-1])

    @pytest.mark.parametrize("plan", [adaptive_plan(), pausing_plan()], ids=["adaptive", "pausing"])
    @pytest.mark.parametrize("concurrency", [1, 3])
    def test_what_is_decided_at_rungs_is_told(self, plan: SweepPlan, concurrency: int, tmp_path: Path) -> None:
        toy = Toy(plan, LocalObjectStore(tmp_path / "store"))
        toy.run(concurrency=concurrency)
        told, records = Counter(toy.decided), toy.ledger.records()
        # Every recorded decision begins a trial, lets it go on at once, or takes it up again.
        assert told["go_on"] + told["take_up"] == len(toy.ledger.decisions()) - len(records)
        assert told["stop"] == sum(record.state == "stopped" for record in records) > 0
        assert told["pause"] == told["take_up"] + told["stop"]

    def test_a_finished_sweep_that_is_taken_up_has_nothing_to_do(self, undisturbed: Toy) -> None:
        records = undisturbed.ledger.records()
        again = TurnSearch(adaptive_plan(), undisturbed.ledger, records, undisturbed.ledger.decisions())
        assert again.next_turn() is None
        assert list(again.put_down()) == []

    def test_a_larger_budget_begins_more_configurations(self, tmp_path: Path) -> None:
        smaller = Toy(adaptive_plan(num_trials=40), LocalObjectStore(tmp_path / "smaller"))
        smaller.run()
        larger = Toy(adaptive_plan(num_trials=40, budget=25.0), LocalObjectStore(tmp_path / "larger"))
        larger.run()
        assert len(larger.ledger.records()) > len(smaller.ledger.records())

    def test_a_finished_sweep_that_is_extended_begins_others_and_leaves_the_ended_ones_alone(
        self, undisturbed: Toy
    ) -> None:
        records = undisturbed.ledger.records()
        decisions = undisturbed.ledger.decisions()
        plan = adaptive_plan(extend=2)
        longer = TurnSearch(plan, undisturbed.ledger, records, decisions)
        turn = longer.next_turn()
        assert turn is not None
        assert turn.suggestion.number == len(records)
        assert turn.suggestion.config.trial_id not in {record.suggestion.config.trial_id for record in records}

    def test_no_more_configurations_are_begun_than_were_allowed(self, tmp_path: Path) -> None:
        toy = Toy(adaptive_plan(num_trials=3, budget=100.0), LocalObjectStore(tmp_path / "few"))
        toy.run()
        assert len(toy.ledger.records()) == 6


class TestSeveralAtOnce:
    @pytest.mark.parametrize("concurrency", [2, 5])
    def test_no_trial_is_trained_twice_at_once_and_the_budget_holds(self, concurrency: int, tmp_path: Path) -> None:
        toy = Toy(adaptive_plan(), LocalObjectStore(tmp_path / "store"))
        toy.run(concurrency=concurrency)
        rows = ResultsTable(toy.ledger.store).read("epochs", sweep_id=toy.ledger.sweep_id).to_pylist()
        assert len({(row["trial_id"], row["seed_epoch"]) for row in rows}) == len(rows) <= adaptive_plan().budget_epochs

    def test_one_that_was_killed_spends_the_rest_of_its_budget(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        with pytest.raises(Killed):
            Toy(adaptive_plan(), store, dies_after=50).run(concurrency=4)
        toy = Toy(adaptive_plan(), store)
        toy.run(concurrency=4)
        spent = sum(max(record.objectives) for record in toy.ledger.records())
        assert adaptive_plan().budget_epochs - EPOCHS < spent <= adaptive_plan().budget_epochs


class TestSeveralObjectives:
    @pytest.mark.parametrize("is_taken_up", [False, True])
    def test_a_study_is_told_what_was_measured_of_a_trial_that_finished(
        self, is_taken_up: bool, tmp_path: Path
    ) -> None:
        plan = adaptive_plan(architectures=("cnn",), objectives=("score", "num_parameters"))
        toy = Toy(plan, LocalObjectStore(tmp_path / "store"))
        toy.run()
        ledger = toy.ledger
        search = TurnSearch(plan, ledger, ledger.records(), ledger.decisions()) if is_taken_up else toy.search
        for trial in search._trials:
            search._tell(trial)
        trials = search._studies._studies["cnn"].get_trials()
        complete = [trial.values for trial in trials if trial.state.name == "COMPLETE"]
        assert complete
        assert {values[1] for values in complete} == {10.0}
        assert all(not trial.intermediate_values for trial in trials)


class TestFailures:
    def test_a_failed_trial_is_never_taken_up_and_gives_its_budget_to_others(self, tmp_path: Path) -> None:
        toy = Toy(adaptive_plan(), LocalObjectStore(tmp_path / "store"))
        turn = toy.search.next_turn()
        assert turn is not None
        failed = turn.suggestion.config.trial_id
        toy.search.end(failed, "failed")
        toy.run()
        assert [decision.trial_id for decision in toy.ledger.decisions()].count(failed) == 1
        states = {record.suggestion.config.trial_id: record.state for record in toy.ledger.records()}
        assert states[failed] == "failed"

    def test_a_trial_that_was_given_up_is_open_for_the_next_process(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        toy = Toy(adaptive_plan(), store)
        turn = toy.search.next_turn()
        assert turn is not None
        toy.search.give_up(turn.suggestion.config.trial_id)
        assert Toy(adaptive_plan(), store).search.next_turn() == turn
