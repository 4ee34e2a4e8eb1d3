"""How a study's clips lie in groups and groups in folds, as index arrays that sums over them need.

Enters: the fold and group of every clip. Leaves: a `Layout`, and sums over units: the clips of one group in one fold,
which are drawn together (one recording, one speaker) and are therefore resampled, flipped and counted together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Layout:
    """Clips sorted into units, units into folds.

    A score over all folds is the mean of the folds' scores, so a clip's weight is 1 ÷ (folds × clips of its fold).

    Attributes:
        order: int (N,); the clips, unit by unit.
        first_clip: int (U,); where each unit begins in that order.
        first_unit: int (F,); where each fold begins among the units.
        fold_of_unit: int (U,), from 0 to F − 1.
        clip_weight: float64 (N,), in that order; sums to 1.
        unit_share: float64 (U,); the part of its fold's clips that a unit has; sums to F.
    """

    order: NDArray[np.int64]
    first_clip: NDArray[np.int64]
    first_unit: NDArray[np.int64]
    fold_of_unit: NDArray[np.int64]
    clip_weight: NDArray[np.float64]
    unit_share: NDArray[np.float64]

    @property
    def num_folds(self) -> int:
        return len(self.first_unit)

    @property
    def num_units(self) -> int:
        return len(self.first_clip)

    @property
    def num_clips(self) -> int:
        return len(self.order)

    @property
    def has_units(self) -> bool:
        """Whether every fold has two units at least, so that the spread between a fold's clips can be measured."""
        return bool(np.bincount(self.fold_of_unit).min() > 1)

    @property
    def effective_units(self) -> float:
        """How many units of equal size would tell as much: Kish's (Σ size)² ÷ Σ size²; U for equal ones."""
        return float(self.unit_share.sum() ** 2 / (self.unit_share**2).sum())

    def unit_sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(…, N, S) scores, in the clips' own order → (…, U, S): each unit's contribution to the score over all."""
        weighted = values[..., self.order, :] * self.clip_weight[:, None]
        return np.add.reduceat(weighted, self.first_clip, axis=-2)

    def fold_sums(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """(…, U, S) contributions of units → (…, F, S) those of folds."""
        return np.add.reduceat(units, self.first_unit, axis=-2)


def lay_out(folds: Sequence[int] | NDArray[np.int64], groups: Sequence[str] | NDArray[np.int64]) -> Layout:
    """The layout of clips of these folds and groups, one each per clip; a group in two folds is two units."""
    _, fold_of_clip = np.unique(np.asarray(folds), return_inverse=True)
    _, group_of_clip = np.unique(np.asarray(groups), return_inverse=True)
    order = np.lexsort((group_of_clip, fold_of_clip))
    fold, group = fold_of_clip[order], group_of_clip[order]
    is_first = np.append(True, (np.diff(fold) != 0) | (np.diff(group) != 0))
    first_clip = np.flatnonzero(is_first)
    fold_of_unit = fold[first_clip]
    clips_in_fold = np.bincount(fold)
    unit_sizes = np.diff(np.append(first_clip, len(order)))
    return Layout(
        order=order,
        first_clip=first_clip,
        first_unit=np.flatnonzero(np.append(True, np.diff(fold_of_unit) != 0)),
        fold_of_unit=fold_of_unit,
        clip_weight=1.0 / (len(clips_in_fold) * clips_in_fold[fold]),
        unit_share=unit_sizes / clips_in_fold[fold_of_unit],
    )
