"""Pooling that has a deterministic backward pass on every device gives the numbers of torch's own."""

import pytest
import torch
from torch import nn

from models import create_model, list_architectures


@pytest.mark.parametrize("size", [(1, 2), (6, 6), (5, 13), (7, 12), (3, 6)])
def test_alexnets_pool_is_torchs_adaptive_one(size: tuple[int, int]) -> None:
    pool = create_model("alexnet", num_classes=2, seed=0, options={"hidden_features": 4}).backbone.get_submodule(
        "avgpool"
    )
    ours = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.arange(36, dtype=torch.float64).reshape(6, 6)
    left, right = pool(ours), nn.functional.adaptive_avg_pool2d(theirs, 6)
    torch.testing.assert_close(left, right)
    (left * weights).sum().backward()
    (right * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("pooling", ["max", "avgmax"])
def test_timms_pooling_is_that_of_torchs_adaptive_layers(pooling: str) -> None:
    model = create_model("timm/test_resnet", num_classes=2, seed=0, options={"pooling": pooling}).eval()
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cells = model.backbone.forward_features(x)  # type: ignore[operator]
        largest = nn.functional.adaptive_max_pool2d(cells, 1).flatten(1)
        mean = nn.functional.adaptive_avg_pool2d(cells, 1).flatten(1)
        expected = largest if pooling == "max" else 0.5 * (largest + mean)
        assert torch.equal(model.embed(x), expected)


@pytest.mark.parametrize("pooling", ["own", "max", "avgmax"])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_byobnet"])
def test_no_pooling_of_timm_is_left_that_a_gpu_cannot_do_deterministically(name: str, pooling: str) -> None:
    _hold_no_adaptive_pool(create_model(f"timm/{name}", num_classes=2, seed=0, options={"pooling": pooling}))


def test_no_architecture_of_ours_has_one() -> None:
    for name in list_architectures():
        options = {"hidden_features": 4} if name == "alexnet" else {}
        _hold_no_adaptive_pool(create_model(name, num_classes=2, seed=0, options=options))


def _hold_no_adaptive_pool(model: nn.Module) -> None:
    for name, module in model.named_modules():
        assert not type(module).__name__.startswith(("AdaptiveMax", "AdaptiveAvgMax", "AdaptiveCat")), name
        # To one cell torch takes the mean, which is deterministic.
        assert not isinstance(module, nn.AdaptiveAvgPool2d) or module.output_size in (1, (1, 1)), name
