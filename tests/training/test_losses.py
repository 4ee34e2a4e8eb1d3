"""Losses, held against their formulas."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from training.losses import Loss
from training.recipe import LossConfig

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
ONE_LABEL = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
SEVERAL = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.25]])


def _loss(
    config: LossConfig, targets: torch.Tensor, train: torch.Tensor | None = None, *, is_multi_label: bool = False
) -> float:
    activation = config.activation(is_multi_label=is_multi_label)
    return float(Loss(config, ONE_LABEL if train is None else train, activation=activation)(LOGITS, targets))


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
    assert _loss(LossConfig(kind="focal"), truth, is_multi_label=True) == pytest.approx(float(expected), rel=1e-5)


def test_focal_loss_without_gamma_is_binary_cross_entropy() -> None:
    assert _loss(LossConfig(kind="focal", focal_gamma=0), SEVERAL, is_multi_label=True) == pytest.approx(
        _loss(LossConfig(kind="bce"), SEVERAL)
    )


def test_focal_loss_of_one_label_is_the_papers_formula_of_the_softmax() -> None:
    p_t = LOGITS.softmax(dim=1)[[0, 1], [0, 2]]
    expected = -((1 - p_t) ** 1.5 * p_t.log()).mean()
    config = LossConfig(kind="focal", focal_gamma=1.5)
    assert _loss(config, ONE_LABEL) == pytest.approx(float(expected), rel=1e-5)
    mixed = 0.3 * ONE_LABEL + 0.7 * ONE_LABEL.flip(0)
    assert _loss(config, mixed) == pytest.approx(
        0.3 * _loss(config, ONE_LABEL) + 0.7 * _loss(config, ONE_LABEL.flip(0)), rel=1e-5
    )


def test_focal_loss_of_one_label_without_gamma_is_cross_entropy_with_all_its_options() -> None:
    train, options = torch.eye(3)[[0, 0, 0, 1, 1, 1, 2]], {"label_smoothing": 0.1, "class_weights": "balanced"}
    focal = LossConfig(kind="focal", focal_gamma=0, **options)  # type: ignore[arg-type]
    plain = LossConfig(**options)  # type: ignore[arg-type]
    assert _loss(focal, ONE_LABEL, train) == pytest.approx(_loss(plain, ONE_LABEL, train), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("is_multi_label", [False, True])
@pytest.mark.parametrize("logit", [30.0, -30.0])
def test_focal_loss_has_a_gradient_where_the_answer_is_certain(
    logit: float, *, is_multi_label: bool, gamma: float
) -> None:
    logits = torch.tensor([[logit, -logit, 0.0]], requires_grad=True)
    config = LossConfig(kind="focal", focal_gamma=gamma)
    loss = Loss(config, ONE_LABEL, activation=config.activation(is_multi_label=is_multi_label))
    loss(logits, ONE_LABEL[:1]).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if logit < 0:  # wrong and sure of it: the slope of the plain loss
        slope = -1 / 3 if is_multi_label else -1.0
        assert float(logits.grad[0, 0]) == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("kind", ["bce", "focal"])
def test_one_label_a_clip_does_not_become_several_by_the_loss(kind: Any) -> None:
    config = LossConfig(kind=kind)
    assert config.activation(is_multi_label=False) == ("softmax" if kind == "focal" else "sigmoid")
    assert config.activation(is_multi_label=True) == "sigmoid"


def test_a_label_that_is_three_times_as_rare_weighs_three_times_as_much() -> None:
    train = torch.eye(3)[[0, 0, 0, 1, 1, 1, 2]]
    config = LossConfig(class_weights="balanced")
    of_first = F.cross_entropy(LOGITS[:1], torch.tensor([0]))
    of_last = F.cross_entropy(LOGITS[1:], torch.tensor([2]))
    weights = torch.tensor([1.0, 3.0]) * 7 / 9  # of 7 clips three labels with 3, 3 and 1: scikit-learn's balanced
    expected = (weights[0] * of_first + weights[1] * of_last) / 2
    assert _loss(config, ONE_LABEL, train) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "bce"])
def test_a_label_that_no_row_has_weighs_one_and_leaves_the_others_alone(kind: Any) -> None:
    config = LossConfig(kind=kind, class_weights="balanced")
    train = torch.eye(3)[[0, 0, 0, 1]]
    activation = config.activation(is_multi_label=False)
    loss, without = (Loss(config, rows, activation=activation) for rows in (train, train[:, :2]))
    assert float(loss._weights_L[2]) == 1.0  # type: ignore[index]
    assert torch.equal(loss._weights_L[:2], without._weights_L)  # type: ignore[arg-type, index]


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "bce"])
def test_class_weights_leave_the_size_of_the_loss_alone(kind: Any) -> None:
    # Equal answers to all clips: what is weighed differs by its weights alone.
    train = torch.eye(3)[[0] * 90 + [1] * 9 + [2]]
    found = []
    for weights in ("none", "balanced"):
        config = LossConfig(kind=kind, class_weights=weights)  # type: ignore[arg-type]
        loss = Loss(config, train, activation=config.activation(is_multi_label=False))
        found.append(float(loss(torch.zeros(100, 3), train)))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
