"""Metrics of a part from its clips' probabilities, by scikit-learn; the only file of this room that imports it.

Shapes: N = clips, L = labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score

from training.recipe import Activation

_ECE_BINS = 15  # as in "On Calibration of Modern Neural Networks" (arXiv:1706.04599)
_CMAP_PADDING = 5  # rows of ones a label, as BirdCLEF 2023's rules define cmAP
_LEAST = 1e-12  # probabilities below it count as this one in logarithms


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How a model did on one part, clip by clip.

    Attributes:
        clip_ids, groups: one per clip.
        has_label: bool (N, L).
        first_label, predicted: int64 (N,); the label that the corpus names first, and the most probable one.
        probabilities: float32 (N, L); rows sum to 1 if a softmax made them.
        is_multi_label: whether clips may have several labels.
        loss: mean cross-entropy in nats, without smoothing or weights; of a sigmoid's answers the mean binary one.
        scores: name → number, None where it is not defined on this part; see `SCORES`.
        recall, precision: float64 (L,); NaN for a label without a clip, or one that was never predicted.
        confusion: int64 (L, L), [first label][predicted].
    """

    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    has_label: NDArray[np.bool_]
    first_label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    is_multi_label: bool
    loss: float
    scores: Mapping[str, float | None]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        return float(self.scores["accuracy"] or 0.0)

    @property
    def score(self) -> float:
        """What epochs are chosen by: accuracy, or the macro ROC-AUC of several labels (0.5 where it is undefined)."""
        auc = self.scores["macro_auc"]
        return (0.5 if auc is None else auc) if self.is_multi_label else self.accuracy


def evaluate(
    *,
    clip_ids: tuple[str, ...],
    groups: tuple[str, ...],
    targets: NDArray[np.bool_],
    first_label: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    is_multi_label: bool,
    activation: Activation = "softmax",
) -> Evaluation:
    """Scores the clips of a part.

    Args:
        clip_ids, groups, first_label: one per clip.
        targets: bool (N, L), at least one True a clip.
        probabilities: (N, L), the windows of a clip averaged.
        activation: what made them of logits; of several labels it is a sigmoid in any case.
    """
    num_labels = targets.shape[1]
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    confusion = confusion_matrix(first_label, predicted, labels=np.arange(num_labels)).astype(np.int64)
    decided = probabilities >= 0.5 if is_multi_label else np.eye(num_labels, dtype=bool)[predicted]
    recall, precision = _shares(targets & decided, targets), _shares(targets & decided, decided)
    scores = {
        "accuracy": float(targets[np.arange(len(targets)), predicted].mean()),
        "balanced_accuracy": float(np.nanmean(recall)),
        "macro_f1": _macro_f1(targets, decided),
        "macro_auc": _macro_auc(targets, probabilities),
        "map": _mean_average_precision(targets, probabilities),
        "cmap": _padded_average_precision(targets, probabilities),
        "kl": _kl(targets, probabilities),
        "ece": _calibration_error(targets, probabilities, predicted),
    }
    return Evaluation(
        clip_ids=clip_ids,
        groups=groups,
        has_label=targets,
        first_label=first_label,
        predicted=predicted,
        probabilities=probabilities.astype(np.float32),
        is_multi_label=is_multi_label,
        loss=_loss(targets, first_label, probabilities, one_by_one=is_multi_label or activation == "sigmoid"),
        scores=scores,
        recall=recall,
        precision=precision,
        confusion=confusion,
    )


# Name → what it is; all but `kl` and `ece` are in [0, 1] and better when higher, those two better when lower.
SCORES: Mapping[str, str] = {
    "accuracy": "share of clips whose most probable label is one of theirs",
    "balanced_accuracy": "mean recall over the labels that have clips",
    "macro_f1": "mean F1 over the labels that have clips",
    "macro_auc": "mean one-vs-rest area under the ROC curve over the labels that some clips have and some have not",
    "map": "mean average precision over the labels that have clips",
    "cmap": "the same over all labels, five rows of ones added to each, as BirdCLEF 2023 defines it",
    "kl": "mean Kullback-Leibler divergence from the labels' distribution to the predicted one, in nats",
    "ece": "expected calibration error of the most probable label, 15 bins",
}


def _shares(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(part.sum(axis=0) / whole.sum(axis=0), dtype=np.float64)


def _loss(
    targets: NDArray[np.bool_],
    first_label: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    *,
    one_by_one: bool,
) -> float:
    if not one_by_one:
        return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), first_label], _LEAST)).mean())
    of_truth = np.where(targets, probabilities, 1.0 - probabilities)
    return float(-np.log(np.maximum(of_truth, _LEAST)).mean())


def _macro_f1(targets: NDArray[np.bool_], decided: NDArray[np.bool_]) -> float:
    present = np.flatnonzero(targets.any(axis=0))
    return float(f1_score(targets, decided, labels=present, average="macro", zero_division=0.0))


def _macro_auc(targets: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float | None:
    """None where no label has both clips with it and clips without."""
    usable = targets.any(axis=0) & ~targets.all(axis=0)
    if not usable.any():
        return None
    return float(roc_auc_score(targets[:, usable], probabilities[:, usable], average="macro"))


def _mean_average_precision(targets: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    present = targets.any(axis=0)
    return float(average_precision_score(targets[:, present], probabilities[:, present], average="macro"))


def _padded_average_precision(targets: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    ones = np.ones((_CMAP_PADDING, targets.shape[1]))
    padded = np.concatenate([targets, ones.astype(bool)])
    return float(average_precision_score(padded, np.concatenate([probabilities, ones]), average="macro"))


def _kl(targets: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    wanted = targets / targets.sum(axis=1, keepdims=True)
    given = np.maximum(probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), _LEAST), _LEAST)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(wanted > 0, wanted * np.log(wanted / given), 0.0)
    return float(terms.sum(axis=1).mean())


def _calibration_error(
    targets: NDArray[np.bool_], probabilities: NDArray[np.float64], predicted: NDArray[np.int64]
) -> float:
    rows = np.arange(len(targets))
    confidence, hit = probabilities[rows, predicted], targets[rows, predicted]
    of_bin = np.minimum((confidence * _ECE_BINS).astype(int), _ECE_BINS - 1)
    gaps = np.bincount(of_bin, weights=hit - confidence, minlength=_ECE_BINS)
    return float(np.abs(gaps).sum() / len(targets))
