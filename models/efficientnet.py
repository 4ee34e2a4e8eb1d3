"""EfficientNet-B0: log-mel images in, class logits out. timm builds it."""

from models.classifier import Classifier
from models.heads import HeadSpec
from models.options import check_choice
from models.registry import register_architecture
from models.timm_family import POOLINGS, timm_classifier


@register_architecture
def efficientnet_b0(
    num_classes: int,
    in_channels: int,
    *,
    pooling: str = "avg",
    attention: str = "none",
    head: str = "linear",
    head_hidden: int = 512,
    dropout: float | None = None,
) -> Classifier:
    """EfficientNet-B0: inverted bottlenecks with depthwise convolutions and squeeze-and-excitation of their own.

    Takes any size; below 33x33 the last feature map is 1x1, for which training needs a batch of two or more. Published
    weights: timm's first choice (`ra_in1k`); TensorFlow's are those of `timm/tf_efficientnet_b0`.

    Source: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv:1905.11946). Deviations:
    no stochastic depth, and no dropout before the head unless asked for (the paper has 0.2 of both), and timm's:
    symmetric padding, where TensorFlow's `same` puts the odd cell behind.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        pooling: of the last feature map: `avg`, `max`, or `avgmax`, the mean of both.
        attention: `none`, or `cbam` in place of squeeze-and-excitation.
        head, head_hidden, dropout: see `heads.HeadSpec`.

    Raises:
        ValueError: if an option is out of its range.
    """
    check_choice("efficientnet_b0: pooling", pooling, POOLINGS)
    spec = HeadSpec(kind=head, hidden=head_hidden, dropout=dropout)
    return timm_classifier("efficientnet_b0", num_classes, in_channels, pooling=pooling, attention=attention, head=spec)
