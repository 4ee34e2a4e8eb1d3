"""What is held about samplers and points before anything is computed."""

from typing import Any

import pytest
from sweep_toys import make_plan

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from storage.errors import InvalidInput
from sweeps.sampler_settings import SamplerSettings

_SHAPE = (64, 64)
_GRID = {
    "optimizer.learning_rate": [1e-3, 2e-3],
    "optimizer.weight_decay": [1e-2],
    "augment.mix_alpha": [0.0, 0.2],
    "loss.label_smoothing": [0.0],
    "model.dropout": [0.1, 0.3],
}


def test_the_command_line_names_samplers_grids_and_points() -> None:
    words = [
        "sweep.sampler.kind=grid",
        "sweep.sampler.grid.model.dropout=[0.1,0.2]",
        "sweep.sampler.grid.optimizer.learning_rate=[1e-3]",
        "sweep.points=[{model.dropout: 0.25, batch_size: 32},{loss.label_smoothing: 0.05}]",
        "sweep.objectives=[score,latency_ms]",
        "sweep.extend=3",
    ]
    sweep = parse_settings(JobSettings, words).sweep
    assert (sweep.objectives, sweep.extend) == (("score", "latency_ms"), 3)
    assert parse_settings(JobSettings, ["sweep.warm_start=[a-0123456789ab]"]).sweep.warm_start == ("a-0123456789ab",)
    assert sweep.sampler.grid == {"model.dropout": [0.1, 0.2], "optimizer.learning_rate": [1e-3]}
    assert sweep.points == ({"model.dropout": 0.25, "batch_size": 32}, {"loss.label_smoothing": 0.05})


def test_a_sampler_and_points_are_part_of_which_sweep_it_is_and_their_defaults_are_not() -> None:
    plain = make_plan()
    assert plain.sweep_id == make_plan(sampler=SamplerSettings(), points=()).sweep_id
    others = [
        make_plan(sampler=SamplerSettings(kind="random")),
        make_plan(sampler=SamplerSettings(n_startup_trials=3)),
        make_plan(points=({"model.dropout": 0.2},)),
    ]
    assert len({plan.sweep_id for plan in (plain, *others)}) == 4
    assert plain.identity["settings"].keys().isdisjoint({"sampler", "points", "extend"})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"n_startup_trials": -1}, r"sweep\.sampler\.n_startup_trials"),
        ({"kind": "random", "n_startup_trials": 5}, r"sweep\.sampler\.n_startup_trials: got 5.*kind=tpe"),
        ({"kind": "tpe", "grid": {"batch_size": [16]}}, r"sweep\.sampler\.grid.*kind=grid"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        SamplerSettings(**values)


@pytest.mark.parametrize(
    ("sampler", "told"),
    [
        (
            {"kind": "grid"},
            r"grid over optimizer\.learning_rate.*of cnn.*sweep\.sampler\.grid\.optimizer\.learning_rate=\[",
        ),
        (
            {"kind": "grid", "grid": {**_GRID, "model.dropot": [1]}},
            r"grid\.model\.dropot.*Did you mean 'model\.dropout'",
        ),
        ({"kind": "grid", "grid": {**_GRID, "model.dropout": [0.1, 0.9]}}, r"grid\.model\.dropout: got 0\.9"),
        ({"kind": "grid", "grid": {**_GRID, "model.dropout": 0.1}}, r"grid\.model\.dropout: got 0\.1; allowed: a list"),
        ({"kind": "grid", "grid": {**_GRID, "model.dropout": []}}, r"grid\.model\.dropout: got \[\]"),
        (
            {"kind": "grid", "grid": {name: [1e-3 + 1e-6 * step for step in range(20)] for name in _GRID}},
            r"6400000 conf.*of cnn",
        ),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_is_computed(sampler: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        make_plan(sampler=SamplerSettings(**sampler)).check(feature_shape=_SHAPE)


def test_a_grid_with_an_end_is_taken() -> None:
    make_plan(sampler=SamplerSettings(kind="grid", grid=_GRID)).check(feature_shape=_SHAPE)


def test_cma_es_without_numbers_is_refused() -> None:
    plan = make_plan(sampler=SamplerSettings(kind="cmaes"), trial={name: values[0] for name, values in _GRID.items()})
    with pytest.raises(InvalidInput, match=r"sweep\.sampler\.kind: got 'cmaes'.*no number is searched for cnn"):
        plan.check(feature_shape=_SHAPE)


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ({"model.dropout": 7.0}, r"sweep\.points: got 'model\.dropout=7\.0'.*nothing has run"),
        ({"model.dropout": "much"}, r"sweep\.points: got 'model\.dropout=much'"),
        ({"batch_size": 17}, r"sweep\.points: got 'batch_size=17'"),
        ({"model.dropot": 0.1}, r"sweep\.points: .*Did you mean 'model\.dropout'"),
        ({"model.width": 8}, r"sweep\.points: .*names that one of the architectures searches"),
        ({}, r"sweep\.points: got \{\}"),
    ],
)
def test_a_point_outside_of_every_space_is_refused_before_anything_is_computed(
    point: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        make_plan(points=({"batch_size": 32}, point)).check(feature_shape=_SHAPE)
