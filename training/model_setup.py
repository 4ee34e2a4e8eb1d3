"""A trial's model on its device: made, given its first weights, frozen where asked, compiled and laid out in memory."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from models import Frozen, create_model, freeze, load_weights
from training.config import TrialConfig


class TrialModel:
    """Attributes:
    model: whose weights are trained and stored.
    compiled: the same weights, to be called; compiled where the configuration says so.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        num_labels: int,
        seed: int,
        device: torch.device,
        weights: Mapping[str, torch.Tensor] | None,
    ) -> None:
        self._channels_last = config.loop.channels_last
        model = create_model(
            config.architecture,
            num_classes=num_labels,
            in_channels=config.input.channels,
            seed=seed,
            options=config.model,
        )
        if weights is not None:
            load_weights(model, weights)
        self._frozen: Frozen = freeze(model, config.freeze)
        model.to(device)
        if self._channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model
        self.compiled = cast(nn.Module, torch.compile(model)) if config.loop.compile else model

    def train(self) -> None:
        """Training mode for all but what is frozen: BatchNorm there keeps the statistics that it came with."""
        self.model.train()
        self._frozen.keep_still()

    def laid_out(self, x_BCMT: torch.Tensor) -> torch.Tensor:
        """A batch in the memory order that the convolutions want."""
        return x_BCMT.contiguous(memory_format=torch.channels_last) if self._channels_last else x_BCMT.contiguous()
