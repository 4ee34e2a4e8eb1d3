"""Turns of halving that pauses, trained by a toy."""

from pathlib import Path

import pytest
from turn_toys import EPOCHS, SEEDS, Killed, Toy, pausing_plan, told

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps.replay import replay_turns


class TestPausing:
    def test_every_configuration_is_begun_and_ends_once_and_defaults_go_through_all_rungs(self, tmp_path: Path) -> None:
        toy = Toy(pausing_plan(), LocalObjectStore(tmp_path / "store"))
        toy.run(concurrency=3)
        rows = ResultsTable(toy.ledger.store).read("trials", sweep_id=toy.ledger.sweep_id).to_pylist()
        assert sorted(row["number"] for row in rows) == list(range(16))
        whole = {row["trial_id"] for row in rows if row["seed_epochs"] == EPOCHS * len(SEEDS)}
        records = toy.ledger.records()
        assert {record.suggestion.config.trial_id for record in records if record.suggestion.untuned_default} < whole
        assert {row["state"] for row in rows if row["trial_id"] not in whole} == {"stopped"}

    def test_decisions_have_no_rate_and_brackets_begin_where_their_first_rung_is(self, tmp_path: Path) -> None:
        toy = Toy(pausing_plan(), LocalObjectStore(tmp_path / "store"))
        toy.run()
        decisions = toy.ledger.decisions()
        assert {decision.rate for decision in decisions} == {None}
        first: dict[str, int] = {}
        for decision in decisions:
            first.setdefault(decision.trial_id, decision.until)
        assert set(first.values()) == {1, 2}

    @pytest.mark.parametrize("dies_after", [0, 1, 17, 60])
    def test_after_any_of_its_doings_it_ends_as_if_nothing_had_happened(self, dies_after: int, tmp_path: Path) -> None:
        undisturbed, store = (
            Toy(pausing_plan(), LocalObjectStore(tmp_path / "whole")),
            LocalObjectStore(tmp_path / "killed"),
        )
        undisturbed.run()
        with pytest.raises(Killed):
            Toy(pausing_plan(), store, dies_after=dies_after).run()
        toy = Toy(pausing_plan(), store)
        toy.run()
        assert told(toy.ledger) == told(undisturbed.ledger)

    def test_three_at_once_with_kills_are_decided_again_from_their_rows(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        for dies_after in (20, 31):
            with pytest.raises(Killed):
                Toy(pausing_plan(), store, dies_after=dies_after).run(concurrency=3)
        toy = Toy(pausing_plan(), store)
        toy.run(concurrency=3)
        records, decisions = toy.ledger.records(), toy.ledger.decisions()
        turns = list(replay_turns(pausing_plan(), records, decisions))
        assert {turn.suggestion.number for turn in turns} == set(range(len(records)))
