"""Suggestions: the default first, reproducible from the ledger, pruned trials told as pruned."""

import dataclasses
import itertools
from typing import Any

import optuna
import pytest
from sweep_toys import make_plan

from search_spaces import get_space
from storage.identity import derive_seed
from sweeps.plan import SweepPlan
from sweeps.records import Suggestion, TrialRecord, TrialState
from sweeps.sampler_settings import SamplerSettings
from sweeps.studies import Studies


def ended(suggestion: Suggestion, objective: float | None, state: TrialState = "finished") -> TrialRecord:
    curve = {} if objective is None else {1: objective / 2, 2: objective}
    return TrialRecord(suggestion=suggestion, state=state, objective=objective, objectives=curve)


def ask_and_tell(plan: SweepPlan, count: int) -> tuple[Studies, list[TrialRecord]]:
    studies, records = Studies(plan), []
    for number in range(count):
        suggestion = studies.suggest(number)
        assert suggestion is not None
        state: TrialState = "stopped" if number % 3 == 1 else "finished"
        records.append(ended(suggestion, 1 / (1 + number), state))
        studies.tell(records[-1])
    return studies, records


def test_the_untuned_default_is_tried_first() -> None:
    plan = make_plan()
    suggestion = Studies(plan).suggest(0)
    assert suggestion is not None
    assert suggestion.config == plan.trial_config("cnn", {})


def test_numbers_go_round_the_architectures() -> None:
    studies = Studies(make_plan(architectures=("cnn", "alexnet")))
    suggestions = [studies.suggest(number) for number in range(4)]
    assert [s.config.architecture for s in suggestions if s] == ["cnn", "alexnet", "cnn", "alexnet"]


def test_the_same_searcher_seed_gives_the_same_suggestions_and_another_one_others() -> None:
    runs = [[r.suggestion.config for r in ask_and_tell(make_plan(searcher_seed=seed), 5)[1]] for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0][0] == runs[2][0]
    assert all(ours != theirs for ours, theirs in zip(runs[0][1:], runs[2][1:], strict=True))


def sampled(kind: Any, **settings: object) -> SweepPlan:
    """A plan with this sampler over AlexNet's space: numbers of several scales, and a choice."""
    grid = {name: [0.0, 0.1, 0.2] for name in ("augment.mix_alpha", "model.dropout")}
    grid |= {"optimizer.learning_rate": [3e-4, 1e-3], "optimizer.weight_decay": [1e-3]}
    values = {"kind": kind, "grid": grid if kind == "grid" else {}}
    given = {"architectures": ("alexnet",), "num_trials": 20, "trial": {}, **settings}
    return make_plan(**given, sampler=SamplerSettings(**values))


@pytest.mark.parametrize(
    ("kind", "known"),  # before and after the random start-up trials
    [*itertools.product(("tpe", "random", "grid", "cmaes"), (1, 7, 14)), ("gp", 7)],
)
def test_studies_rebuilt_from_records_suggest_what_the_undisturbed_ones_do(kind: str, known: int) -> None:
    plan = sampled(kind)
    _, records = ask_and_tell(plan, 16)
    rebuilt = Studies(plan)
    rebuilt.restore(records[:known])
    for record in records[known:]:
        suggestion = rebuilt.suggest(record.suggestion.number)
        assert suggestion == record.suggestion
        rebuilt.tell(record)


def test_a_trial_that_was_running_can_be_told_after_a_restart() -> None:
    plan = make_plan()
    _, records = ask_and_tell(plan, 2)
    running = TrialRecord(suggestion=records[1].suggestion, state=None, objective=None, objectives={1: 0.3})
    rebuilt = Studies(plan)
    rebuilt.restore([records[0], running])
    rebuilt.tell(records[1])
    trials = rebuilt._studies["cnn"].get_trials()
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]


