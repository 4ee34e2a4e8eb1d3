"""How each label is recognised where a clip may have several: AUC, average precision, recall and precision.

A confusion matrix takes one label to stand for another, which means nothing there. Enters: a `SweepResults` and rows of
its leaderboard. Leaves: a row per label, from the stored predictions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.answers import Answers, answers_on_test, joined
from reports.leaderboard import LeaderboardRow
from reports.sweep_results import SweepResults


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelScores:
    """One label on test.

    Attributes:
        num_clips: that have it, of one seed; over folds, of all of them.
        auc, average_precision, recall, precision: one number per (configuration, seed); those where it is not defined
            are left out. The last two are of the clips whose probability is at least one half.
    """

    label: str
    num_clips: int
    auc: tuple[float, ...]
    average_precision: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]

    @property
    def auc_mean(self) -> float | None:
        return _mean(self.auc)

    @property
    def average_precision_mean(self) -> float | None:
        return _mean(self.average_precision)

    @property
    def recall_mean(self) -> float | None:
        return _mean(self.recall)

    @property
    def precision_mean(self) -> float | None:
        return _mean(self.precision)


def label_scores(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[LabelScores]:
    """One row per label of the sweep, in its order.

    Args:
        rows: the configuration of which the numbers are: one row, or a row for every fold.
    """
    parts = answers_on_test(sweep, rows)
    of_seed = joined(parts)
    return [
        _of_label(label, place, parts, num_clips=max((_count(seed, place) for seed in of_seed.values()), default=0))
        for place, label in enumerate(sweep.labels)
    ]


def _count(answers: Answers, place: int) -> int:
    return int(answers.has_label[:, place].sum())


def _of_label(label: str, place: int, parts: Sequence[Answers], *, num_clips: int) -> LabelScores:
    clips = [(part.has_label[:, place], part.probabilities[:, place]) for part in parts]
    said = [(has_label, probability >= 0.5) for has_label, probability in clips]
    return LabelScores(
        label=label,
        num_clips=num_clips,
        auc=_defined(area_under_roc(*of_part) for of_part in clips),
        average_precision=_defined(average_precision(*of_part) for of_part in clips),
        recall=_defined(_share(has & decided, has) for has, decided in said),
        precision=_defined(_share(has & decided, decided) for has, decided in said),
    )


def area_under_roc(has_label: NDArray[np.bool_], probability: NDArray[np.floating[Any]]) -> float | None:
    """Share of the pairs, a clip with the label and one without, that are in order; ties count half."""
    num_with, num_without = int(has_label.sum()), int((~has_label).sum())
    if not num_with or not num_without:
        return None
    without = np.sort(probability[~has_label])
    below = np.searchsorted(without, probability[has_label], side="left")
    not_above = np.searchsorted(without, probability[has_label], side="right")
    return float((below + not_above).sum() / 2 / (num_with * num_without))


def average_precision(has_label: NDArray[np.bool_], probability: NDArray[np.floating[Any]]) -> float | None:
    """Precision, averaged over the steps of recall as the threshold falls; equal probabilities are one step."""
    if not has_label.any():
        return None
    order = np.argsort(-probability, kind="stable")
    last_of_step = np.append(np.diff(probability[order]) != 0, True)
    hits = np.cumsum(has_label[order])[last_of_step]
    precision = hits / (np.flatnonzero(last_of_step) + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / has_label.sum())


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float | None:
    return float(part.sum() / whole.sum()) if whole.any() else None


def _defined(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
