"""Turns of sweeps that are killed anywhere, and decided again from their rows."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from turn_toys import EPOCHS, Killed, Toy, adaptive_plan, pausing_plan, told

from storage.local import LocalObjectStore
from sweeps import SweepPlan
from sweeps.past_decisions import live_decisions
from sweeps.records import Decision, Suggestion, TrialRecord
from sweeps.replay import ReplayDiffers, replay_turns


class TestKilled:
    def test_after_any_of_its_doings_the_sweep_ends_as_if_nothing_had_happened(
        self, undisturbed: Toy, tmp_path: Path
    ) -> None:
        expected = told(undisturbed.ledger)
        for dies_after in (0, 1, 2, 24, 49, 110):
            store = LocalObjectStore(tmp_path / str(dies_after))
            with pytest.raises(Killed):
                Toy(adaptive_plan(), store, dies_after=dies_after).run()
            toy = Toy(adaptive_plan(), store)
            toy.run()
            assert told(toy.ledger) == expected

    def test_again_and_again(self, undisturbed: Toy, tmp_path: Path) -> None:
        store, num_deaths = LocalObjectStore(tmp_path / "often"), 0
        while True:
            toy = Toy(adaptive_plan(), store, dies_after=35 + num_deaths % 4)
            try:
                toy.run()
                break
            except Killed:
                num_deaths += 1
        assert num_deaths > 3
        assert told(toy.ledger) == told(undisturbed.ledger)


class TestKilledBetweenADecisionAndItsSuggestion:
    def test_one_at_a_time_the_sweep_ends_as_if_nothing_had_happened(self, undisturbed: Toy, tmp_path: Path) -> None:
        for at in (2, 5, 9):
            store = LocalObjectStore(tmp_path / str(at))
            _killed_at_suggestion(adaptive_plan(), store, at=at, concurrency=1)
            toy = Toy(adaptive_plan(), store)
            toy.run()
            assert told(toy.ledger) == told(undisturbed.ledger)

    @pytest.mark.parametrize("make_plan", [adaptive_plan, pausing_plan])
    def test_three_at_a_time_the_same_decision_is_followed(
        self, make_plan: Callable[[], SweepPlan], tmp_path: Path
    ) -> None:
        for at in (4, 7, 11):
            store = LocalObjectStore(tmp_path / str(at))
            last_words = _killed_at_suggestion(make_plan(), store, at=at, concurrency=3)
            toy = Toy(make_plan(), store)
            turns = list(iter(toy.search.next_turn, None))[:3]
            assert len({turn.suggestion.config.trial_id for turn in turns}) == len(turns)
            assert last_words in [turn.suggestion.config.trial_id for turn in turns]
            toy = Toy(make_plan(), store)
            toy.run(concurrency=3)
            records, decisions = toy.ledger.records(), toy.ledger.decisions()
            assert [decision.number for decision in decisions] == list(range(len(decisions)))
            assert len(list(replay_turns(make_plan(), records, decisions))) == len(decisions)

    def test_where_another_version_suggests_otherwise_the_decision_stays_void_though_its_trial_comes_later(
        self, tmp_path: Path
    ) -> None:
        store = LocalObjectStore(tmp_path / "store")
        _killed_at_suggestion(adaptive_plan(), store, at=5, concurrency=3)
        toy = Toy(adaptive_plan(), store)
        void = Decision(number=len(toy.ledger.decisions()), trial_id="elsewhere", seed=1, until=1, rate=None)
        toy.ledger.decide(void)
        turn = Toy(adaptive_plan(), store).search.decide_anew()
        decisions = toy.ledger.decisions()
        assert turn is not None
        assert [decision.number for decision in decisions] == list(range(len(decisions)))
        assert decisions[-1].number > void.number
        assert decisions[-1].trial_id == turn.suggestion.config.trial_id
        records = [_begun("a", 0), _begun("b", 1), _begun("elsewhere", 2)]
        made = [_decision(0, "a", 1), _decision(1, "elsewhere", 1), _decision(2, "b", 1)]
        later = [_decision(3, "elsewhere", 1), _decision(4, "a", 2)]
        assert [of.number for of in live_decisions([*made, *later], records)] == [0, 2, 3, 4]
        assert [of.number for of in live_decisions(made, records[:2])] == [0, 2]


def _killed_at_suggestion(plan: SweepPlan, store: LocalObjectStore, *, at: int, concurrency: int) -> str | None:
    """Its process dies before it writes that one; what trains reports an epoch more. Returns which, None for none."""
    toy = Toy(plan, store)
    write, wanted = toy.ledger.suggest, list[str]()

    def die(suggestion: Suggestion) -> None:
        wanted.append(suggestion.config.trial_id)
        if len(wanted) == at:
            raise Killed
        write(suggestion)

    toy.ledger.suggest = die  # type: ignore[method-assign]
    try:
        toy.run(concurrency=concurrency)
    except Killed:
        toy.outlive()
        return wanted[-1]
    return None


def _begun(name: str, number: int) -> TrialRecord:
    config = dataclasses.replace(adaptive_plan().trial_config("cnn", {}), dataset=name)
    suggestion = Suggestion(number=number, config=config, parameters={}, distributions={}, untuned_default=False)
    return TrialRecord(suggestion=suggestion, state=None, objective=None, objectives={})


def _decision(number: int, name: str, until: int) -> Decision:
    trial_id = _begun(name, 0).suggestion.config.trial_id
    return Decision(number=number, trial_id=trial_id, seed=1, until=until, rate=None)


class TestReplayed:
    def test_three_at_once_with_kills_are_decided_again_from_their_rows(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        for dies_after in (20, 31, 43):
            with pytest.raises(Killed):
                Toy(adaptive_plan(), store, dies_after=dies_after).run(concurrency=3)
        toy = Toy(adaptive_plan(), store)
        toy.run(concurrency=3)
        records, decisions = toy.ledger.records(), toy.ledger.decisions()
        begun = {record.suggestion.config.trial_id for record in records}
        turns = list(replay_turns(adaptive_plan(), records, decisions))
        assert len(turns) == sum(decision.trial_id in begun for decision in decisions) > 20
        assert {turn.suggestion.number for turn in turns} == set(range(len(records)))
        at_rest = [dataclasses.replace(decision, heard={}) for decision in decisions]  # as if none had been on its way
        with pytest.raises(ReplayDiffers):
            list(replay_turns(adaptive_plan(), records, at_rest))

    @pytest.mark.parametrize("concurrency", [1, 3])
    def test_seeds_that_stop_early_are_decided_again_from_their_rows(self, concurrency: int, tmp_path: Path) -> None:
        toy = Toy(adaptive_plan(), LocalObjectStore(tmp_path / "store"))
        toy.patience = 3
        toy.run(concurrency=concurrency)
        records, decisions = toy.ledger.records(), toy.ledger.decisions()
        assert any(3 not in (epoch % EPOCHS for epoch in record.objectives) for record in records)
        assert len(list(replay_turns(adaptive_plan(), records, decisions))) == len(decisions) > 20
