"""Whether a model is right as often as it says: its test clips by how sure it was of its most probable label.

Enters: a `SweepResults` and rows of its leaderboard. Leaves: the bins of a reliability diagram, and the calibration
error of every seed, both as "On Calibration of Modern Neural Networks" (arXiv:1706.04599) has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.answers import answers_on_test, joined
from reports.leaderboard import LeaderboardRow
from reports.sweep_results import SweepResults

NUM_BINS = 15  # as in the score `ece`


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """Predictions that were about equally sure.

    Attributes:
        place: 0 … NUM_BINS - 1; probabilities from place / NUM_BINS up to (place + 1) / NUM_BINS.
        num_predictions: of all seeds.
        confidence: their mean probability.
        accuracy: share of them that were right.
    """

    place: int
    num_predictions: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """Attributes:
    bins: that hold predictions, by place; of all seeds together.
    errors: seed → expected calibration error: mean distance between confidence and accuracy over its predictions.
    num_clips: of one seed.
    """

    bins: tuple[ReliabilityBin, ...]
    errors: dict[int, float]
    num_clips: int

    @property
    def num_predictions(self) -> int:
        return sum(of_bin.num_predictions for of_bin in self.bins)


def reliability(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Reliability | None:
    """The diagram of one configuration on test; None where no predictions are stored.

    Args:
        rows: one row, or one for every fold, whose clips are then taken together.
    """
    of_seed = joined(answers_on_test(sweep, rows))
    if not of_seed:
        return None
    confidence = {seed: part.confidence for seed, part in of_seed.items()}
    is_right = {seed: part.is_right.astype(float) for seed, part in of_seed.items()}
    return Reliability(
        bins=_bins(np.concatenate(list(confidence.values())), np.concatenate(list(is_right.values()))),
        errors={seed: _error(_bins(confidence[seed], is_right[seed])) for seed in of_seed},
        num_clips=max(len(values) for values in confidence.values()),
    )


def _bins(confidence: np.ndarray, is_right: np.ndarray) -> tuple[ReliabilityBin, ...]:
    places = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    return tuple(
        ReliabilityBin(
            place=int(place),
            num_predictions=int((places == place).sum()),
            confidence=float(confidence[places == place].mean()),
            accuracy=float(is_right[places == place].mean()),
        )
        for place in np.unique(places)
    )


def _error(bins: Sequence[ReliabilityBin]) -> float:
    gaps = [of_bin.num_predictions * abs(of_bin.confidence - of_bin.accuracy) for of_bin in bins]
    return sum(gaps) / sum(of_bin.num_predictions for of_bin in bins)
