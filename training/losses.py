"""What is minimised: from logits and targets to one number per clip. B = batch, L = labels."""

import torch
import torch.nn.functional as F

from training.recipe import LossConfig


class Loss:
    """Mean loss of a batch.

    Args:
        targets_RL: float32 (rows, L) of the train part, for class weights.
    """

    def __init__(self, config: LossConfig, targets_RL: torch.Tensor) -> None:
        self._config = config
        self._weights_L = _balanced_weights(targets_RL) if config.class_weights == "balanced" else None

    def __call__(self, logits_BL: torch.Tensor, targets_BL: torch.Tensor) -> torch.Tensor:
        """A scalar in nats. Targets in [0, 1], mixed ones too; those of `cross_entropy` sum to 1."""
        config = self._config
        if config.kind == "cross_entropy":
            return F.cross_entropy(
                logits_BL, targets_BL, weight=self._weights_L, label_smoothing=config.label_smoothing
            )
        # Of many yes-or-no questions; smoothing moves each answer towards one half.
        smooth_BL = targets_BL * (1 - config.label_smoothing) + config.label_smoothing / 2
        losses_BL = F.binary_cross_entropy_with_logits(logits_BL, smooth_BL, reduction="none")
        if config.kind == "focal":
            losses_BL = losses_BL * _doubt(logits_BL, targets_BL) ** config.focal_gamma
        if self._weights_L is not None:
            losses_BL = losses_BL * self._weights_L
        return losses_BL.mean()


def _doubt(logits_BL: torch.Tensor, targets_BL: torch.Tensor) -> torch.Tensor:
    """1 - p_t of the focal loss (arXiv:1708.02002): how far the answer is from the truth, for soft targets too."""
    return (logits_BL.sigmoid() - targets_BL).abs()


def _balanced_weights(targets_RL: torch.Tensor) -> torch.Tensor:
    """Inverse of each label's share of all labels, with a mean of 1; a label that no row has weighs 1."""
    counts_L = targets_RL.sum(dim=0)
    weights_L = 1.0 / counts_L.clamp_min(1e-12)
    return torch.where(counts_L > 0, weights_L / weights_L[counts_L > 0].mean(), 1.0)
