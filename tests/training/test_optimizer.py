"""The optimizer has every trained parameter once, each at the rate of its depth."""

import pytest
import torch

from models import create_model, freeze
from training.optimizer import create_optimizer
from training.recipe import OptimizerConfig


def _rates(optimizer: torch.optim.Optimizer, named: dict[str, torch.nn.Parameter]) -> dict[str, float]:
    rate_of = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(rate_of)
    return {name: rate_of[id(parameter)] for name, parameter in named.items() if id(parameter) in rate_of}


def test_rates_fall_from_the_head_to_the_input_by_the_same_factor_a_block() -> None:
    model = create_model("cnn", num_classes=3, seed=0, options={"width": 4})
    config = OptimizerConfig(learning_rate=0.1, layer_decay=0.5)
    rates = _rates(create_optimizer(model, config, fused=False), dict(model.named_parameters()))
    assert rates.keys() == dict(model.named_parameters()).keys()
    by_block = {name.split(".")[2] if name.startswith("backbone") else "head": rate for name, rate in rates.items()}
    assert by_block == pytest.approx({"0": 0.0125, "1": 0.025, "2": 0.05, "head": 0.1})


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_what_is_frozen_is_not_among_them(layer_decay: float) -> None:
    model = create_model("cnn", num_classes=3, seed=0, options={"width": 4})
    freeze(model, "until(stages.0)")
    config = OptimizerConfig(learning_rate=0.1, layer_decay=layer_decay)
    rates = _rates(create_optimizer(model, config, fused=False), dict(model.named_parameters()))
    assert rates.keys() == {name for name, _ in model.named_parameters() if not name.startswith("backbone.stages.0")}
    assert rates["head.linear.weight"] == 0.1
