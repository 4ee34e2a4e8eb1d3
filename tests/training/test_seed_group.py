"""Seeds that train together become what they become alone, and go on from any step as if nothing had happened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoints
from storage.object_store import open_store
from training import TrialConfig, TrialData
from training.config import with_values
from training.fused_step import FusedStepper
from training.inputs import DeviceData, device_data
from training.seed_group import SeedGroup
from training.seed_run import SeedRun

TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 5e-5  # of single weights whose gradients are near Adam's epsilon: 2e-5 for one of these seeds
SEEDS = (1, 2)


@pytest.fixture(autouse=True)
def _own_random_state() -> Any:
    with torch.random.fork_rng():
        yield


def on_cpu(config: TrialConfig, data: TrialData) -> DeviceData:
    return device_data(data, config, torch.device("cpu"))


def group_of(config: TrialConfig, data: DeviceData) -> SeedGroup:
    return SeedGroup([SeedRun(config, seed=seed, data=data) for seed in config.seeds])


def trained_alone(config: TrialConfig, data: DeviceData) -> list[SeedRun]:
    runs = [SeedRun(config, seed=seed, data=data) for seed in config.seeds]
    for run in runs:
        while not run.finished:
            run.train_epoch()
    return runs


def trained_together(config: TrialConfig, data: DeviceData) -> SeedGroup:
    group = group_of(config, data)
    while not group.finished:
        group.train_epoch()
    return group


def largest_difference(ours: SeedRun, theirs: SeedRun) -> float:
    """Over weights, BatchNorm's statistics, averages and the optimizer's state."""
    left, right = ours.checkpoint().tensors, theirs.checkpoint().tensors
    assert left.keys() == right.keys()
    return max(float((left[name].double() - right[name].double()).abs().max()) for name in left)


def assert_same_curve(ours: SeedRun, theirs: SeedRun) -> None:
    for together, separate in zip(ours.history, theirs.history, strict=True):
        assert together.train_loss == pytest.approx(separate.train_loss, abs=TOLERANCE)
        assert together.validation_loss == pytest.approx(separate.validation_loss, abs=TOLERANCE)
        assert together.learning_rate == separate.learning_rate


@pytest.fixture
def disturbed(trial_config: TrialConfig) -> TrialConfig:
    """20 steps: 4 epochs of 5."""
    return with_values(
        trial_config,
        {"seeds": SEEDS, "model.dropout": 0.3, "optimizer.weight_decay": 0.05, "augment.mix_alpha": 0.4},
    )


_RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mlp head": {"model.head": "mlp", "model.head_hidden": 16},
    "sgd, clipped": {"optimizer.kind": "sgd", "optimizer.clip_norm": 0.2},
    "adam, accumulated": {"optimizer.kind": "adam", "optimizer.accumulate": 2, "batch_size": 10},
    "clipped, accumulated": {"optimizer.accumulate": 2, "optimizer.clip_norm": 0.5},
    "ema, one cycle": {"loop.ema_decay": 0.9, "schedule.kind": "one_cycle"},
    "swa, focal": {"loop.swa_epochs": 2, "loss.kind": "focal", "loss.class_weights": "balanced"},
    "layer-wise, three channels": {"optimizer.layer_decay": 0.8, "input.channels": 3},
    "partly frozen": {"freeze": "until(stages.0)"},
}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(
            values,
            id=name,
            marks=[]
            if name in ("plain", "sgd, clipped", "adam, accumulated", "ema, one cycle")
            else [pytest.mark.slow],
        )
        for name, values in _RECIPES.items()
    ],
)
def test_twenty_steps_of_cnn_together_equal_those_alone(
    disturbed: TrialConfig, trial_data: TrialData, values: dict[str, Any]
) -> None:
    config = with_values(disturbed, values)
    data = on_cpu(config, trial_data)
    group, alone = trained_together(config, data), trained_alone(config, data)
    for ours, theirs in zip(group.runs, alone, strict=True):
        assert largest_difference(ours, theirs) < WEIGHT_TOLERANCE
        assert_same_curve(ours, theirs)


@pytest.mark.parametrize("kind", [pytest.param("adamw", marks=pytest.mark.slow), "sgd"])
def test_twenty_steps_of_alexnet_together_equal_those_alone(
    disturbed: TrialConfig, large_trial_data: TrialData, kind: str
) -> None:
    small = {"model.hidden_features": 16, "batch_size": 4, "epochs": 5, "optimizer.learning_rate": 1e-3}
    # Rounding sends other seeds' AdamW other ways (seed 1 by 0.06 in the loss), so `auto` leaves it alone.
    plain = replace(disturbed, architecture="alexnet", model={}, seeds=(3, 4))
    config = with_values(plain, {"model.dropout": 0.3, **small})
    config = with_values(config, {"optimizer.kind": kind})
    data = on_cpu(config, large_trial_data)
    group, alone = trained_together(config, data), trained_alone(config, data)
    assert group.checkpoint().step == 20 * len(SEEDS)
    for ours, theirs in zip(group.runs, alone, strict=True):
        assert_same_curve(ours, theirs)
        # Gradients of single weights here are as small as AdamW's epsilon, 1e-8, and as rounding: it takes whole steps
        # of the learning rate along them, one way or the other. Such weights do not move the output.
        if kind == "sgd":
            assert largest_difference(ours, theirs) < TOLERANCE
        differences = ours.result().test.probabilities - theirs.result().test.probabilities
        assert np.abs(differences).max() < TOLERANCE


@pytest.mark.parametrize("values", [{}, {"optimizer.kind": "sgd", "loop.ema_decay": 0.9}], ids=["adamw", "sgd, ema"])
def test_a_group_put_down_at_random_steps_equals_the_undisturbed_one_bit_for_bit(
    disturbed: TrialConfig, trial_data: TrialData, tmp_path: Path, values: dict[str, Any]
) -> None:
    config = with_values(disturbed, {"epochs": 3, **values})
    data = on_cpu(config, trial_data)
    expected = trained_together(config, data).checkpoint()
    checkpoints, chance = Checkpoints(open_store(str(tmp_path)), "trial"), np.random.default_rng(3)
    group = group_of(config, data)
    while not group.finished:
        steps = iter(range(int(chance.integers(0, 4))))
        group.train_epoch(lambda steps=steps: next(steps, None) is None)  # type: ignore[misc]
        torch.rand(3)  # another process has another global state
        checkpoints.save("together", group.checkpoint())
        found = checkpoints.newest("together")
        assert found is not None
        group = group_of(config, data)
        group.restore(found)
    ours = group.checkpoint()
    assert ours.tensors.keys() == expected.tensors.keys()
    for name in ours.tensors:
        assert torch.equal(ours.tensors[name], expected.tensors[name]), name


def test_a_seed_that_stops_early_stays_as_it_is_while_the_others_go_on(
    disturbed: TrialConfig, trial_data: TrialData
) -> None:
    config = with_values(disturbed, {"seeds": (1, 2, 3), "epochs": 30, "loop.early_stopping_patience": 1})
    data = on_cpu(config, trial_data)
    group, alone = trained_together(config, data), trained_alone(config, data)
    ended = [len(run.history) for run in group.runs]
    assert len(set(ended)) > 1, "all end at once: choose other seeds"
    assert ended == [len(run.history) for run in alone]
    for ours, theirs in zip(group.runs, alone, strict=True):
        assert largest_difference(ours, theirs) < TOLERANCE


def test_seeds_that_do_not_fit_into_memory_together_go_on_by_themselves(
    disturbed: TrialConfig, trial_data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = on_cpu(disturbed, trial_data)
    step, calls = FusedStepper.step, iter(range(100))

    def scarce(self: FusedStepper, batches: Any) -> list[torch.Tensor]:
        if next(calls) >= 7:
            raise torch.OutOfMemoryError
        return step(self, batches)

    monkeypatch.setattr(FusedStepper, "step", scarce)
    group = trained_together(disturbed, data)
    for ours, theirs in zip(group.runs, trained_alone(disturbed, data), strict=True):
        assert largest_difference(ours, theirs) < TOLERANCE
        assert ours.result().events == ("epoch 2: out of memory: the seeds no longer train together",)
    again = group_of(disturbed, data)
    again.restore(group.checkpoint())
    assert again.checkpoint().state["fits"] is False
