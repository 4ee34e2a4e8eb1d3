"""Turns of adaptive and of pausing sweeps, trained by a toy that knows every curve: budget, order, and being killed
anywhere."""

import dataclasses
import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from ledger_toys import epoch_metrics, record_seeds
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.allocation import Step
from sweeps.ledger import Ledger
from sweeps.past_decisions import live_decisions
from sweeps.records import Decision, Suggestion, TrialRecord
from sweeps.replay import ReplayDiffers, replay_turns, suggest_what_was_decided
from sweeps.rung_settings import RungSettings
from sweeps.turn_search import TurnSearch
from sweeps.turns import Turn

_SEEDS, _EPOCHS = (1, 2), 4


class Killed(Exception):
    """The process died here."""


def _plan(**settings: object) -> SweepPlan:
    values: dict[str, object] = {
        "scheduler": "adaptive",
        "architectures": ("cnn", "alexnet"),
        "num_trials": 12,
        "budget": 14.0,
        "seeds": _SEEDS,
        "epochs": _EPOCHS,
        "grace_epochs": 1,
        "reduction_factor": 2,
    }
    return make_plan(**{**values, **settings})


def _pausing(**settings: object) -> SweepPlan:
    """Halving that pauses, in two brackets."""
    return _plan(
        scheduler="seed_epochs", budget=0.0, num_trials=8, rungs=RungSettings(kind="pause", brackets=2), **settings
    )


