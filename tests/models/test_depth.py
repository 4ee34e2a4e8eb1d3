"""Depths: every parameter has one, they rise from the input to the head, and a block shares one."""

import pytest
from torch import nn

from models import Classifier, create_model, depth_of_parameters


@pytest.mark.parametrize(
    ("architecture", "num_blocks"),
    [
        ("cnn", 3),
        ("alexnet", 7),  # five convolutions, two hidden layers
        ("efficientnet_b0", 17),  # stem, 16 blocks; timm counts the last convolution with the 16th
        ("timm/resnet10t", 5),  # stem, four blocks
        ("timm/vit_tiny_patch16_224", 13),  # embedding, 12 blocks; the final norm with the last
        ("timm/test_convnext", None),
        ("timm/poolformer_s12", None),  # without timm's map of groups
    ],
)
def test_depths_rise_without_a_gap_from_the_input_to_the_head(architecture: str, num_blocks: int | None) -> None:
    options = {"hidden_features": 8} if architecture == "alexnet" else {}
    model = create_model(architecture, num_classes=2, seed=0, options=options)
    depths = depth_of_parameters(model)
    assert depths.keys() == {name for name, _ in model.named_parameters()}
    assert set(depths.values()) == set(range(max(depths.values()) + 1))
    assert {name for name, depth in depths.items() if depth == max(depths.values())} == {
        f"head.{name}" for name, _ in model.head.named_parameters()
    }
    assert num_blocks is None or max(depths.values()) == num_blocks


def test_a_block_shares_one_depth_and_the_next_is_deeper() -> None:
    depths = depth_of_parameters(create_model("cnn", num_classes=2, seed=0, options={"width": 4}))
    for stage in range(3):
        assert {depth for name, depth in depths.items() if name.startswith(f"backbone.stages.{stage}.")} == {stage}
    depths = depth_of_parameters(create_model("timm/resnet10t", num_classes=2, seed=0))
    assert depths["backbone.conv1.0.weight"] == 0
    assert [depths[f"backbone.layer{n}.0.conv1.weight"] for n in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_parameters_beside_all_blocks_lie_at_the_input() -> None:
    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 2)
            self.token = nn.Parameter(nn.Linear(1, 1).weight.detach())

    depths = depth_of_parameters(Classifier(Backbone(), nn.Linear(2, 2), embedding_size=2))
    assert depths["backbone.token"] == depths["backbone.first.weight"] == 0
    assert depths["backbone.last.weight"] == 1
    assert depths["head.weight"] == 2
