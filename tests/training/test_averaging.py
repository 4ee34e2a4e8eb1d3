"""Averages of weights: what is averaged, and what a frozen part keeps."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from training.averaging import WeightAverage
from training.recipe import LoopConfig


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))


INPUTS = [torch.arange(24.0).reshape(8, 3) / 10 + shift for shift in (0.0, 1.0)]


@pytest.fixture
def model() -> nn.Sequential:
    return _model()


def test_statistics_of_batchnorm_are_measured_with_the_averaged_weights(model: Any) -> None:
    average = WeightAverage(model, LoopConfig(swa_epochs=2), epochs=2)
    average.after_epoch(1, INPUTS, autocast=nullcontext)
    with torch.no_grad():
        model[0].weight += 1.0
    average.after_epoch(2, INPUTS, autocast=nullcontext)
    scored: Any = average.scored(2)
    seen = torch.stack([scored[0](batch).mean(dim=0) for batch in INPUTS]).mean(dim=0)
    assert torch.allclose(scored[1].running_mean, seen, atol=1e-6)
    assert torch.allclose(scored[0].weight, model[0].weight - 0.5)


def test_a_frozen_batchnorm_keeps_the_statistics_that_it_came_with(model: Any) -> None:
    model[1].running_mean = torch.full((4,), 7.0)
    model[1].eval()  # as `Frozen.keep_still` leaves it
    average = WeightAverage(model, LoopConfig(swa_epochs=1), epochs=1)
    average.after_epoch(1, INPUTS, autocast=nullcontext)
    scored: Any = average.scored(1)
    assert torch.equal(scored[1].running_mean, torch.full((4,), 7.0))
    assert not torch.equal(scored[3].running_mean, torch.zeros(4))
    # The second one sees what the first one, frozen, lets through.
    seen = torch.stack([scored[2](scored[1](scored[0](batch))).mean(dim=0) for batch in INPUTS]).mean(dim=0)
    assert torch.allclose(scored[3].running_mean, seen, atol=1e-6)


def test_in_statistics_of_batchnorm_every_clip_weighs_the_same(model: Any) -> None:
    inputs = [INPUTS[0], INPUTS[1][:2]]
    average = WeightAverage(model, LoopConfig(swa_epochs=1), epochs=1)
    average.after_epoch(1, inputs, autocast=nullcontext)
    scored: Any = average.scored(1)
    answers = [scored[0](batch) for batch in inputs]
    assert torch.allclose(scored[1].running_mean, torch.cat(answers).mean(dim=0), atol=1e-6)
    variances = (8 * answers[0].var(dim=0) + 2 * answers[1].var(dim=0)) / 10
    assert torch.allclose(scored[1].running_var, variances, atol=1e-6)
    assert scored[1].momentum == 0.1


def test_statistics_of_batchnorm_are_measured_in_the_precision_of_the_trial(model: Any) -> None:
    average = WeightAverage(model, LoopConfig(swa_epochs=1), epochs=1)
    seen: list[torch.dtype] = []
    scored: Any = average.scored(1)
    scored[1].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].dtype))
    average.after_epoch(1, INPUTS, autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    assert seen == [torch.bfloat16] * len(INPUTS)


def test_ema_is_the_formula_by_hand_warm_up_and_all() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, LoopConfig(ema_decay=0.3), epochs=1)
    weights, expected = [5.0, 1.0, 2.0, 4.0, 8.0], [5.0]
    for weight in weights:
        nn.init.constant_(model.weight, weight)
        average.after_step()
    for decay, weight in zip((2 / 11, 3 / 12, 0.3, 0.3), weights[1:], strict=True):
        expected.append(decay * expected[-1] + (1 - decay) * weight)
    scored = average.scored(1).get_parameter("weight").detach()
    assert float(scored) == pytest.approx(expected[-1], rel=1e-6)


def test_ema_goes_on_where_it_was_stored() -> None:
    model = nn.Linear(1, 1, bias=False)
    stored, going_on = (WeightAverage(model, LoopConfig(ema_decay=0.9), epochs=1) for _ in range(2))
    for weight in (5.0, 1.0, 2.0):
        nn.init.constant_(model.weight, weight)
        stored.after_step()
    going_on.load_state_dict({name: tensor.clone() for name, tensor in stored.state_dict().items()})
    for average in (stored, going_on):
        average.after_step()
    ours, theirs = (average.scored(1).get_parameter("weight") for average in (going_on, stored))
    assert torch.equal(ours, theirs)
