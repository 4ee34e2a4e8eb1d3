"""Which configurations are confirmed, under which ids, on which splits and seeds."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from follow_up_toys import make_plan, search
from sweep_toys import make_plan as make_sweep_plan

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from reports import leaderboard, load_sweep
from storage.errors import InvalidInput
from storage.object_store import open_store
from storage.results_table import ResultsTable
from sweeps import SweepSettings
from sweeps.confirmation import ConfirmationPlan, choose
from sweeps.follow_ups import AuditSettings, ConfirmSettings
from sweeps.ledger import Ledger
from sweeps.records import SeedScore, Suggestion, TrialRecord, TrialState

_PLAN = make_sweep_plan()


def record(
    number: int,
    state: TrialState | None = "finished",
    *,
    architecture: str = "cnn",
    reached: int = 6,
    objective: float = 0.5,
) -> TrialRecord:
    config = dataclasses.replace(
        _PLAN.trial_config("cnn", {}), architecture=architecture, batch_size=number + 1, model={}
    )
    suggestion = Suggestion(
        number=number, config=config, parameters={}, distributions={}, untuned_default=number in (0, 1)
    )
    return TrialRecord(suggestion=suggestion, state=state, objective=objective, objectives={reached: objective})


def scores(*of_trials: tuple[TrialRecord, float, float]) -> dict[tuple[str, int], SeedScore]:
    return {
        (found.suggestion.config.trial_id, seed): SeedScore(score=score, macro_f1=macro_f1)
        for found, score, macro_f1 in of_trials
        for seed in (1, 2)
    }


def chosen(
    records: list[TrialRecord], found: dict[tuple[str, int], SeedScore], *, best: int, architectures: Any = ("cnn",)
) -> list[int]:
    return [one.number for one in choose(records, found, architectures=architectures, best=best)]


class TestChoice:
    def test_the_best_come_first_and_the_default_comes_last_where_it_is_not_among_them(self) -> None:
        records = [record(0), record(2), record(3)]
        found = scores((records[0], 0.6, 0.5), (records[1], 0.7, 0.5), (records[2], 0.8, 0.5))
        assert chosen(records, found, best=1) == [3, 0]
        assert chosen(records, found, best=2) == [3, 2, 0]
        assert chosen(records, found, best=9) == [3, 2, 0]
        assert chosen(records, found, best=0) == []

    def test_equal_scores_are_told_apart_by_macro_f1_and_then_by_number(self) -> None:
        records = [record(4), record(2), record(3)]
        found = scores((records[0], 0.7, 0.6), (records[1], 0.7, 0.5), (records[2], 0.7 + 1e-15, 0.5))
        assert chosen(records, found, best=3) == [4, 2, 3]

    def test_a_score_that_is_no_number_comes_last(self) -> None:
        records = [record(2), record(3)]
        assert chosen(records, scores((records[0], math.nan, 0.9), (records[1], 0.1, 0.1)), best=1) == [3]

    def test_stopped_trials_fill_up_by_how_far_they_came(self) -> None:
        records = [
            record(0),
            record(2, "stopped", reached=1, objective=0.9),
            record(3, "stopped", reached=3, objective=0.4),
            record(4, "stopped", reached=3, objective=0.8),
        ]
        assert chosen(records, scores((records[0], 0.1, 0.1)), best=3) == [0, 4, 3]

    def test_failed_and_open_trials_are_not_confirmed(self) -> None:
        records = [record(0, "failed"), record(2, None), record(3)]
        assert chosen(records, scores((records[2], 0.2, 0.2)), best=3) == [3]

    def test_every_architecture_has_its_own_best(self) -> None:
        records = [record(0), record(1, architecture="alexnet"), record(2), record(3, architecture="alexnet")]
        found = scores(*((one, 0.1 * one.suggestion.number, 0.5) for one in records))
        assert chosen(records, found, best=1, architectures=("cnn", "alexnet")) == [2, 0, 3, 1]

    def test_the_order_of_rows_plays_no_part(self) -> None:
        records = [record(number) for number in range(5)]
        found = scores(*((one, (one.suggestion.number * 7 % 5) / 5, 0.5) for one in records))
        assert chosen(records, found, best=3) == chosen(records[::-1], found, best=3)

    def test_finished_trials_are_ranked_as_the_leaderboard_ranks_them(self, tmp_path: Path) -> None:
        plan, results = make_plan(), ResultsTable(open_store(str(tmp_path)))
        search(plan, results.store)
        ledger = Ledger(results, plan.sweep_id)
        ranked = choose(ledger.records(), ledger.seed_scores(), architectures=("cnn",), best=2)
        board = leaderboard(load_sweep(results, plan.sweep_id))
        assert [one.config.trial_id for one in ranked] == [row.trial_id for row in board]
        assert len(board) == 2


def confirmation(*numbers: int, splits: dict[int | None, str] | None = None, **confirm: Any) -> ConfirmationPlan:
    return ConfirmationPlan(
        sweep=make_sweep_plan(confirm=ConfirmSettings(**confirm)),
        chosen=tuple(record(number).suggestion for number in numbers or (2, 0)),
        split_hashes=splits or {None: _PLAN.split_hash},
        finished=frozenset(record(number).suggestion.config.trial_id for number in (0, 2)),
    )


_FOLDS: dict[int | None, str] = {2: "b" * 16, 1: "a" * 16}


class TestPlan:
    def test_on_the_split_and_seeds_of_the_sweep_the_trials_are_those_of_the_sweep(self) -> None:
        plan = confirmation()
        assert [one.config for one in plan.suggestions()] == [one.config for one in plan.chosen]
        assert [one.of_trial for one in plan.suggestions()] == [one.config.trial_id for one in plan.chosen]
        assert [one.fold for one in plan.suggestions()] == [None, None]

    def test_what_the_sweep_itself_ran_to_its_end_needs_no_confirmation(self) -> None:
        assert not confirmation().adds_something
        assert not confirmation(seeds=(2, 1)).adds_something
        assert confirmation(seeds=(1, 2, 3)).adds_something
        assert confirmation(splits=_FOLDS).adds_something
        assert confirmation(2, 3).adds_something  # the last one was stopped

    def test_an_architecture_whose_default_is_not_among_them_is_named(self) -> None:
        assert confirmation(2, 0).without_default == ()
        assert confirmation(2, 3).without_default == ("cnn",)

    def test_every_configuration_is_tested_on_every_fold(self) -> None:
        trials = confirmation(splits=_FOLDS).suggestions()
        assert [(one.number, one.fold, one.config.split_hash[0]) for one in trials] == [
            (0, 1, "a"),
            (1, 2, "b"),
            (2, 1, "a"),
            (3, 2, "b"),
        ]
        assert len({one.config.trial_id for one in trials}) == 4
        assert len({one.of_trial for one in trials}) == 2

    def test_further_seeds_follow_those_that_are_trained_already(self) -> None:
        assert confirmation().seeds == (1, 2)
        assert confirmation(seeds=(7, 2, 1, 5)).seeds == (1, 2, 7, 5)
        assert confirmation(seeds=(2,)).seeds == (2,)

    def test_the_same_choice_is_the_same_confirmation_and_any_other_another_one(self) -> None:
        same = [confirmation(), confirmation(best=5), confirmation(seeds=(2, 1))]
        others = [
            confirmation(),
            confirmation(3, 0),
            confirmation(2),
            confirmation(seeds=(1,)),
            confirmation(splits=_FOLDS),
        ]
        assert len({plan.confirmation_id for plan in same}) == 1
        assert len({plan.confirmation_id for plan in others}) == len(others)
        assert confirmation().confirmation_id.startswith(f"{_PLAN.sweep_id}-confirmation-")


class TestSettings:
    def test_what_follows_a_search_makes_no_other_sweep_of_it(self) -> None:
        plan = make_sweep_plan(
            confirm=ConfirmSettings(best=3, seeds=(1, 2, 3), folds=True), audit=AuditSettings(share=1.0)
        )
        assert plan.sweep_id == make_sweep_plan().sweep_id == "toy-bb73b070a4be"  # as before there was any of this
        assert make_sweep_plan(scheduler="adaptive").sweep_id == "toy-dd6f006e561d"  # of ALLOCATION_VERSION 7

    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("sweep.confirm.best=-1", r"^sweep\.confirm\.best: got -1"),
            ("sweep.confirm.seeds=[1,1]", r"^sweep\.confirm\.seeds: .*none twice"),
            ("sweep.confirm.folds=5", r"^sweep\.confirm\.folds: .*true or false"),
            ("sweep.audit.share=1.5", r"^sweep\.audit\.share: got 1\.5; allowed: 0 to 1"),
            ("sweep.audit.share=.nan", r"^sweep\.audit\.share"),
            ("sweep.confirm.seed=[1]", r"Did you mean 'sweep\.confirm\.seeds'"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, word: str, told: str) -> None:
        with pytest.raises(InvalidInput, match=told):
            parse_settings(JobSettings, [word])

    def test_they_are_set_on_a_command_line(self) -> None:
        words = ["sweep.confirm.best=3", "sweep.confirm.seeds=[1,2]", "sweep.confirm.folds=true", "sweep.audit.share=1"]
        settings = parse_settings(JobSettings, words).sweep
        assert settings.confirm == ConfirmSettings(best=3, seeds=(1, 2), folds=True)
        assert settings.audit == AuditSettings(share=1.0)
        assert SweepSettings().confirm == ConfirmSettings()
