"""Classification heads: an embedding `(B, embedding_size)` goes in, class logits `(B, num_classes)` come out."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from models.options import check_at_least_one, check_choice, check_dropout

HEADS = ("linear", "mlp")

# Options that leave a backbone in evaluation mode as it is: those of the head, and dropout wherever it stands.
HEAD_OPTIONS = ("head", "head_hidden", "dropout")

# SYSTEMS.md, S1: Dropout(0.5) → Linear(2048, 512) → ReLU → Dropout(0.3) → Linear(512, 50).
_MLP_DROPOUT = 0.5
_MLP_HIDDEN_DROPOUT = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSpec:
    """Which head an architecture ends in.

    Attributes:
        kind: `linear`, one layer; or `mlp`, S1's two layers with ReLU and a dropout of 0.3 between them.
        hidden: width of the hidden layer of `mlp`.
        dropout: probability of dropping an embedding's value before the first layer; None for the head's own: 0 of
            `linear`, 0.5 of `mlp`.

    Raises:
        ValueError: if a value is out of its range.
    """

    kind: str = "linear"
    hidden: int = 512
    dropout: float | None = None

    def __post_init__(self) -> None:
        check_choice("head", self.kind, HEADS)
        check_at_least_one("head_hidden", self.hidden)
        if self.dropout is not None:
            check_dropout("dropout", self.dropout)

    def build(self, embedding_size: int, num_classes: int) -> nn.Sequential:
        """Make the head. Its last layer is named `linear`, so that weights of one find it by name."""
        if self.kind == "linear":
            dropout = 0.0 if self.dropout is None else self.dropout
            return nn.Sequential(
                OrderedDict(dropout=nn.Dropout(dropout), linear=nn.Linear(embedding_size, num_classes))
            )
        return nn.Sequential(
            OrderedDict(
                dropout=nn.Dropout(_MLP_DROPOUT if self.dropout is None else self.dropout),
                hidden=nn.Linear(embedding_size, self.hidden),
                relu=nn.ReLU(inplace=True),
                hidden_dropout=nn.Dropout(_MLP_HIDDEN_DROPOUT),
                linear=nn.Linear(self.hidden, num_classes),
            )
        )
