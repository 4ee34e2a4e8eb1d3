"""How each group is answered: speakers, recordings or sites, which no split tears apart. The one place of such scores.

Enters: a `SweepResults` and rows of its leaderboard. Leaves: a row per group. The only file of this room that imports
scikit-learn, which is asked once for all groups: every pair of a group and a label is a column of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.metrics import precision_recall_fscore_support

from reports.answers import Answers, answers_on_test, joined
from reports.chosen_by import has_several_labels
from reports.leaderboard import LeaderboardRow
from reports.sweep_results import SweepResults

GROUP_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
_LEAST_CLIPS_A_GROUP = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupScores:
    """One group on test.

    Attributes:
        num_clips: of one seed.
        mean, deviation: over seeds, of GROUP_SCORES, which are what training/metrics.py calls so, on the group's clips
            alone. Balanced accuracy and macro-F1 are None where all its clips have the same single label: there is
            nothing to balance. A deviation is None for a single seed, too.
    """

    group: str
    num_clips: int
    mean: dict[str, float | None]
    deviation: dict[str, float | None]


def group_scores(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[GroupScores]:
    """One row per group, the lowest accuracy first; empty where groups are not recorded.

    Args:
        rows: the configuration that is asked for: one row, or one for every fold.
    """
    several = has_several_labels(sweep)
    parts = [_of_seed(part, several=several) for part in joined(answers_on_test(sweep, rows)).values()]
    frames = [part for part in parts if part is not None]
    if not frames:
        return []
    found = [_over_seeds(str(group), of_group) for group, of_group in pd.concat(frames).groupby(level=0)]
    return sorted(found, key=lambda row: (row.mean["accuracy"] or 0.0, row.group))


def are_told(groups: Sequence[GroupScores]) -> bool:
    """Whether the groups are worth a look: at least two, with five clips each on the average. Recordings of two clips
    tell nothing."""
    return len(groups) >= 2 and sum(group.num_clips for group in groups) >= _LEAST_CLIPS_A_GROUP * len(groups)


def ends(groups: Sequence[GroupScores], *, worst: int, best: int) -> list[GroupScores]:
    """The first and the last of many; all where they are few."""
    return list(groups) if len(groups) <= worst + best else [*groups[:worst], *groups[len(groups) - best :]]


def _over_seeds(group: str, of_group: pd.DataFrame) -> GroupScores:
    means, deviations = of_group.mean(skipna=False), of_group.std(ddof=1, skipna=False)
    return GroupScores(
        group=group,
        num_clips=int(of_group["num_clips"].max()),
        mean={name: _finite(means[name]) for name in GROUP_SCORES},
        deviation={name: _finite(deviations[name]) for name in GROUP_SCORES},
    )


def _of_seed(answers: Answers, *, several: bool) -> pd.DataFrame | None:
    """One line per group: num_clips and GROUP_SCORES; NaN where one is not defined."""
    is_known = np.array([isinstance(group, str) for group in answers.groups], dtype=np.bool_)
    if not is_known.any():
        return None
    names, group_of_clip = np.unique(answers.groups[is_known].astype(str), return_inverse=True)
    num_clips = np.bincount(group_of_clip)
    balanced, f1 = _label_means(
        group_of_clip, answers.has_label[is_known], answers.decided(several=several)[is_known], len(names)
    )
    accuracy = np.bincount(group_of_clip, weights=answers.is_right[is_known]) / num_clips
    columns = dict(zip(GROUP_SCORES, (accuracy, balanced, f1), strict=True))
    return pd.DataFrame({"num_clips": num_clips, **columns}, index=names)


def _label_means(
    group_of_clip: NDArray[np.int64], has_label: NDArray[np.bool_], decided: NDArray[np.bool_], num_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and F1 of every group, (num_groups,), averaged over the labels that its clips have; NaN for one label."""
    num_labels = has_label.shape[1]
    clips, labels = np.nonzero(has_label)
    pairs, column = np.unique(group_of_clip[clips] * num_labels + labels, return_inverse=True)
    said_clips, said_labels = np.nonzero(decided)
    said = group_of_clip[said_clips] * num_labels + said_labels
    is_a_pair = np.isin(said, pairs)  # labels that no clip of the group has are in no mean
    said_column = np.searchsorted(pairs, said[is_a_pair])
    nothing = np.full(num_groups, np.nan)
    if len(pairs) < 2:
        return nothing, nothing
    shape = (len(has_label), len(pairs))
    targets = csr_array((np.ones(len(clips), dtype=np.int8), (clips, column)), shape=shape)
    answers = csr_array((np.ones(len(said_column), dtype=np.int8), (said_clips[is_a_pair], said_column)), shape=shape)
    _, recall, f1, _ = precision_recall_fscore_support(targets, answers, average=None, zero_division=0.0)
    return _group_means(pairs // num_labels, recall, num_groups), _group_means(pairs // num_labels, f1, num_groups)


def _group_means(group_of_pair: NDArray[np.int64], values: NDArray[np.float64], num_groups: int) -> NDArray[np.float64]:
    counts = np.bincount(group_of_pair, minlength=num_groups)
    sums = np.bincount(group_of_pair, weights=values, minlength=num_groups)
    return np.where(counts > 1, sums / np.maximum(counts, 1), np.nan)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
