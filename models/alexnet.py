"""AlexNet: log-mel images in, class logits out. The one file that knows torchvision."""

import torch
from torch import nn

from models.registry import check_min_side, register_architecture

# The first convolution (11x11, stride 4) and three 3x3 pools of stride 2 leave one cell of 63, and none of 62.
_MIN_SIDE = 63
_POOLED_FEATURES = 256 * 6 * 6
_PUBLISHED_HIDDEN_FEATURES = 4096


class AlexNet(nn.Module):
    """torchvision's AlexNet with a free number of input channels and of hidden features.

    The state dict has torchvision's keys, so its weights load where the shapes agree.

    Args:
        num_classes: number of logits.
        in_channels: channels of the input.
        hidden_features: width of the classifier's two hidden layers.
        dropout: probability of dropping a unit before each of them.
    """

    def __init__(self, num_classes: int, in_channels: int, hidden_features: int, dropout: float) -> None:
        super().__init__()
        import torchvision  # seconds to import; every trial is a fresh process, and most need no AlexNet

        published = torchvision.models.alexnet(weights=None, num_classes=num_classes, dropout=dropout)
        self.features = published.features
        self.avgpool = published.avgpool
        self.classifier = published.classifier
        if in_channels != 3:
            self.features[0] = nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2)
        if hidden_features != _PUBLISHED_HIDDEN_FEATURES:
            self.classifier[1] = nn.Linear(_POOLED_FEATURES, hidden_features)
            self.classifier[4] = nn.Linear(hidden_features, hidden_features)
            self.classifier[6] = nn.Linear(hidden_features, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float `(B, in_channels, mels, frames)` to logits `(B, num_classes)`.

        Raises:
            ValueError: if mels or frames are below 63.
        """
        check_min_side("alexnet", x, _MIN_SIDE)
        logits: torch.Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits


@register_architecture
def alexnet(num_classes: int, in_channels: int, *, hidden_features: int = 4096, dropout: float = 0.5) -> nn.Module:
    """AlexNet as torchvision ships it: five convolutions, pooling to 6x6, three fully connected layers.

    Needs at least 63 mels and 63 frames. The feature map at 64x108 is 1x2, so there the pooling to 6x6 repeats cells
    and the first hidden layer sees each feature many times; images near 224x224 are what the layout is meant for.

    Source: "One weird trick for parallelizing convolutional neural networks" (arXiv:1404.5997), the single-tower form
    of Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (NIPS 2012).
    Deviations: one input channel if asked for, a free `hidden_features`, and torchvision's own: adaptive pooling and
    PyTorch's default initialisation.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        hidden_features: width of the two hidden layers, at least 1. At 4096 they hold 54.5 of 61 million parameters.
        dropout: in [0, 1].

    Raises:
        ValueError: if an option is out of its range.
    """
    if hidden_features < 1:
        raise ValueError(f"alexnet: hidden_features is {hidden_features}; allowed: 1 or more")
    return AlexNet(num_classes, in_channels, hidden_features, dropout)
