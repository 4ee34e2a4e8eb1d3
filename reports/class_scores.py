"""How each class is recognised where a clip has one label: recall and precision, class by class and seed by seed.

Enters: rows of the seeds table, of one trial or of all folds. Leaves: a row per class. Over folds the clips of a seed
are counted together, so that a class with one clip in a fold counts as much there as it should.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.sweep_results import SweepResults, summed_confusion


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScores:
    """One class on test; shares from 0 to 1.

    Attributes:
        num_clips: that are of the class, of one seed; over folds, of all of them.
        recall: seed → share of the class's clips that were taken for it; None where it has none.
        precision: seed → share of the clips taken for the class that are of it; None where none was.
    """

    label: str
    num_clips: int
    recall: dict[int, float | None]
    precision: dict[int, float | None]

    @property
    def recall_mean(self) -> float | None:
        """Over seeds; those that have none are left out, as in every mean here."""
        return _mean(self.recall.values())

    @property
    def precision_mean(self) -> float | None:
        return _mean(self.precision.values())


def class_scores(sweep: SweepResults, seeds: pd.DataFrame) -> list[ClassScores]:
    """One row per class of the sweep, in its order.

    Args:
        seeds: rows of the seeds table: those of a trial, or of all folds.
    """
    counts = {seed: summed_confusion(seeds[seeds["seed"] == seed]) for seed in sorted(set(seeds["seed"].tolist()))}
    return [
        ClassScores(
            label=label,
            num_clips=max(int(table[place].sum()) for table in counts.values()),
            recall={seed: _share(table[place, place], table[place].sum()) for seed, table in counts.items()},
            precision={seed: _share(table[place, place], table[:, place].sum()) for seed, table in counts.items()},
        )
        for place, label in enumerate(sweep.labels)
    ]


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
