"""A trial's model on its device: made, given its first weights, frozen where asked, compiled and laid out in memory.

On embeddings the head alone is trained, and the backbone stays on the CPU: it is made so that the head begins as in the
whole model, and so that the whole model can be stored in the end.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from models import Classifier, Frozen, create_model, freeze
from storage.errors import StorageError
from training.config import TrialConfig
from training.embedding_spec import EmbeddingSpec
from training.embeddings import hash_of_backbone
from training.first_weights import fit_weights, told_of


class TrialModel:
    """Attributes:
    classifier: the whole model.
    model: what of it is trained and put into checkpoints: all of it, or on embeddings its head.
    compiled: the weights of `model`, to be called; compiled where the configuration says so.
    events: what a reader of the numbers should know of how it was made.

    Raises:
        InvalidInput: the weights are of another architecture.
        StorageError: the embeddings were made by another backbone.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        num_labels: int,
        seed: int,
        device: torch.device,
        weights: Mapping[str, torch.Tensor] | None,
        embedding: EmbeddingSpec | None = None,
    ) -> None:
        self.classifier: Classifier = create_model(
            config.architecture,
            num_classes=num_labels,
            in_channels=config.input.channels,
            seed=seed,
            options=config.model,
        )
        self.events: tuple[str, ...] = ()
        if weights is not None:
            self.events = (told_of(config, fit_weights(self.classifier, config, weights)),)
        self._frozen: Frozen = freeze(self.classifier, config.freeze)
        if embedding is not None:
            _hold_same_backbone(self.classifier, embedding)
        self.model: nn.Module = self.classifier if embedding is None else self.classifier.head
        self.model.to(device)
        self._channels_last = config.loop.channels_last and embedding is None
        if self._channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.compiled = cast(nn.Module, torch.compile(self.model)) if config.loop.compile else self.model

    def train(self) -> None:
        """Training mode for all but what is frozen: BatchNorm there keeps the statistics that it came with."""
        self.model.train()
        self._frozen.keep_still()

    def laid_out(self, x_BCMT: torch.Tensor) -> torch.Tensor:
        """A batch in the memory order that the convolutions want."""
        return x_BCMT.contiguous(memory_format=torch.channels_last) if self._channels_last else x_BCMT.contiguous()

    def whole(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state dict of the whole model, of the one of `model`."""
        if self.model is self.classifier:
            return dict(tensors)
        backbone = {f"backbone.{name}": tensor for name, tensor in self.classifier.backbone.state_dict().items()}
        return backbone | {f"head.{name}": tensor for name, tensor in tensors.items()}


def _hold_same_backbone(model: Classifier, embedding: EmbeddingSpec) -> None:
    found = hash_of_backbone(model.backbone)
    if found != embedding.backbone_hash:
        raise StorageError(
            f"the embeddings {embedding.embedding_id} were made by a backbone with the hash {embedding.backbone_hash}, "
            f"and this trial's has {found}. Run the same command again; it makes those of these weights."
        )
