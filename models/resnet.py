"""ResNet-50 and its two attention variants: log-mel images in, class logits out. timm builds them."""

from models.classifier import Classifier
from models.heads import HeadSpec
from models.options import check_choice
from models.registry import register_architecture
from models.timm_family import POOLINGS, timm_classifier


@register_architecture
def resnet50(
    num_classes: int,
    in_channels: int,
    *,
    pooling: str = "avg",
    attention: str = "none",
    head: str = "linear",
    head_hidden: int = 512,
    dropout: float | None = None,
) -> Classifier:
    """ResNet-50. Published weights: timm's first choice (`a1_in1k`); torchvision's are `timm/resnet50.tv_in1k`.

    Takes any size; below 33x33 the last feature map is 1x1, for which training needs a batch of two or more.

    Source: "Deep Residual Learning for Image Recognition" (arXiv:1512.03385). Deviations, all timm's: the stride of a
    bottleneck sits in its 3x3 convolution, and the last BatchNorm of each branch starts at zero ("Bag of Tricks for
    Image Classification with Convolutional Neural Networks", arXiv:1812.01187), so that the weights inside a branch
    get their first nonzero gradient in the second step.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        pooling: of the last feature map: `avg`, `max`, or `avgmax`, the mean of both.
        attention: `none`, `se` or `cbam`, as in `resnet50_se` and `resnet50_cbam`.
        head, head_hidden, dropout: see `heads.HeadSpec`. `head=mlp` is S1's.

    Raises:
        ValueError: if an option is out of its range.
    """
    return _resnet50("resnet50", num_classes, in_channels, pooling, attention, _head(head, head_hidden, dropout))


@register_architecture
def resnet50_se(
    num_classes: int,
    in_channels: int,
    *,
    pooling: str = "avg",
    head: str = "linear",
    head_hidden: int = 512,
    dropout: float | None = None,
) -> Classifier:
    """ResNet-50 with a squeeze-and-excitation module at the end of each bottleneck, reduction 16.

    Published weights: timm's `seresnet50`.

    Source: "Squeeze-and-Excitation Networks" (arXiv:1709.01507). Deviations as in `resnet50`, and biases in both layers
    of the module, as in timm.

    Args: as of `resnet50`.

    Raises:
        ValueError: if an option is out of its range.
    """
    return _resnet50("resnet50_se", num_classes, in_channels, pooling, "se", _head(head, head_hidden, dropout))


@register_architecture
def resnet50_cbam(
    num_classes: int,
    in_channels: int,
    *,
    pooling: str = "avg",
    head: str = "linear",
    head_hidden: int = 512,
    dropout: float | None = None,
) -> Classifier:
    """ResNet-50 with channel and then spatial attention at the end of each bottleneck, reduction 16, 7x7 kernel.

    Nobody publishes weights.

    Source: "CBAM: Convolutional Block Attention Module" (arXiv:1807.06521). Deviations as in `resnet50`, and timm's in
    the module: a BatchNorm behind the spatial convolution, which the paper's formula lacks.

    Args: as of `resnet50`.

    Raises:
        ValueError: if an option is out of its range.
    """
    return _resnet50("resnet50_cbam", num_classes, in_channels, pooling, "cbam", _head(head, head_hidden, dropout))


def _head(kind: str, hidden: int, dropout: float | None) -> HeadSpec:
    return HeadSpec(kind=kind, hidden=hidden, dropout=dropout)


def _resnet50(
    architecture: str, num_classes: int, in_channels: int, pooling: str, attention: str, head: HeadSpec
) -> Classifier:
    check_choice(f"{architecture}: pooling", pooling, POOLINGS)
    return timm_classifier("resnet50", num_classes, in_channels, pooling=pooling, attention=attention, head=head)
