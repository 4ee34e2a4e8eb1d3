"""How much better scores look when epochs are chosen on the test fold. Enters: rows of `seeds` and `epochs`. Leaves:
gaps.

Two experiments of one configuration, one by the protocol `literature` and one honest, differ by the choice of the
epoch and by the clips that an honest experiment keeps for it. The choice alone can be told within the literature's
experiment, whose every epoch was scored on the test fold: best epoch − last epoch.
"""

from collections.abc import Mapping

import pandas as pd

from reports.evidence.cubes import ScoreCube, difference, score_cube
from reports.evidence.intervals import LEVEL, Estimate, estimate
from storage.errors import InvalidInput


def optimism_gap(literature: ScoreCube, honest: ScoreCube, *, level: float = LEVEL) -> Estimate:
    """Mean of literature − honest with its interval: of cubes of clips (narrower), or of `run_cube`s.

    Raises:
        InvalidInput: they have other folds or clips, or no seed in common.
    """
    return estimate(difference(literature, honest), level=level)


def run_cube(seeds: pd.DataFrame, fold_of_trial: Mapping[str, int], *, score: str = "test_accuracy") -> ScoreCube:
    """One row per fold: what the `seeds` table says of each training run. Seeds without every fold are left out.

    Its interval rests on folds and seeds; of a single fold on seeds alone.

    Raises:
        InvalidInput: no seed has every fold.
    """
    rows = seeds[seeds["trial_id"].isin(list(fold_of_trial))]
    scores = rows.assign(fold=rows["trial_id"].map(fold_of_trial)).pivot(index="fold", columns="seed", values=score)
    return _of_runs(scores, set(fold_of_trial.values()))


def choice_gap(epochs: pd.DataFrame, fold_of_trial: Mapping[str, int], *, level: float = LEVEL) -> Estimate:
    """Of an experiment of the protocol `literature`: score of the best epoch − score of the last one, on the test fold.

    Args:
        epochs: rows of the results table; `validation_score`, or of earlier versions `validation_accuracy`, is of the
            part that chose the epoch.

    Raises:
        InvalidInput: no seed has every fold.
    """
    rows = epochs[epochs["trial_id"].isin(list(fold_of_trial))]
    score = rows["validation_score"].astype("float64").fillna(rows["validation_accuracy"])
    rows = rows.assign(fold=rows["trial_id"].map(fold_of_trial), score=score).sort_values("epoch")
    of_run = rows.groupby(["fold", "seed"])["score"]
    gaps = (of_run.max() - of_run.last()).unstack("seed")
    cube = _of_runs(gaps, set(fold_of_trial.values()))
    return estimate(
        score_cube(cube.values, clip_ids=cube.clip_ids, seeds=cube.seeds, folds=cube.folds, is_share=False), level=level
    )


def _of_runs(scores: pd.DataFrame, folds: set[int]) -> ScoreCube:
    """(folds, seeds) → a cube with one row per fold."""
    whole = scores.dropna(axis="columns")
    if set(scores.index) != folds or whole.empty:
        raise InvalidInput(
            "results",
            given=f"{len(scores.index)} of {len(folds)} folds, and {whole.shape[1]} seeds with all of those",
            allowed="one seed at least that was trained on every fold",
            remedy="Train the missing folds first.",
        )
    return score_cube(
        whole.to_numpy(dtype="float64"),
        clip_ids=[f"fold {int(fold):03d}" for fold in whole.index],
        folds=[int(fold) for fold in whole.index],
        seeds=[int(seed) for seed in whole.columns],
    )
