"""The scores that a sweep has seen, as one array. Shapes: N = configurations, S = seeds, M = milestones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOT_BEGUN = -1
_FIRST_ROWS = 64


class Scores:
    """What every seed of every configuration had reached at the milestones, which are epochs of one seed.

    Attributes:
        milestones: int64 (M,), ascending; the last is a whole seed.
    """

    def __init__(self, milestones: Sequence[int], *, num_seeds: int, num_architectures: int) -> None:
        self.milestones = np.asarray(milestones, dtype=np.int64)
        self.num_seeds, self.num_architectures = num_seeds, num_architectures
        self._num_rows = 0
        self._score_NSM = np.full((_FIRST_ROWS, num_seeds, len(milestones)), np.nan)
        self._level_NS = np.full((_FIRST_ROWS, num_seeds), NOT_BEGUN, dtype=np.int64)
        self._architecture_N = np.zeros(_FIRST_ROWS, dtype=np.int64)

    @property
    def num_rows(self) -> int:
        return self._num_rows

    @property
    def score_NSM(self) -> Floats:
        """Best validation score so far, NaN where a seed has not come so far."""
        return self._score_NSM[: self._num_rows]

    @property
    def level_NS(self) -> Ints:
        """Index of the last milestone that a seed has reached, or -1."""
        return self._level_NS[: self._num_rows]

    @property
    def architecture_N(self) -> Ints:
        return self._architecture_N[: self._num_rows]

    @property
    def num_whole_N(self) -> Ints:
        """Seeds that were trained to their end. The seeds of a configuration are trained one after the other."""
        whole: Ints = (self.level_NS == len(self.milestones) - 1).sum(axis=1)
        return whole

    @property
    def epochs_NS(self) -> Floats:
        """Epochs that each seed has been trained, as far as milestones tell."""
        level_NS = self.level_NS
        return np.where(level_NS == NOT_BEGUN, 0.0, self.milestones[level_NS])

    def cost(self, row: int | None, *, seed: int, milestone: int) -> float:
        """Epochs from where a seed stands to a milestone. Args: row: None for a configuration that is begun."""
        return float(self.milestones[milestone] - (0.0 if row is None else self.epochs_NS[row, seed]))

    def add(self, architecture: int) -> int:
        """Begins a configuration and returns its row."""
        if self._num_rows == len(self._architecture_N):
            self._grow()
        self._architecture_N[self._num_rows] = architecture
        self._num_rows += 1
        return self._num_rows - 1

    def record(self, row: int, seed: int, milestone: int, score: float) -> None:
        """Args: seed, milestone: their indices; milestones of a seed come in order."""
        self._score_NSM[row, seed, milestone] = score
        self._level_NS[row, seed] = milestone

    def _grow(self) -> None:
        self._score_NSM = np.concatenate([self._score_NSM, np.full_like(self._score_NSM, np.nan)])
        self._level_NS = np.concatenate([self._level_NS, np.full_like(self._level_NS, NOT_BEGUN)])
        self._architecture_N = np.concatenate([self._architecture_N, np.zeros_like(self._architecture_N)])
