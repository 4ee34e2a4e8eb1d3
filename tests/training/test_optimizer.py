"""What the optimizer does to which parameters: rates by depth, decay where the recipe wants it."""

import pytest
import timm
import torch
from timm.optim import param_groups_weight_decay

from models import Classifier, create_model, freeze
from training.optimizer import create_optimizer
from training.recipe import OptimizerConfig


def _by_name(model: Classifier, config: OptimizerConfig) -> dict[str, tuple[float, float]]:
    """Name of a trained parameter → its rate and its decay."""
    optimizer = create_optimizer(model, config, fused=False)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_everything_decays_alike_in_one_group_unless_asked_otherwise() -> None:
    model = create_model("timm/test_vit", num_classes=2, seed=0)
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.2)
    assert _by_name(model, config) == {name: (0.1, 0.2) for name, _ in model.named_parameters()}
    assert len(create_optimizer(model, config, fused=False).param_groups) == 1


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_what_is_spared_is_what_timm_spares(name: str) -> None:
    model = create_model(f"timm/{name}", num_classes=2, seed=0)
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.2, decay_norms=False)
    ours = {parameter: decay for parameter, (_, decay) in _by_name(model, config).items()}
    theirs = timm.create_model(name, num_classes=0, in_chans=1)
    asked = theirs.no_weight_decay() if name == "test_vit" else ()
    spared, decayed = param_groups_weight_decay(theirs, 0.2, no_weight_decay_list=asked)
    decay_of = {id(value): group["weight_decay"] for group in (spared, decayed) for value in group["params"]}
    expected = {f"backbone.{parameter}": decay_of[id(value)] for parameter, value in theirs.named_parameters()}
    assert ours == {**expected, "head.linear.weight": 0.2, "head.linear.bias": 0.0}


def test_rates_still_fall_towards_the_input_and_the_last_group_has_the_full_one() -> None:
    model = create_model("timm/test_resnet", num_classes=2, seed=0)
    plain = OptimizerConfig(learning_rate=0.1, layer_decay=0.5)
    sparing = OptimizerConfig(learning_rate=0.1, layer_decay=0.5, decay_norms=False)
    rates, ours = _by_name(model, plain), _by_name(model, sparing)
    assert {name: rate for name, (rate, _) in ours.items()} == {name: rate for name, (rate, _) in rates.items()}
    last = create_optimizer(model, sparing, fused=False).param_groups[-1]
    assert (last["lr"], last["weight_decay"]) == (0.1, sparing.weight_decay)
    assert any(parameter is model.head.get_submodule("linear").weight for parameter in last["params"])


def test_frozen_parameters_are_in_no_group() -> None:
    model = create_model("timm/test_resnet", num_classes=2, seed=0)
    model.backbone.requires_grad_(False)
    assert _by_name(model, OptimizerConfig(decay_norms=False)).keys() == {"head.linear.weight", "head.linear.bias"}


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
