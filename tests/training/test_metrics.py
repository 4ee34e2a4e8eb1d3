"""Metrics of small parts that can be worked out by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.metrics import SCORES, Evaluation, evaluate

PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
FIRST = np.array([0, 1, 1, 2])


def _evaluate(
    probabilities: NDArray[Any] = PROBABILITIES,
    first: NDArray[Any] = FIRST,
    also: dict[int, int] | None = None,
    *,
    is_multi_label: bool = False,
) -> Evaluation:
    targets = np.eye(probabilities.shape[1], dtype=bool)[first]
    for row, label in (also or {}).items():
        targets[row, label] = True
    return evaluate(
        clip_ids=tuple(f"clip{row}" for row in range(len(first))),
        groups=tuple(f"speaker{row // 2}" for row in range(len(first))),
        targets=targets,
        first_label=first,
        probabilities=probabilities,
        is_multi_label=is_multi_label,
    )


def test_every_score_has_a_description() -> None:
    assert _evaluate().scores.keys() == SCORES.keys()


def test_three_of_four_clips_right() -> None:
    found = _evaluate()
    assert found.accuracy == found.score == 0.75
    assert found.scores["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found.scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.recall.tolist() == [1, 0.5, 1]
    assert found.precision.tolist() == [0.5, 1, 1]
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found.loss == pytest.approx(-np.log([0.8, 0.6, 0.3, 0.6]).mean())
    assert found.scores["kl"] == pytest.approx(found.loss)  # the labels' own entropy is 0


def test_areas_and_precisions_are_means_over_labels() -> None:
    found = _evaluate()
    # Label 0 ranks its clip first, label 1 both of its clips first, label 2 its clip first.
    assert found.scores["macro_auc"] == found.scores["map"] == 1.0
    worse = _evaluate(PROBABILITIES[[1, 0, 2, 3]])  # of label 0, its clip is third of four
    assert worse.scores["macro_auc"] == pytest.approx((1 / 3 + (0 + 1 / 2) / 2 + 1) / 3)


def test_calibration_error_is_the_gap_between_confidence_and_hits_by_bin() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10)
    found = _evaluate(probabilities, np.array([0] * 7 + [1] * 3))
    assert found.scores["ece"] == pytest.approx(0.2)


def test_a_label_without_clips_counts_in_no_mean_but_the_padded_one() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    found = _evaluate(probabilities, np.array([0, 1]))
    assert found.scores["macro_auc"] == found.scores["map"] == found.scores["balanced_accuracy"] == 1.0
    assert np.isnan(found.recall[2])
    # Five rows of ones come before everything, so precision at all true rows is 1; of label 2 they are all there are.
    assert found.scores["cmap"] == pytest.approx(1.0)


def test_padding_softens_the_precision_of_a_rare_label() -> None:
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4]])
    found = _evaluate(probabilities, np.array([0, 1]))
    # Label 0: its clip comes after the other one: 5 paddings at precision 1, the clip at 6 of 7.
    assert found.scores["map"] == pytest.approx(0.5)
    assert found.scores["cmap"] == pytest.approx((5 + 6 / 7) / 6)


def test_where_no_label_separates_anything_there_is_no_area() -> None:
    found = _evaluate(np.array([[1.0], [1.0]]), np.array([0, 0]))
    assert found.scores["macro_auc"] is None


class TestSeveralLabels:
    def test_each_is_a_question_of_its_own(self) -> None:
        probabilities = np.array([[0.9, 0.7, 0.2], [0.4, 0.6, 0.1], [0.3, 0.2, 0.8]])
        found = _evaluate(probabilities, np.array([0, 1, 2]), {0: 1}, is_multi_label=True)
        assert found.score == found.scores["macro_auc"] == 1.0
        assert found.scores["macro_f1"] == 1.0  # at one half
        truth = np.array([[0.9, 0.7, 0.8], [0.6, 0.6, 0.9], [0.7, 0.8, 0.8]])
        assert found.loss == pytest.approx(-np.log(truth).mean())

    def test_divergence_compares_shares(self) -> None:
        found = _evaluate(np.array([[0.6, 0.6, 0.0]]), np.array([0]), {0: 1}, is_multi_label=True)
        assert found.scores["kl"] == pytest.approx(0.0)
