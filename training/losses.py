"""What is minimised: from logits and targets to one number per clip. B = batch, L = labels."""

import torch
import torch.nn.functional as F

from training.recipe import Activation, LossConfig

_LEAST_DOUBT = 1e-6  # below it the slope of doubt ** gamma with a gamma below 1 is infinite; no loss notices


class Loss:
    """Mean loss of a batch.

    `balanced` class weights are scaled so that the mean weight of what the loss is a mean over is 1, and the loss is as
    large as without. Of one label a clip (softmax) that are the train part's clips, as scikit-learn's `balanced` has
    it. Of many yes-or-no questions (sigmoid) that are the labels: a weight belongs to a label's question, to its yes
    and its no alike, so it does not make a rare label's yes count more than its no.

    Args:
        targets_RL: float32 (rows, L) of the train part, for class weights.
        activation: what will make probabilities of the logits; it tells the two focal losses apart.
    """

    def __init__(self, config: LossConfig, targets_RL: torch.Tensor, *, activation: Activation) -> None:
        self._config, self._activation = config, activation
        self._weights_L: torch.Tensor | None = None
        if config.class_weights == "balanced":
            self._weights_L = _balanced_weights(targets_RL, activation)

    def __call__(self, logits_BL: torch.Tensor, targets_BL: torch.Tensor) -> torch.Tensor:
        """A scalar in nats. Targets in [0, 1], mixed ones too; with a softmax they sum to 1."""
        config = self._config
        if config.kind == "cross_entropy":
            return F.cross_entropy(
                logits_BL, targets_BL, weight=self._weights_L, label_smoothing=config.label_smoothing
            )
        if self._activation == "softmax":
            return self._weighed(self._focal_of_one_label(logits_BL, targets_BL)).sum(dim=1).mean()
        # Of many yes-or-no questions; smoothing moves each answer towards one half.
        smooth_BL = targets_BL * (1 - config.label_smoothing) + config.label_smoothing / 2
        losses_BL = F.binary_cross_entropy_with_logits(logits_BL, smooth_BL, reduction="none")
        if config.kind == "focal":
            doubt_BL = (logits_BL.sigmoid() - targets_BL).abs().clamp_min(_LEAST_DOUBT)
            losses_BL = losses_BL * doubt_BL**config.focal_gamma
        return self._weighed(losses_BL).mean()

    def _focal_of_one_label(self, logits_BL: torch.Tensor, targets_BL: torch.Tensor) -> torch.Tensor:
        """-(1 - p)^γ log p of the softmax (arXiv:1708.02002), by each label's share of the target.

        For γ = 0 it is cross-entropy; smoothing moves targets towards 1 / L, as there.
        """
        smoothing = self._config.label_smoothing
        smooth_BL = targets_BL * (1 - smoothing) + smoothing / targets_BL.shape[1]
        log_p_BL = logits_BL.log_softmax(dim=1)
        doubt_BL = (-log_p_BL.expm1()).clamp_min(_LEAST_DOUBT)  # 1 - p
        return -smooth_BL * doubt_BL**self._config.focal_gamma * log_p_BL

    def _weighed(self, losses_BL: torch.Tensor) -> torch.Tensor:
        return losses_BL if self._weights_L is None else losses_BL * self._weights_L


def _balanced_weights(targets_RL: torch.Tensor, activation: Activation) -> torch.Tensor:
    """Inverse of each label's share of all labels; a label that no row has weighs 1."""
    counts_L = targets_RL.sum(dim=0)
    has_rows_L = counts_L > 0
    weights_L = 1.0 / counts_L.clamp_min(1e-12)
    if activation == "sigmoid":
        weights_L = weights_L / weights_L[has_rows_L].mean()
    else:
        weights_L = weights_L * counts_L.sum() / has_rows_L.sum()
    return torch.where(has_rows_L, weights_L, 1.0)
