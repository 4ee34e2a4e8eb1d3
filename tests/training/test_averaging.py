"""Averages of weights: what is averaged, and what a frozen part keeps."""

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
    average.after_epoch(1, INPUTS)
    with torch.no_grad():
        model[0].weight += 1.0
    average.after_epoch(2, INPUTS)
    scored: Any = average.scored(2)
    seen = torch.stack([scored[0](batch).mean(dim=0) for batch in INPUTS]).mean(dim=0)
    assert torch.allclose(scored[1].running_mean, seen, atol=1e-6)
    assert torch.allclose(scored[0].weight, model[0].weight - 0.5)


def test_a_frozen_batchnorm_keeps_the_statistics_that_it_came_with(model: Any) -> None:
    model[1].running_mean = torch.full((4,), 7.0)
    model[1].eval()  # as `Frozen.keep_still` leaves it
    average = WeightAverage(model, LoopConfig(swa_epochs=1), epochs=1)
    average.after_epoch(1, INPUTS)
    scored: Any = average.scored(1)
    assert torch.equal(scored[1].running_mean, torch.full((4,), 7.0))
    assert not torch.equal(scored[3].running_mean, torch.zeros(4))
    # The second one sees what the first one, frozen, lets through.
    seen = torch.stack([scored[2](scored[1](scored[0](batch))).mean(dim=0) for batch in INPUTS]).mean(dim=0)
    assert torch.allclose(scored[3].running_mean, seen, atol=1e-6)