class Toy:
    """Trains turns as a worker does: an epoch's row first, then the report. Dies after so many of its doings.

    Attributes:
        patience: epoch at which every seed stops early; None for none.
    """

    patience: int | None = None

    def __init__(self, plan: SweepPlan, store: LocalObjectStore, *, dies_after: int = 10**9) -> None:
        self._plan, self._left = plan, dies_after
        self.ledger = Ledger(ResultsTable(store), plan.sweep_id)
        self.ledger.start(SWEEP_ROW)
        decisions = self.ledger.decisions()
        records = suggest_what_was_decided(plan, self.ledger, self.ledger.records(), decisions)
        self.search = TurnSearch(plan, self.ledger, records, decisions)
        self._reached = {
            record.suggestion.config.trial_id: max(record.objectives, default=0) for record in self.ledger.records()
        }
        self.running: list[Turn] = []

    def run(self, *, concurrency: int = 1) -> None:
        """Until the budget is spent; workers take turns, an epoch each."""
        while True:
            while len(self.running) < concurrency and (turn := self._next()) is not None:
                self.running.append(turn)
            if not self.running:
                break
            turn = self.running.pop(0)
            if self._epoch(turn):
                self.running.append(turn)
        for _ in self.search.put_down():
            self._doing()

    def _next(self) -> Turn | None:
        turn = self.search.next_turn()
        self._doing()
        return turn

    def outlive(self) -> None:
        """The workers of a process that died: each commits an epoch more, of which nobody hears."""
        for turn in self.running:
            self._commit(turn)

    def _epoch(self, turn: Turn) -> bool:
        trial_id = turn.suggestion.config.trial_id
        seed_epoch, objective = self._commit(turn)
        self._doing()
        ended = [seed for place, seed in enumerate(_SEEDS) if (place + 1) * _EPOCHS == seed_epoch]
        measured = {seed: {"num_parameters": 10.0} for seed in ended}
        self.search.hear(trial_id, seed_epoch=seed_epoch, objective=objective, measured=measured)
        goes_on = self.search.goes_on(trial_id)
        self._doing()
        if self.search.has_ended(trial_id):
            record_seeds(self.ledger, turn.suggestion.config)
            self.search.end(trial_id, "finished")
            self._doing()
            return False
        return goes_on

    def _commit(self, turn: Turn) -> tuple[int, float]:
        config = turn.suggestion.config
        seed_epoch = min(self._reached.get(config.trial_id, 0) + 1, _EPOCHS * len(_SEEDS))
        seed, epoch = divmod(seed_epoch - 1, _EPOCHS)
        if epoch + 1 == self.patience:
            seed_epoch = (seed + 1) * _EPOCHS
        objective = sum(_end(config.trial_id, before, _EPOCHS) for before in range(seed))
        objective = (objective + _end(config.trial_id, seed, epoch + 1)) / (seed + 1)
        self.ledger.epoch(
            config,
            seed=_SEEDS[seed],
            seed_epoch=seed_epoch,
            objective=objective,
            metrics=epoch_metrics(epoch + 1, objective),
        )
        self._reached[config.trial_id] = seed_epoch
        return seed_epoch, objective

    def _doing(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


def _end(trial_id: str, seed: int, epoch: int) -> float:
    """A curve by the trial's name alone."""
    drawn = hashlib.sha256(f"{trial_id} {seed}".encode()).digest()
    quality = int.from_bytes(hashlib.sha256(trial_id.encode()).digest()[:2], "big") / 65_536
    return 0.4 + 0.3 * quality + 0.02 * drawn[0] / 255 - 0.2 / epoch


def _told(ledger: Ledger) -> tuple[list[Any], list[Decision]]:
    """All that a sweep leaves behind."""
    records = [
        (record.suggestion.config.trial_id, record.state, record.objective, dict(record.objectives))
        for record in ledger.records()
    ]
    return records, ledger.decisions()


@pytest.fixture
def undisturbed(tmp_path: Path) -> Toy:
    toy = Toy(_plan(), LocalObjectStore(tmp_path / "undisturbed"))
    toy.run()
    return toy


class TestUndisturbed:
    def test_every_trial_has_one_end_and_all_seeds_of_the_defaults_are_trained(self, tmp_path: Path) -> None:
        toy = Toy(_plan(budget=20.0), LocalObjectStore(tmp_path / "store"))
        toy.run()
        ledger = toy.ledger
        rows = ResultsTable(ledger.store).read("trials", sweep_id=ledger.sweep_id).to_pylist()
        assert sorted(row["number"] for row in rows) == list(range(len(ledger.records())))
        whole = {row["trial_id"] for row in rows if row["seed_epochs"] == _EPOCHS * len(_SEEDS)}
        defaults = [record.suggestion for record in ledger.records() if record.suggestion.untuned_default]
        assert len(defaults) == 2
        assert {suggestion.config.trial_id for suggestion in defaults} <= whole

    def test_the_budget_is_spent_and_not_exceeded(self, undisturbed: Toy) -> None:
        spent = sum(max(record.objectives) for record in undisturbed.ledger.records())
        assert _plan().budget_epochs - _EPOCHS < spent <= _plan().budget_epochs

    def test_decisions_are_numbered_and_lead_to_where_trials_came(self, undisturbed: Toy) -> None:
        decisions = undisturbed.ledger.decisions()
        assert [decision.number for decision in decisions] == list(range(len(decisions)))
        until = {decision.trial_id: decision.until for decision in decisions}
        assert until == {
            record.suggestion.config.trial_id: max(record.objectives) for record in undisturbed.ledger.records()
        }

    def test_a_finished_configuration_stays_what_others_have_to_be_better_than(self, tmp_path: Path) -> None:
        toy = Toy(_plan(), LocalObjectStore(tmp_path / "store"))
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

    def test_a_finished_sweep_that_is_taken_up_has_nothing_to_do(self, undisturbed: Toy) -> None:
        records = undisturbed.ledger.records()
        again = TurnSearch(_plan(), undisturbed.ledger, records, undisturbed.ledger.decisions())
        assert again.next_turn() is None
        assert list(again.put_down()) == []

    def test_a_larger_budget_begins_more_configurations(self, tmp_path: Path) -> None:
        smaller = Toy(_plan(num_trials=40), LocalObjectStore(tmp_path / "smaller"))
        smaller.run()
        larger = Toy(_plan(num_trials=40, budget=25.0), LocalObjectStore(tmp_path / "larger"))
        larger.run()
        assert len(larger.ledger.records()) > len(smaller.ledger.records())

    def test_a_finished_sweep_that_is_extended_begins_others_and_leaves_the_ended_ones_alone(
        self, undisturbed: Toy
    ) -> None:
        records = undisturbed.ledger.records()
        decisions = undisturbed.ledger.decisions()
        plan = _plan(extend=2)
        longer = TurnSearch(plan, undisturbed.ledger, records, decisions)
        turn = longer.next_turn()
        assert turn is not None
        assert turn.suggestion.number == len(records)
        assert turn.suggestion.config.trial_id not in {record.suggestion.config.trial_id for record in records}

    def test_no_more_configurations_are_begun_than_were_allowed(self, tmp_path: Path) -> None:
        toy = Toy(_plan(num_trials=3, budget=100.0), LocalObjectStore(tmp_path / "few"))
        toy.run()
        assert len(toy.ledger.records()) == 6


class TestKilled:
    def test_after_any_of_its_doings_the_sweep_ends_as_if_nothing_had_happened(
        self, undisturbed: Toy, tmp_path: Path
    ) -> None:
        expected = _told(undisturbed.ledger)
        for dies_after in (0, 1, 2, 24, 49, 110):
            store = LocalObjectStore(tmp_path / str(dies_after))
            with pytest.raises(Killed):
                Toy(_plan(), store, dies_after=dies_after).run()
            toy = Toy(_plan(), store)
            toy.run()
            assert _told(toy.ledger) == expected

    def test_again_and_again(self, undisturbed: Toy, tmp_path: Path) -> None:
        store, num_deaths = LocalObjectStore(tmp_path / "often"), 0
        while True:
            toy = Toy(_plan(), store, dies_after=35 + num_deaths % 4)
            try:
                toy.run()
                break
            except Killed:
                num_deaths += 1
        assert num_deaths > 3
        assert _told(toy.ledger) == _told(undisturbed.ledger)


class TestKilledBetweenADecisionAndItsSuggestion:
    def test_one_at_a_time_the_sweep_ends_as_if_nothing_had_happened(self, undisturbed: Toy, tmp_path: Path) -> None:
        for at in (2, 5, 9):
            store = LocalObjectStore(tmp_path / str(at))
            _killed_at_suggestion(_plan(), store, at=at, concurrency=1)
            toy = Toy(_plan(), store)
            toy.run()
            assert _told(toy.ledger) == _told(undisturbed.ledger)

    @pytest.mark.parametrize("make_plan", [_plan, _pausing])
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
        _killed_at_suggestion(_plan(), store, at=5, concurrency=3)
        toy = Toy(_plan(), store)
        void = Decision(number=len(toy.ledger.decisions()), trial_id="elsewhere", seed=1, until=1, rate=None)
        toy.ledger.decide(void)
        turn = Toy(_plan(), store).search.decide_anew()
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
    config = dataclasses.replace(_plan().trial_config("cnn", {}), dataset=name)
    suggestion = Suggestion(number=number, config=config, parameters={}, distributions={}, untuned_default=False)
    return TrialRecord(suggestion=suggestion, state=None, objective=None, objectives={})


def _decision(number: int, name: str, until: int) -> Decision:
    trial_id = _begun(name, 0).suggestion.config.trial_id
    return Decision(number=number, trial_id=trial_id, seed=1, until=until, rate=None)


class TestSeveralAtOnce:
    @pytest.mark.parametrize("concurrency", [2, 5])
    def test_no_trial_is_trained_twice_at_once_and_the_budget_holds(self, concurrency: int, tmp_path: Path) -> None:
        toy = Toy(_plan(), LocalObjectStore(tmp_path / "store"))
        toy.run(concurrency=concurrency)
        rows = ResultsTable(toy.ledger.store).read("epochs", sweep_id=toy.ledger.sweep_id).to_pylist()
        assert len({(row["trial_id"], row["seed_epoch"]) for row in rows}) == len(rows) <= _plan().budget_epochs

    def test_one_that_was_killed_spends_the_rest_of_its_budget(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        with pytest.raises(Killed):
            Toy(_plan(), store, dies_after=50).run(concurrency=4)
        toy = Toy(_plan(), store)
        toy.run(concurrency=4)
        spent = sum(max(record.objectives) for record in toy.ledger.records())
        assert _plan().budget_epochs - _EPOCHS < spent <= _plan().budget_epochs


class TestReplayed:
    def test_three_at_once_with_kills_are_decided_again_from_their_rows(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        for dies_after in (20, 31, 43):
            with pytest.raises(Killed):
                Toy(_plan(), store, dies_after=dies_after).run(concurrency=3)
        toy = Toy(_plan(), store)
        toy.run(concurrency=3)
        records, decisions = toy.ledger.records(), toy.ledger.decisions()
        begun = {record.suggestion.config.trial_id for record in records}
        turns = list(replay_turns(_plan(), records, decisions))
        assert len(turns) == sum(decision.trial_id in begun for decision in decisions) > 20
        assert {turn.suggestion.number for turn in turns} == set(range(len(records)))
        at_rest = [dataclasses.replace(decision, heard={}) for decision in decisions]  # as if none had been on its way
        with pytest.raises(ReplayDiffers):
            list(replay_turns(_plan(), records, at_rest))

    @pytest.mark.parametrize("concurrency", [1, 3])
    def test_seeds_that_stop_early_are_decided_again_from_their_rows(self, concurrency: int, tmp_path: Path) -> None:
        toy = Toy(_plan(), LocalObjectStore(tmp_path / "store"))
        toy.patience = 3
        toy.run(concurrency=concurrency)
        records, decisions = toy.ledger.records(), toy.ledger.decisions()
        assert any(3 not in (epoch % _EPOCHS for epoch in record.objectives) for record in records)
        assert len(list(replay_turns(_plan(), records, decisions))) == len(decisions) > 20


class TestSeveralObjectives:
    @pytest.mark.parametrize("is_taken_up", [False, True])
    def test_a_study_is_told_what_was_measured_of_a_trial_that_finished(
        self, is_taken_up: bool, tmp_path: Path
    ) -> None:
        plan = _plan(architectures=("cnn",), objectives=("score", "num_parameters"))
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


class TestPausing:
    def test_every_configuration_is_begun_and_ends_once_and_defaults_go_through_all_rungs(self, tmp_path: Path) -> None:
        toy = Toy(_pausing(), LocalObjectStore(tmp_path / "store"))
        toy.run(concurrency=3)
        rows = ResultsTable(toy.ledger.store).read("trials", sweep_id=toy.ledger.sweep_id).to_pylist()
        assert sorted(row["number"] for row in rows) == list(range(16))
        whole = {row["trial_id"] for row in rows if row["seed_epochs"] == _EPOCHS * len(_SEEDS)}
        records = toy.ledger.records()
        assert {record.suggestion.config.trial_id for record in records if record.suggestion.untuned_default} < whole
        assert {row["state"] for row in rows if row["trial_id"] not in whole} == {"stopped"}

    def test_decisions_have_no_rate_and_brackets_begin_where_their_first_rung_is(self, tmp_path: Path) -> None:
        toy = Toy(_pausing(), LocalObjectStore(tmp_path / "store"))
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
            Toy(_pausing(), LocalObjectStore(tmp_path / "whole")),
            LocalObjectStore(tmp_path / "killed"),
        )
        undisturbed.run()
        with pytest.raises(Killed):
            Toy(_pausing(), store, dies_after=dies_after).run()
        toy = Toy(_pausing(), store)
        toy.run()
        assert _told(toy.ledger) == _told(undisturbed.ledger)

    def test_three_at_once_with_kills_are_decided_again_from_their_rows(self, tmp_path: Path) -> None:
        store = LocalObjectStore(tmp_path / "store")
        for dies_after in (20, 31):
            with pytest.raises(Killed):
                Toy(_pausing(), store, dies_after=dies_after).run(concurrency=3)
        toy = Toy(_pausing(), store)
        toy.run(concurrency=3)
        records, decisions = toy.ledger.records(), toy.ledger.decisions()
        turns = list(replay_turns(_pausing(), records, decisions))
        assert {turn.suggestion.number for turn in turns} == set(range(len(records)))


class TestFailures:
    def test_a_failed_trial_is_never_taken_up_and_gives_its_budget_to_others(self, tmp_path: Path) -> None:
        toy = Toy(_plan(), LocalObjectStore(tmp_path / "store"))
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
        toy = Toy(_plan(), store)
        turn = toy.search.next_turn()
        assert turn is not None
        toy.search.give_up(turn.suggestion.config.trial_id)
        assert Toy(_plan(), store).search.next_turn() == turn
