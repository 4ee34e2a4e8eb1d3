"""The shape of all models: a backbone that turns log-mel images into embeddings, and a head that classifies them."""

import torch
from torch import nn


class Classifier(nn.Module):
    """A backbone and a head. State dict keys begin with `backbone.` or `head.`.

    Args:
        backbone: maps float `(B, C, mels, frames)` to embeddings `(B, embedding_size)`.
        head: maps embeddings to logits `(B, num_classes)`. Alone, it can be trained on stored embeddings.
        embedding_size: values of an embedding.
        published_head: names that the last layer has in weights files of this architecture (`fc`); empty where nobody
            publishes any.
        input_size: the only (mels, frames) that the backbone takes; None for any that its strides allow.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        embedding_size: int,
        published_head: tuple[str, ...] = (),
        input_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.embedding_size = embedding_size
        self.published_head = published_head
        self.input_size = input_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float `(B, C, mels, frames)` to logits `(B, num_classes)`.

        Raises:
            ValueError: if the architecture cannot take this number of mels and frames.
        """
        logits: torch.Tensor = self.head(self.embed(x))
        return logits

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Map float `(B, C, mels, frames)` to embeddings `(B, embedding_size)`, what the head sees.

        Raises:
            ValueError: if the architecture cannot take this number of mels and frames.
        """
        if self.input_size is not None and tuple(x.shape[-2:]) != self.input_size:
            (mels, frames), (height, width) = x.shape[-2:], self.input_size
            raise ValueError(
                f"the input has {mels} mels x {frames} frames; allowed: {height} x {width} alone, as the architecture "
                f"has one place for each; resize the features to height {height} and width {width}"
            )
        embedding: torch.Tensor = self.backbone(x)
        return embedding


def check_min_side(architecture: str, x: torch.Tensor, min_side: int) -> None:
    """Refuses an input `(B, channels, mels, frames)` that an architecture's strides and pools would shrink to nothing.

    Raises:
        ValueError: if mels or frames are below `min_side`.
    """
    mels, frames = x.shape[-2:]
    if min(mels, frames) < min_side:
        raise ValueError(
            f"{architecture}: the input has {mels} mels x {frames} frames; allowed: {min_side} x {min_side} or more; "
            "use more mels, a smaller hop or a longer window, or resize the features"
        )
