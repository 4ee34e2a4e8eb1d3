"""How each label is recognised where a clip may have several: AUC and average precision from the stored predictions.

A confusion matrix takes one label to stand for another, which means nothing there. Enters: a `SweepResults` and rows of
its leaderboard. Leaves: a row per label. Only numpy, so that a report needs no training packages.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.leaderboard import LeaderboardRow, SweepResults


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelScores:
    """One label on test.

    Attributes:
        num_clips: that have it, of one seed; over folds, of all of them.
        auc, average_precision: one number per (configuration, seed); those where it is not defined are left out.
    """

    label: str
    num_clips: int
    auc: tuple[float, ...]
    average_precision: tuple[float, ...]

    @property
    def auc_mean(self) -> float | None:
        return float(np.mean(self.auc)) if self.auc else None

    @property
    def average_precision_mean(self) -> float | None:
        return float(np.mean(self.average_precision)) if self.average_precision else None


def has_several_labels(sweep: SweepResults) -> bool:
    """Whether some clip has several labels; before there are predictions, whether a loss allows it."""
    losses = [json.loads(text).get("loss", {}) for text in sweep.suggestions["configuration"]]
    if all(loss.get("kind", "cross_entropy") == "cross_entropy" for loss in losses):
        return False
    labels = sweep.predictions["labels"]
    return labels.empty or bool((labels.map(len) > 1).any())


def epoch_scores(curve: pd.DataFrame) -> pd.Series:
    """What epochs are chosen by, for rows of the epochs table; those of earlier versions have an accuracy alone."""
    return curve["validation_score"].astype(float).fillna(curve["validation_accuracy"])


def label_scores(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[LabelScores]:
    """One row per label of the sweep, in its order.

    Args:
        rows: the configuration of which the numbers are: one row, or a row for every fold.
    """
    predictions = sweep.predictions[sweep.predictions["part"] == "test"]
    parts = [
        of_seed
        for row in rows
        for _, of_seed in predictions[predictions["trial_id"] == row.trial_id].groupby("seed")
        if of_seed["seed"].iloc[0] in row.seeds
    ]
    answers = [
        (_has_label(of_seed, len(sweep.labels)), np.stack(of_seed["probabilities"].tolist())) for of_seed in parts
    ]
    first_seeds = {row.trial_id: row.seeds[0] for row in rows}
    counted = [
        index for index, part in enumerate(parts) if part["seed"].iloc[0] == first_seeds[part["trial_id"].iloc[0]]
    ]
    return [
        LabelScores(
            label=label,
            num_clips=sum(int(answers[index][0][:, place].sum()) for index in counted),
            auc=_defined(area_under_roc(has[:, place], given[:, place]) for has, given in answers),
            average_precision=_defined(average_precision(has[:, place], given[:, place]) for has, given in answers),
        )
        for place, label in enumerate(sweep.labels)
    ]


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


def _has_label(predictions: pd.DataFrame, num_labels: int) -> NDArray[np.bool_]:
    has = np.zeros((len(predictions), num_labels), dtype=np.bool_)
    for line, labels in enumerate(predictions["labels"]):
        has[line, list(labels)] = True
    return has


def _defined(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)