@pytest.mark.parametrize(
    ("state", "objective", "expected"),
    [("finished", 0.7, "COMPLETE"), ("stopped", 0.7, "PRUNED"), ("failed", None, "FAIL"), ("failed", 0.7, "FAIL")],
)
def test_ends_are_told_as_what_they_are(state: Any, objective: float | None, expected: str) -> None:
    studies = Studies(make_plan())
    suggestion = studies.suggest(0)
    assert suggestion is not None
    studies.tell(ended(suggestion, objective, state))
    trial = studies._studies["cnn"].get_trials()[0]
    assert trial.state.name == expected
    if state == "stopped":
        assert trial.intermediate_values == {1: 0.35, 2: 0.7}


def test_no_configuration_is_suggested_twice_and_an_exhausted_space_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.distributions import CategoricalDistribution

    from search_spaces import SearchSpace

    tiny = SearchSpace(
        architecture="cnn",
        default={"batch_size": 8},
        distributions={"batch_size": CategoricalDistribution([8, 16, 32])},
    )
    monkeypatch.setattr("sweeps.plan.get_space", lambda architecture: tiny)
    studies = Studies(make_plan())
    suggestions = [studies.suggest(number) for number in range(4)]
    assert sorted(s.config.batch_size for s in suggestions[:3] if s) == [8, 16, 32]
    assert suggestions[3] is None


@pytest.mark.parametrize(("kind", "num_trials"), [("tpe", 40), ("gp", 18), ("cmaes", 100)])
def test_samplers_that_learn_go_where_results_are_good(kind: str, num_trials: int) -> None:
    def worth(suggestion: Suggestion) -> float:
        return -abs(suggestion.config.augment.mix_alpha - 0.35) - abs(suggestion.config.model["dropout"] - 0.4)  # type: ignore[operator]

    means = {}
    for name in (kind, "random"):
        studies, worths = Studies(sampled(name, num_trials=num_trials)), []
        for number in range(num_trials):
            suggestion = studies.suggest(number)
            assert suggestion is not None
            worths.append(worth(suggestion))
            studies.tell(ended(suggestion, worths[-1]))
        means[name] = sum(worths[-12:]) / 12
    assert means[kind] > means["random"] + 0.05


class TestGrid:
    def test_every_combination_is_tried_once_and_then_none(self) -> None:
        studies = Studies(sampled("grid", num_trials=100))
        found = [studies.suggest(number) for number in range(60)]
        suggestions = [suggestion for suggestion in found if suggestion is not None]
        # 3 × 3 × 2 × 1 given, and AlexNet's three widths; its default is none of them.
        assert len(suggestions) == 1 + 54
        assert len({suggestion.config.trial_id for suggestion in suggestions}) == 55
        assert found[55:] == [None] * 5
        assert {suggestion.config.model["hidden_features"] for suggestion in suggestions} == {256, 512, 1024}

    def test_the_default_is_not_tried_again(self) -> None:
        studies = Studies(
            make_plan(
                trial={name: get_space("cnn").default[name] for name in get_space("cnn").distributions if "." in name},
                sampler=SamplerSettings(kind="grid"),
            )
        )
        sizes = [suggestion.config.batch_size for suggestion in map(studies.suggest, range(5)) if suggestion]
        assert sizes == [16, 32]


