"""A small VGG-like network: log-mel batch in, class logits out. The quick baseline of a sweep on CPUs."""

import torch
from torch import nn

from models.registry import check_min_side, register_architecture

# The first convolution halves a side, rounding up, and three pools halve it, rounding down: 15 -> 8 -> 4 -> 2 -> 1.
_MIN_SIDE = 15


class Cnn(nn.Module):
    """Three pairs of 3x3 convolutions, each followed by a 2x2 max-pool, then the mean over all cells and a linear head.

    Args:
        num_classes: number of logits.
        in_channels: channels of the input.
        width: channels of the first pair; the second has twice, the third four times as many.
        dropout: probability of dropping a pooled feature before the head.
    """

    def __init__(self, num_classes: int, in_channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution_pair(in_channels, width, stride=2),
            *_convolution_pair(width, 2 * width),
            *_convolution_pair(2 * width, 4 * width),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, num_classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float `(B, in_channels, mels, frames)` to logits `(B, num_classes)`.

        Raises:
            ValueError: if mels or frames are below 15.
        """
        check_min_side("cnn", x, _MIN_SIDE)
        logits: torch.Tensor = self.head(self.dropout(self.features(x).mean(dim=(2, 3))))
        return logits


@register_architecture
def cnn(num_classes: int, in_channels: int, *, width: int = 32, dropout: float = 0.3) -> nn.Module:
    """Six 3x3 convolutions of `w, w, 2w, 2w, 4w, 4w` channels with BatchNorm and ReLU. Needs 15 mels and 15 frames.

    Source: the recipe of "Very Deep Convolutional Networks for Large-Scale Image Recognition" (arXiv:1409.1556), with
    batch normalisation (arXiv:1502.03167), cut to three stages, with the mean over all cells in place of its fully
    connected layers. Initialised as in "Delving Deep into Rectifiers" (arXiv:1502.01852), fan-out.
    Deviation: the first convolution has stride 2 in both directions. Measured on ESC-10 at 64x108 (2026-11-21, 25
    epochs, two seeds on each of two fold rotations): 0.89 validation, 0.86 test accuracy; with stride 2 in time alone
    0.88 and 0.80 in twice the time. Without any stride a training step takes about five times as long.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        width: channels of the first pair, at least 1.
        dropout: in [0, 1].

    Raises:
        ValueError: if an option is out of its range.
    """
    if width < 1:
        raise ValueError(f"cnn: width is {width}; allowed: 1 or more")
    return Cnn(num_classes, in_channels, width, dropout)


def _convolution_pair(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        # BatchNorm subtracts the mean, which would leave a bias without effect or gradient.
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=2),
    ]
