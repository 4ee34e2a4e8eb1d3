"""What every seed's model answered to every clip. Enters: rows of the `predictions` table. Leaves: `Answers`, whole
and in order.

Folds are trials of their own in the results table, so one configuration's answers may come from several trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.evidence.cubes import ScoreCube, score_cube
from reports.prediction_arrays import has_label, probabilities
from storage.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """One configuration's answers over clips × folds × seeds; clips sorted by id, each tested in one fold.

    Attributes:
        groups, folds: one per clip.
        has_label: bool (N, L).
        predicted: int64 (N, S); the most probable label.
        probabilities: float64 (N, S, L).
    """

    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    has_label: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def cube(self, values: NDArray[np.float64], *, is_share: bool = True) -> ScoreCube:
        """A score of every (clip, seed), (N, S), with these clips' folds and groups."""
        return score_cube(
            values, clip_ids=self.clip_ids, seeds=self.seeds, groups=self.groups, folds=self.folds, is_share=is_share
        )


def answers_of(
    predictions: pd.DataFrame, fold_of_trial: Mapping[str, int], *, num_labels: int, part: str = "test"
) -> Answers:
    """The answers of the trials named, which are one configuration's, one trial a fold.

    Seeds that lack a fold are left out, as a mean over other folds could not be compared.

    Args:
        predictions: rows of the results table; of other trials and parts, too.
        fold_of_trial: trial id → fold; {trial_id: 0} where there are no folds.

    Raises:
        InvalidInput: no seed has all folds, a clip has two rows or two folds, or seeds were tested on different clips.
    """
    rows = predictions[predictions["trial_id"].isin(list(fold_of_trial)) & (predictions["part"] == part)]
    rows = rows.assign(fold=rows["trial_id"].map(fold_of_trial).astype("int64"))
    rows = rows[rows["seed"].isin(_whole_seeds(rows, set(fold_of_trial.values())))].sort_values(["seed", "clip_id"])
    seeds = sorted(set(rows["seed"]))
    first = rows[rows["seed"] == seeds[0]]
    _refuse_uneven(rows, first, num_seeds=len(seeds))
    shape = (len(seeds), len(first))
    return Answers(
        clip_ids=tuple(first["clip_id"]),
        groups=tuple(first["group"].fillna(first["clip_id"])),
        folds=tuple(int(fold) for fold in first["fold"]),
        seeds=tuple(int(seed) for seed in seeds),
        has_label=has_label(first, num_labels),
        predicted=rows["predicted"].to_numpy(dtype=np.int64).reshape(shape).T,
        probabilities=probabilities(rows).reshape(*shape, -1).swapaxes(0, 1),
    )


def accuracy(answers: Answers) -> ScoreCube:
    """1 where the most probable label is one of the clip's, else 0."""
    clips = np.arange(len(answers.clip_ids))[:, None]
    return answers.cube(answers.has_label[clips, answers.predicted].astype(np.float64))


def _whole_seeds(rows: pd.DataFrame, folds: set[int]) -> Sequence[int]:
    counts = rows.groupby("seed")["fold"].nunique()
    whole = [int(seed) for seed in counts.index[counts.to_numpy() == len(folds)].to_numpy()]
    if not whole:
        raise InvalidInput(
            "predictions",
            given=f"{len(counts)} seeds, none with all of {len(folds)} folds",
            allowed="one seed at least that was tested on every fold",
            remedy="Train the missing folds first.",
        )
    return whole


def _refuse_uneven(rows: pd.DataFrame, first: pd.DataFrame, *, num_seeds: int) -> None:
    num_twice = int(rows.duplicated(["seed", "clip_id"]).sum())
    if num_twice:
        raise InvalidInput(
            "predictions",
            given=f"{num_twice} clips with two rows of a seed",
            allowed="one row per clip and seed",
            remedy="Name one trial per fold, and folds that share no clip.",
        )
    counts = rows.groupby("clip_id")["seed"].size()
    num_uneven = int((counts != num_seeds).sum())
    if num_uneven:
        raise InvalidInput(
            "predictions",
            given=f"{num_uneven} clips that some of {num_seeds} seeds lack",
            allowed="the same clips for every seed",
            remedy="Train the configuration again on one split.",
        )
    if rows.groupby("clip_id")["fold"].nunique().max() > 1:
        raise InvalidInput(
            "predictions",
            given="clips tested in one fold by one seed and in another by the next",
            allowed="one fold per clip",
            remedy="Train every seed on the same folds.",
        )
