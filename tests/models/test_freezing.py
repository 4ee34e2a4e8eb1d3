"""Freezing: what keeps still keeps its bits, and all the rest learns."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from models import Classifier, Frozen, create_model, freeze

NORMS = "running_mean", "running_var", "num_batches_tracked"


def small(architecture: str) -> Classifier:
    options = {"width": 4} if architecture == "cnn" else {}
    return create_model(architecture, num_classes=3, seed=0, options=options)


def train_a_step(model: Classifier, frozen: Frozen) -> None:
    """One step of a loop that calls `train()` first, as they do."""
    model.train()
    frozen.keep_still()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        x = torch.randn(4, 1, 32, 32) + 5.0
        functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0])).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()


def moved_by_a_step(model: Classifier, frozen: Frozen) -> set[str]:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_a_step(model, frozen)
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_nothing_is_frozen_if_nothing_is_asked_for() -> None:
    model = small("cnn")
    assert moved_by_a_step(model, freeze(model, "none")) == set(model.state_dict())


@pytest.mark.parametrize("architecture", ["cnn", "timm/test_resnet", "timm/test_vit"])
def test_a_frozen_backbone_keeps_every_bit_and_the_head_learns(architecture: str) -> None:
    model = small(architecture)
    moved = moved_by_a_step(model, freeze(model, "backbone"))
    assert moved == {f"head.{name}" for name in model.head.state_dict()}


def test_batchnorm_would_move_without_keeping_still() -> None:
    model = small("cnn")
    freeze(model, "backbone")
    moved = moved_by_a_step(model, Frozen(modules=()))
    assert {name.rpartition(".")[2] for name in moved if name.startswith("backbone")} == set(NORMS)


@pytest.mark.parametrize(
    ("architecture", "layer", "moving"),
    [
        ("cnn", "stages.1", {"stages.2"}),
        ("cnn", "stages", set()),
        ("timm/test_resnet", "layer3", {"layer4"}),
        ("timm/test_resnet", "conv1", {"bn1", "layer1", "layer2", "layer3", "layer4"}),
        ("timm/test_efficientnet", "blocks.0", {"blocks", "conv_head", "bn2"}),
    ],
)
def test_a_layer_and_all_before_it_keep_every_bit(architecture: str, layer: str, moving: set[str]) -> None:
    model = small(architecture)
    moved = {name for name in moved_by_a_step(model, freeze(model, f"until({layer})")) if name.startswith("backbone.")}
    depth = max((len(name.split(".")) for name in moving), default=1)
    assert {".".join(name.split(".")[1 : 1 + depth]) for name in moved} == moving
    assert not any(name.startswith(f"backbone.{layer}.") for name in moved)


def test_what_comes_before_the_blocks_of_a_transformer_is_frozen_with_them() -> None:
    model = small("timm/test_vit")
    freeze(model, "until(blocks.1)")
    still = {name for name, parameter in model.backbone.named_parameters() if not parameter.requires_grad}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight"} <= still
    assert not any(name.startswith("blocks.2") for name in still)


def test_dropout_inside_a_frozen_part_passes_everything() -> None:
    model = create_model("alexnet", num_classes=3, seed=0, options={"hidden_features": 8})
    frozen = freeze(model, "backbone")
    model.train()
    frozen.keep_still()
    assert not any(module.training for module in model.backbone.modules() if isinstance(module, nn.Dropout))
    assert all(module.training for module in model.head.modules())


@pytest.mark.parametrize("what", ["", "head", "until()", "until(stages", "until"])
def test_what_cannot_be_frozen_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: none, backbone or until\(<layer>\)"):
        freeze(small("cnn"), what)


def test_an_unknown_layer_names_the_known_ones_and_changes_nothing() -> None:
    model = small("timm/test_resnet")
    with pytest.raises(ValueError, match=r"no layer 'layer5'; known: conv1, bn1, .*layer4.*; did you mean 'layer"):
        freeze(model, "until(layer5)")
    assert all(parameter.requires_grad for parameter in model.parameters())
