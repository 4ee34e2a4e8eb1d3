"""CMA-ES from what was told: ranks alone, in the order of the ends, and nothing remembered."""

import dataclasses

from sweep_toys import make_plan

from search_spaces.values import holds
from sweeps.cma_es import next_numbers
from sweeps.records import Suggestion, TrialRecord, TrialState

_PLAN = make_plan(architectures=("alexnet",), trial={})
_SPACE = _PLAN.space("alexnet")


def _told(
    number: int, dropout: float, *, objective: float, state: TrialState = "finished", epoch: int = 9
) -> TrialRecord:
    parameters = {**{name: _SPACE.default[name] for name in _SPACE.distributions}, "model.dropout": dropout}
    suggestion = Suggestion(
        number=number,
        config=_PLAN.trial_config("alexnet", parameters),
        parameters=parameters,
        distributions={},
        untuned_default=False,
    )
    return TrialRecord(suggestion=suggestion, state=state, objective=objective, objectives={epoch: objective})


def _mean_dropout(told: list[TrialRecord]) -> float:
    drawn = [next_numbers(_SPACE, told, seed=seed)["model.dropout"] for seed in range(40)]
    return sum(drawn) / len(drawn)


def test_it_draws_all_numbers_inside_of_the_space_and_no_choices() -> None:
    for seed in range(30):
        drawn = next_numbers(_SPACE, [], seed=seed)
        assert drawn.keys() == _SPACE.distributions.keys() - {"model.hidden_features"}
        assert all(holds(_SPACE.distributions[name], value) for name, value in drawn.items())


def test_the_same_seed_and_ends_give_the_same_draw_and_another_seed_another() -> None:
    told = [_told(number, number / 20, objective=number) for number in range(8)]
    assert next_numbers(_SPACE, told, seed=1) == next_numbers(_SPACE, told, seed=1)
    assert next_numbers(_SPACE, told, seed=1) != next_numbers(_SPACE, told, seed=2)


def test_generations_lead_to_where_results_are_good() -> None:
    rising = [_told(number, 0.05 * (number % 8), objective=number % 8) for number in range(16)]
    falling = [dataclasses.replace(record, objective=-(record.objective or 0.0)) for record in rising]
    assert _mean_dropout(rising) > _mean_dropout([]) > _mean_dropout(falling)


def test_only_the_order_of_objectives_counts() -> None:
    told = [_told(number, number / 20, objective=number) for number in range(8)]
    stretched = [dataclasses.replace(record, objective=1000.0 + (record.objective or 0.0) ** 3) for record in told]
    assert next_numbers(_SPACE, told, seed=3) == next_numbers(_SPACE, stretched, seed=3)


def test_an_unfinished_generation_changes_nothing() -> None:
    told = [_told(number, number / 20, objective=number) for number in range(8)]
    assert next_numbers(_SPACE, told[:7], seed=3) == next_numbers(_SPACE, [], seed=3)
    assert next_numbers(_SPACE, told, seed=3) != next_numbers(_SPACE, [], seed=3)


def test_a_stopped_trial_ranks_behind_finished_ones_and_behind_those_stopped_later() -> None:
    ranks = [
        _told(0, 0.0, objective=0.9, state="stopped", epoch=1),
        _told(1, 0.05, objective=0.1, state="stopped", epoch=3),
        _told(2, 0.1, objective=0.2, state="stopped", epoch=3),
        *[_told(number, number / 20, objective=number / 100) for number in range(3, 8)],
    ]
    by_rank = [_told(number, number / 20, objective=number) for number in range(8)]
    assert next_numbers(_SPACE, ranks, seed=3) == next_numbers(_SPACE, by_rank, seed=3)


def test_failed_trials_are_not_heard_of() -> None:
    told = [_told(number, number / 20, objective=number) for number in range(8)]
    failed = _told(9, 0.5, objective=0.0, state="failed")
    assert next_numbers(_SPACE, [failed, *told], seed=3) == next_numbers(_SPACE, told, seed=3)
