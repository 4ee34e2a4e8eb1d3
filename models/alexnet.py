"""AlexNet: log-mel images in, class logits out. The one file that knows torchvision."""

from collections.abc import Mapping

import torch
from torch import nn

from models.classifier import Classifier, check_min_side
from models.heads import HeadSpec
from models.hub import register_published
from models.options import OptionValue, check_at_least_one, check_dropout
from models.registry import register_architecture

# The first convolution (11x11, stride 4) and three 3x3 pools of stride 2 leave one cell of 63, and none of 62.
_MIN_SIDE = 63
_POOLED_SIDE = 6
_POOLED_FEATURES = 256 * _POOLED_SIDE * _POOLED_SIDE


class AlexNetBackbone(nn.Module):
    """torchvision's AlexNet up to its last hidden layer, with a free number of input channels and of hidden features.

    The state dict has torchvision's keys, so its weights load where the shapes agree.

    Args:
        in_channels: channels of the input.
        hidden_features: width of the two hidden layers.
        dropout: probability of dropping a unit before each of them.
    """

    def __init__(self, in_channels: int, hidden_features: int, dropout: float) -> None:
        super().__init__()
        import torchvision  # seconds to import; every trial is a fresh process, and most need no AlexNet

        # Made on the device `meta`, which spends neither time nor memory on layers that are replaced here.
        with torch.device("meta"):
            published = torchvision.models.alexnet(weights=None)
        self.features = published.features
        self.features[0] = nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2)
        self.avgpool = _AveragePool()
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(_POOLED_FEATURES, hidden_features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, hidden_features),
            nn.ReLU(inplace=True),
        )
        for module in self.features[1:]:
            if isinstance(module, nn.Conv2d):
                module.to_empty(device="cpu").reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float `(B, in_channels, mels, frames)` to embeddings `(B, hidden_features)`.

        Raises:
            ValueError: if mels or frames are below 63.
        """
        check_min_side("alexnet", x, _MIN_SIDE)
        embedding: torch.Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return embedding


class _AveragePool(nn.Module):
    """torch's AdaptiveAvgPool2d(6), whose backward pass has no deterministic form on CUDA, as means of slices."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _cell_means(_cell_means(x, dim=2), dim=3)


def _cell_means(x: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Six means over about equal parts of a dimension; where it is no multiple of six, the parts overlap."""
    size = x.shape[dim]
    if size == _POOLED_SIDE:
        return x
    bounds = [(size * cell // _POOLED_SIDE, -(-size * (cell + 1) // _POOLED_SIDE)) for cell in range(_POOLED_SIDE)]
    return torch.stack([x.narrow(dim, start, end - start).mean(dim) for start, end in bounds], dim)


@register_architecture
def alexnet(
    num_classes: int,
    in_channels: int,
    *,
    hidden_features: int = 4096,
    dropout: float = 0.5,
    head: str = "linear",
    head_hidden: int = 512,
) -> Classifier:
    """AlexNet as torchvision ships it: five convolutions, pooling to 6x6, three fully connected layers.

    Needs at least 63 mels and 63 frames. The feature map at 64x108 is 1x2, so there the pooling to 6x6 repeats cells
    and the first hidden layer sees each feature many times; images near 224x224 are what the layout is meant for. Its
    embedding is the second hidden layer.

    Source: "One weird trick for parallelizing convolutional neural networks" (arXiv:1404.5997), the single-tower form
    of Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (NIPS 2012).
    Deviations: one input channel if asked for, a free `hidden_features`, and torchvision's own: adaptive pooling (here
    computed so that `loop.deterministic` can train it on a GPU) and PyTorch's default initialisation.

    Args:
        num_classes: number of logits.
        in_channels: 1 or 3.
        hidden_features: width of the two hidden layers, at least 1. At 4096 they hold 54.5 of 61 million parameters.
        dropout: before each hidden layer, in [0, 1].
        head, head_hidden: see `heads.HeadSpec`; a linear one, without dropout, is the published third layer.

    Raises:
        ValueError: if an option is out of its range.
    """
    check_at_least_one("alexnet: hidden_features", hidden_features)
    check_dropout("alexnet: dropout", dropout)
    spec = HeadSpec(kind=head, hidden=head_hidden)
    backbone = AlexNetBackbone(in_channels, hidden_features, dropout)
    return Classifier(
        backbone,
        spec.build(hidden_features, num_classes),
        embedding_size=hidden_features,
        published_head=("classifier.6",),
    )


def _published_name(architecture: str, options: Mapping[str, OptionValue]) -> str:
    import torchvision

    return f"torchvision/alexnet.{torchvision.models.AlexNet_Weights.DEFAULT.name}"


@register_published("alexnet", name=_published_name)
def published_alexnet(architecture: str, options: Mapping[str, OptionValue]) -> Mapping[str, torch.Tensor]:
    """torchvision's AlexNet weights, trained on ImageNet; downloaded once and kept in torch.hub's cache."""
    import torchvision

    weights: Mapping[str, torch.Tensor] = torchvision.models.AlexNet_Weights.DEFAULT.get_state_dict(
        progress=False,
        check_hash=True,
        weights_only=True,  # torch.hub unpickles anything where nobody says so
    )
    return weights
