"""What the models of a configuration said of every test clip, as arrays: from the predictions in the results table.

Enters: a `SweepResults` and rows of its leaderboard. Leaves: `Answers`, a trial and seed at a time or all folds joined.

Shapes: N = clips, L = labels.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.leaderboard import LeaderboardRow
from reports.prediction_arrays import has_label, probabilities
from reports.sweep_results import SweepResults


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Attributes:
    groups: object (N,); a speaker, recording or site each, None where that was not recorded.
    has_label: bool (N, L).
    predicted: int64 (N,); the most probable label.
    probabilities: float64 (N, L).
    """

    seed: int
    groups: NDArray[np.object_]
    has_label: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(N,): whether the most probable label is one of the clip's."""
        return np.asarray(self.has_label[np.arange(len(self.predicted)), self.predicted])

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(N,): the probability of the most probable label."""
        return np.asarray(self.probabilities[np.arange(len(self.predicted)), self.predicted])

    def decided(self, *, several: bool) -> NDArray[np.bool_]:
        """(N, L): the labels that each clip is taken for; of several, all that are at least as probable as not."""
        if several:
            return np.asarray(self.probabilities >= 0.5)
        return np.asarray(np.eye(self.has_label.shape[1], dtype=np.bool_)[self.predicted])


def answers_on_test(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[Answers]:
    """One for each row and seed, by row and then by seed; those without predictions are left out.

    Args:
        rows: the configuration that is asked for: one row, or one for every fold.
    """
    found = []
    for row in rows:
        predictions = sweep.predictions_of(row.trial_id)
        of_test = predictions[predictions["part"] == "test"]
        parts = {seed: of_test[of_test["seed"] == seed] for seed in row.seeds}
        found += [_answers(seed, part, len(sweep.labels)) for seed, part in parts.items() if not part.empty]
    return found


def joined(answers: Sequence[Answers]) -> dict[int, Answers]:
    """Seed → all its folds as one part."""
    of_seed = defaultdict(list)
    for part in answers:
        of_seed[part.seed].append(part)
    return {
        seed: Answers(
            seed=seed,
            groups=np.concatenate([part.groups for part in parts]),
            has_label=np.concatenate([part.has_label for part in parts]),
            predicted=np.concatenate([part.predicted for part in parts]),
            probabilities=np.concatenate([part.probabilities for part in parts]),
        )
        for seed, parts in sorted(of_seed.items())
    }


def _answers(seed: int, predictions: pd.DataFrame, num_labels: int) -> Answers:
    return Answers(
        seed=seed,
        groups=predictions["group"].to_numpy(dtype=object),
        has_label=has_label(predictions, num_labels),
        predicted=predictions["predicted"].to_numpy(dtype=np.int64),
        probabilities=probabilities(predictions),
    )