class TestPoints:
    POINTS = ({"model.dropout": 0.25, "augment.mix_alpha": 0.0}, {"model.hidden_features": 256}, {"batch_size": 32})

    def test_they_come_right_after_the_default_where_a_space_has_their_names(self) -> None:
        studies = Studies(make_plan(architectures=("cnn", "alexnet"), trial={}, points=self.POINTS))
        found = [suggestion for suggestion in map(studies.suggest, range(8)) if suggestion]
        of = {name: [s for s in found if s.config.architecture == name] for name in ("cnn", "alexnet")}
        default = {name: get_space(name).default for name in of}
        of_cnn = [(s.config.model["dropout"], s.config.batch_size, s.config.loss.label_smoothing) for s in of["cnn"]]
        assert of_cnn[:3] == [(0.3, 16, 0.0), (0.25, 16, 0.0), (0.3, 32, 0.0)]
        assert of_cnn[3][2] != 0.0  # the searcher's own
        of_alexnet = [(s.config.model["dropout"], s.config.model["hidden_features"]) for s in of["alexnet"]]
        assert of_alexnet[:3] == [(0.2, 512), (0.25, 512), (default["alexnet"]["model.dropout"], 256)]
        assert [s.untuned_default for s in found] == [True, True] + [False] * 6

    def test_a_point_that_was_tried_gives_its_place_to_the_searcher(self) -> None:
        plan = make_plan(points=({"model.dropout": 0.3},), trial={})
        studies = Studies(plan)
        first, second = (studies.suggest(number) for number in range(2))
        assert first is not None
        assert second is not None
        assert first.config.model["dropout"] == 0.3
        assert second.config.loss.label_smoothing != 0.0

    def test_a_sampler_of_every_kind_goes_on_from_them(self) -> None:
        for kind in ("tpe", "random", "grid", "cmaes", "gp"):
            plan = sampled(kind, points=({"model.dropout": 0.45},))
            _, records = ask_and_tell(plan, 5)
            assert records[1].suggestion.config.model["dropout"] == 0.45


def test_results_guide_the_search_at_the_size_of_the_presets() -> None:
    def third(best_rate_is_high: bool) -> Suggestion | None:
        studies = Studies(make_plan(num_trials=6))
        for number in range(5):
            suggestion = studies.suggest(number)
            assert suggestion is not None
            rate = suggestion.config.optimizer.learning_rate
            studies.tell(ended(suggestion, rate if best_rate_is_high else 1 / (1 + 100 * rate)))
        return studies.suggest(5)

    high, low = third(True), third(False)
    assert high is not None
    assert low is not None
    assert high.config != low.config


def test_suggestions_are_those_of_a_sampler_that_knows_nothing_before() -> None:
    plan = make_plan(num_trials=20)
    studies, records = ask_and_tell(plan, 16)
    ours = studies.suggest(16)
    assert ours is not None
    space = plan.space("cnn").distributions
    states = {"finished": optuna.trial.TrialState.COMPLETE, "stopped": optuna.trial.TrialState.PRUNED}
    study = optuna.create_study(direction="maximize")
    for record in records:
        assert record.state in states
        study.add_trial(
            optuna.create_trial(
                state=states[record.state],
                params=dict(record.suggestion.parameters),
                distributions=dict(space),
                value=record.objective if record.state == "finished" else None,
                intermediate_values=dict(record.objectives),
            )
        )
    seed = derive_seed("searcher", plan.settings.searcher_seed, "cnn", 16, 0) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6, multivariate=True, constant_liar=True)
    assert study.ask(dict(space)).params == ours.parameters


def test_after_a_correction_suggestions_are_as_if_nothing_else_had_ever_been_told() -> None:
    plan = make_plan(num_trials=30)
    _, records = ask_and_tell(plan, 12)
    corrected = Studies(plan)
    corrected.restore(records)
    now = [
        dataclasses.replace(records[1], state="finished", objective=0.99, objectives={1: 0.4, 2: 0.5, 3: 0.99}),
        dataclasses.replace(records[2], state="stopped"),
        dataclasses.replace(records[4], state=None, objective=None),
    ]
    for record in now:
        corrected.correct(record)
    fresh = Studies(plan)
    fresh.restore([{record.suggestion.number: record for record in now}.get(r.suggestion.number, r) for r in records])
    expected = [fresh.suggest(number) for number in range(12, 16)]
    assert [corrected.suggest(number) for number in range(12, 16)] == expected
    unchanged = Studies(plan)
    unchanged.restore(records)
    assert [unchanged.suggest(number) for number in range(12, 16)] != expected
