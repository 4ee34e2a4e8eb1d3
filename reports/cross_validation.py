"""An experiment's scores, fold by fold and over all folds. Enters: the results table. Leaves: rows for people.

A seed's score over all folds is the mean of its folds' scores; ± is the sample deviation of that mean over seeds.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.chosen_by import has_several_labels
from reports.leaderboard import LeaderboardRow, leaderboard
from reports.sweep_results import SweepResults
from reports.text import NO_VALUE, decimal, percent

# Column → name in `seeds.scores` (training/metrics.py describes them) and whether it is a share, told in percent.
SINGLE_LABEL = {
    "accuracy": ("accuracy", True),
    "balanced accuracy": ("balanced_accuracy", True),
    "macro-F1": ("macro_f1", True),
    "macro AUC": ("macro_auc", False),
    "ECE": ("ece", False),
}
MULTI_LABEL = {
    "macro AUC": ("macro_auc", False),
    "mAP": ("map", False),
    "cmAP": ("cmap", False),
    "macro-F1": ("macro_f1", True),
    "KL": ("kl", False),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldRow:
    """The test scores of one fold, or of all.

    Attributes:
        fold: None for the mean over all folds.
        seeds: that are complete; over all folds, those that are complete in every fold.
        mean, deviation: metric → number over the seeds; None where a seed has none, or for a single seed.
        best_epochs: of the seeds, as chosen on validation; empty for all folds.
    """

    fold: int | None
    seeds: tuple[int, ...]
    mean: dict[str, float | None]
    deviation: dict[str, float | None]
    best_epochs: tuple[int, ...]


def is_experiment(sweep: SweepResults) -> bool:
    """Whether this is one configuration over folds, not a search."""
    return bool(sweep.sweep.get("kind") == "experiment")


def is_literature(sweep: SweepResults) -> bool:
    """Whether epochs were chosen on the test fold, which makes its scores too good."""
    return bool(sweep.sweep.get("protocol") == "literature")


def fold_rows(sweep: SweepResults) -> list[FoldRow]:
    """One row per fold with a complete seed, by fold, and last the mean over the folds, once every fold is complete."""
    scores = _test_scores(sweep)
    rows = [_row(fold, scores[scores["fold"] == fold]) for fold in sorted(set(scores["fold"]))]
    planned = set(sweep.suggestions["fold"].dropna().astype(int))
    counts = scores.groupby("seed")["fold"].nunique()
    whole = [seed for seed, count in counts.items() if count == len(planned)]
    if len(planned) > 1 and whole:
        means = scores[scores["seed"].isin(whole)].groupby("seed").mean(numeric_only=True).reset_index()
        rows.append(_row(None, means))
    return rows


def fold_header(sweep: SweepResults) -> tuple[str, ...]:
    """The columns of `fold_lines`."""
    return ("fold", "seeds", *_columns(sweep), "best epochs")


def fold_lines(sweep: SweepResults, rows: Sequence[FoldRow]) -> list[list[str]]:
    """One list of cells per row; shares in percent, ± the deviation over seeds."""
    return [
        [
            "mean" if row.fold is None else str(row.fold),
            str(len(row.seeds)),
            *(_told(row, name, is_share=is_share) for name, is_share in _columns(sweep).values()),
            ", ".join(map(str, row.best_epochs)) or NO_VALUE,
        ]
        for row in rows
    ]


def by_fold(sweep: SweepResults) -> dict[str, LeaderboardRow]:
    """`fold 1` → the trial of that fold, of those with all seeds complete, in the order of folds."""
    fold_of = _fold_of_trial(sweep)
    rows = sorted(leaderboard(sweep), key=lambda row: fold_of[row.trial_id])
    return {f"fold {fold_of[row.trial_id]}": row for row in rows}


def _fold_of_trial(sweep: SweepResults) -> dict[str, int]:
    trials = sweep.suggestions
    return {str(trial_id): int(fold) for trial_id, fold in zip(trials["trial_id"], trials["fold"], strict=True)}


def _columns(sweep: SweepResults) -> dict[str, tuple[str, bool]]:
    return MULTI_LABEL if has_several_labels(sweep) else SINGLE_LABEL


def _told(row: FoldRow, name: str, *, is_share: bool) -> str:
    mean, deviation = row.mean.get(name), row.deviation.get(name)
    return percent(mean, deviation) if is_share else decimal(mean, deviation)


def _test_scores(sweep: SweepResults) -> pd.DataFrame:
    """One line per complete (fold, seed): fold, seed, best_epoch and every metric."""
    fold_of = _fold_of_trial(sweep)
    lines = []
    for row in sweep.seeds.to_dict("records"):
        scores = json.loads(row["scores"])["test"]
        metrics = {name: math.nan if value is None else value for name, value in scores.items()}
        where = {"fold": fold_of[row["trial_id"]], "seed": int(row["seed"]), "best_epoch": int(row["best_epoch"])}
        lines.append({**where, **metrics})
    return pd.DataFrame(lines, columns=None if lines else ["fold", "seed", "best_epoch"])


def _row(fold: int | None, scores: pd.DataFrame) -> FoldRow:
    scores = scores.sort_values("seed")
    names = [name for name in scores.columns if name not in ("fold", "seed", "best_epoch")]
    means = {name: scores[name].mean(skipna=False) for name in names}
    deviations = {name: scores[name].std(ddof=1, skipna=False) for name in names}
    return FoldRow(
        fold=fold,
        seeds=tuple(scores["seed"]),
        mean={name: _finite(value) for name, value in means.items()},
        deviation={name: _finite(value) for name, value in deviations.items()},
        best_epochs=() if fold is None else tuple(scores["best_epoch"]),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
