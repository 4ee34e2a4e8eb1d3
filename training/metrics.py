"""Classification metrics from probabilities, by scikit-learn; the only file of this room that imports it."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How a model did on one part, per clip (the windows of a clip are averaged).

    Attributes:
        clip_ids: the clips, sorted.
        targets, predicted: int64 (clips,).
        probabilities: float32 (clips, labels).
        loss: mean cross-entropy in nats, without smoothing.
        accuracy, macro_f1: in [0, 1]; macro_f1 is the mean over the labels that have clips in the part.
        auc: one-vs-rest, macro average; None where it is not defined (a label without a clip, or one label only).
        recall: float64 (labels,); NaN for a label without a clip.
        confusion: int64 (labels, labels), [true][predicted].
    """

    clip_ids: tuple[str, ...]
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    loss: float
    accuracy: float
    macro_f1: float
    auc: float | None
    recall: NDArray[np.float64]
    confusion: NDArray[np.int64]


def evaluate(
    *, clip_ids: tuple[str, ...], targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]
) -> Evaluation:
    """Scores a part.

    Args:
        clip_ids, targets: one per row.
        probabilities: (rows, labels), rows sum to 1.
    """
    ids, targets, mean_probabilities = _average_windows(clip_ids, targets, probabilities)
    num_labels = mean_probabilities.shape[1]
    predicted = mean_probabilities.argmax(axis=1)
    of_truth = mean_probabilities[np.arange(len(ids)), targets]
    confusion = confusion_matrix(targets, predicted, labels=np.arange(num_labels))
    clips_per_label = confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        recall = np.where(clips_per_label > 0, confusion.diagonal() / clips_per_label, np.nan)
    return Evaluation(
        clip_ids=ids,
        targets=targets,
        predicted=predicted.astype(np.int64),
        probabilities=mean_probabilities.astype(np.float32),
        loss=float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
        accuracy=float((predicted == targets).mean()),
        macro_f1=float(f1_score(targets, predicted, labels=np.unique(targets), average="macro", zero_division=0.0)),
        auc=_auc(targets, mean_probabilities),
        recall=recall.astype(np.float64),
        confusion=confusion.astype(np.int64),
    )


def _average_windows(
    clip_ids: tuple[str, ...], targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]:
    ids, first_row, clip_of_row = np.unique(np.array(clip_ids), return_index=True, return_inverse=True)
    sums = np.zeros((len(ids), probabilities.shape[1]))
    np.add.at(sums, clip_of_row, probabilities.astype(np.float64))
    return tuple(map(str, ids)), targets[first_row], sums / np.bincount(clip_of_row)[:, None]


def _auc(targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    num_labels = probabilities.shape[1]
    if num_labels < 2 or len(np.unique(targets)) < num_labels:
        return None
    if num_labels == 2:
        return float(roc_auc_score(targets, probabilities[:, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows that sum to 1 within float error only
        normalised = probabilities / probabilities.sum(axis=1, keepdims=True)
        return float(roc_auc_score(targets, normalised, multi_class="ovr", average="macro"))
