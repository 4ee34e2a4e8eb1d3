"""Losses, held against their formulas."""

import pytest
import torch
import torch.nn.functional as F

from training.losses import Loss
from training.recipe import LossConfig

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
ONE_LABEL = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
SEVERAL = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.25]])


def _loss(config: LossConfig, targets: torch.Tensor, train: torch.Tensor | None = None) -> float:
    return float(Loss(config, ONE_LABEL if train is None else train)(LOGITS, targets))


def test_cross_entropy_of_one_label_is_that_of_its_index() -> None:
    config = LossConfig(label_smoothing=0.1)
    expected = F.cross_entropy(LOGITS, torch.tensor([0, 2]), label_smoothing=0.1)
    assert _loss(config, ONE_LABEL) == pytest.approx(float(expected))


def test_cross_entropy_of_mixed_targets_is_the_mix_of_both() -> None:
    mixed = 0.3 * ONE_LABEL + 0.7 * ONE_LABEL.flip(0)
    expected = 0.3 * _loss(LossConfig(), ONE_LABEL) + 0.7 * _loss(LossConfig(), ONE_LABEL.flip(0))
    assert _loss(LossConfig(), mixed) == pytest.approx(expected)


def test_binary_cross_entropy_asks_about_every_label() -> None:
    p = LOGITS.sigmoid()
    expected = -(SEVERAL * p.log() + (1 - SEVERAL) * (1 - p).log()).mean()
    assert _loss(LossConfig(kind="bce"), SEVERAL) == pytest.approx(float(expected), rel=1e-5)


def test_focal_loss_is_the_papers_formula() -> None:
    p, truth = LOGITS.sigmoid(), (SEVERAL > 0.5).float()
    p_t = p * truth + (1 - p) * (1 - truth)
    expected = -((1 - p_t) ** 2 * p_t.log()).mean()
    assert _loss(LossConfig(kind="focal"), truth) == pytest.approx(float(expected), rel=1e-5)


def test_focal_loss_without_gamma_is_binary_cross_entropy() -> None:
    assert _loss(LossConfig(kind="focal", focal_gamma=0), SEVERAL) == pytest.approx(
        _loss(LossConfig(kind="bce"), SEVERAL)
    )


def test_a_label_that_no_row_has_leaves_the_weights_of_the_others_alone() -> None:
    train, config = torch.eye(3)[[0, 0, 0, 1]], LossConfig(class_weights="balanced")
    of_first = F.cross_entropy(LOGITS[:1], torch.tensor([0]))
    assert _loss(config, ONE_LABEL, train) == pytest.approx(
        float(0.5 * of_first + 1.0 * F.cross_entropy(LOGITS[1:], torch.tensor([2]))) / 2, rel=1e-5
    )


def test_a_label_that_is_three_times_as_rare_weighs_three_times_as_much() -> None:
    train = torch.eye(3)[[0, 0, 0, 1, 1, 1, 2]]
    config = LossConfig(class_weights="balanced")
    of_first = F.cross_entropy(LOGITS[:1], torch.tensor([0]))
    of_last = F.cross_entropy(LOGITS[1:], torch.tensor([2]))
    weights = torch.tensor([1.0, 3.0]) * 3 / 5  # the mean of (1, 1, 3) is 5/3
    expected = (weights[0] * of_first + weights[1] * of_last) / 2
    assert _loss(config, ONE_LABEL, train) == pytest.approx(float(expected), rel=1e-5)
