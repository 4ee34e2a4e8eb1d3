"""ResNet-50 and its two attention variants: log-mel images in, class logits out. The one file that knows timm."""

from typing import Literal

from torch import nn

from models.registry import register_architecture


@register_architecture
def resnet50(num_classes: int, in_channels: int, *, dropout: float = 0.0) -> nn.Module:
    """ResNet-50 without pretrained weights.

    Takes any size; below 33x33 the last feature map is 1x1, for which training needs a batch of two or more.

    Source: "Deep Residual Learning for Image Recognition" (arXiv:1512.03385). Deviations, all timm's: the stride of a
    bottleneck sits in its 3x3 convolution, and the last BatchNorm of each branch starts at zero ("Bag of Tricks for
    Image Classification with Convolutional Neural Networks", arXiv:1812.01187), so that the weights inside a branch
    get their first nonzero gradient in the second step.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        dropout: probability of dropping a pooled feature before the last layer, in [0, 1).

    Raises:
        ValueError: if dropout is out of its range.
    """
    return _resnet50(num_classes, in_channels, dropout, attention=None)


@register_architecture
def resnet50_se(num_classes: int, in_channels: int, *, dropout: float = 0.0) -> nn.Module:
    """ResNet-50 with a squeeze-and-excitation module at the end of each bottleneck, reduction 16.

    Source: "Squeeze-and-Excitation Networks" (arXiv:1709.01507). Deviations as in `resnet50`, and biases in both layers
    of the module, as in timm.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        dropout: probability of dropping a pooled feature before the last layer, in [0, 1).

    Raises:
        ValueError: if dropout is out of its range.
    """
    return _resnet50(num_classes, in_channels, dropout, attention="se")


@register_architecture
def resnet50_cbam(num_classes: int, in_channels: int, *, dropout: float = 0.0) -> nn.Module:
    """ResNet-50 with channel and then spatial attention at the end of each bottleneck, reduction 16, 7x7 kernel.

    Source: "CBAM: Convolutional Block Attention Module" (arXiv:1807.06521). Deviations as in `resnet50`, and timm's in
    the module: a BatchNorm behind the spatial convolution, which the paper's formula lacks.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        dropout: probability of dropping a pooled feature before the last layer, in [0, 1).

    Raises:
        ValueError: if dropout is out of its range.
    """
    return _resnet50(num_classes, in_channels, dropout, attention="cbam")


def _resnet50(num_classes: int, in_channels: int, dropout: float, attention: Literal["se", "cbam"] | None) -> nn.Module:
    # timm keeps the value and first looks at it in the forward pass.
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"resnet50: dropout is {dropout}; allowed: 0 up to, not including, 1")
    import timm  # seconds to import; every trial is a fresh process, and most need no ResNet

    model: nn.Module = timm.create_model(
        "resnet50",
        pretrained=False,
        num_classes=num_classes,
        in_chans=in_channels,
        drop_rate=dropout,
        block_args={"attn_layer": attention},
    )
    return model
