"""The leaderboard of a sweep. Enters: a `SweepResults`. Leaves: one ranked row per fully trained configuration.

Configurations are chosen on validation and never on test: rows are ranked by the mean validation score that trials
are chosen by (`chosen_by.py`), and the test numbers stand beside it as what the choice turned out to be worth. A
configuration with a seed still missing has no row.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.sweep_results import SweepResults, planned_seeds, searched_configuration, summed_confusion
from storage.plain_text import plain_text

# Means of the same numbers in another order differ in the last bits; that is a tie, not a rank.
_TIE_DECIMALS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaderboardRow:
    """One configuration with all its seeds complete. Scores, recalls and precisions are from 0 to 1.

    Attributes:
        rank: 1 is best, by validation.
        number: the trial's place in the order of suggestions.
        configuration: the searched parameters, and `untuned_default`: whether the searcher chose nothing here.
        seeds: all seeds of the configuration; every mean and deviation is over them.
        validation_score_mean: of what trials are chosen by: accuracy, or macro ROC-AUC of several labels a clip.
        validation_score_std: sample standard deviation (ddof = 1), like every `_std`; None for a single seed.
        test_score_mean: of the same score.
        test_auc_mean: one-vs-rest, macro; None where a class has no test clip.
        test_map_mean: mean average precision; None where it was not recorded.
        test_recall_mean: per label; None for a label without a test clip.
        test_precision_mean: per label, over the seeds that predicted it; None where none did, or it was not recorded.
        num_test_clips: entries of one seed's confusion matrix.
    """

    rank: int
    architecture: str
    trial_id: str
    number: int
    configuration: dict[str, Any]
    seeds: list[int]
    validation_score_mean: float
    validation_score_std: float | None
    validation_accuracy_mean: float
    validation_accuracy_std: float | None
    validation_macro_f1_mean: float
    test_score_mean: float
    test_score_std: float | None
    test_accuracy_mean: float
    test_accuracy_std: float | None
    test_macro_f1_mean: float
    test_macro_f1_std: float | None
    test_auc_mean: float | None
    test_map_mean: float | None
    test_recall_mean: dict[str, float | None]
    test_precision_mean: dict[str, float | None]
    num_test_clips: int
    num_parameters: int


def leaderboard(sweep: SweepResults) -> list[LeaderboardRow]:
    """One row per configuration whose seeds are all complete, best first.

    Ranked by the mean validation score, then mean validation macro-F1, then number; test plays no part in it. The seeds
    that count are those that the configuration itself names; a configuration with one of them missing has no row.
    """
    rows = []
    # Looked for trial by trial, the seeds of thousands take minutes.
    seeds_of = {str(trial_id): seeds for trial_id, seeds in sweep.seeds.groupby("trial_id")}
    for suggestion in sweep.suggestions[sweep.suggestions["trial_id"].isin(seeds_of)].itertuples():
        planned = planned_seeds(str(suggestion.configuration))
        seeds = seeds_of[str(suggestion.trial_id)]
        completed = seeds[seeds["seed"].isin(planned)].sort_values("seed")
        if planned and set(completed["seed"]) == set(planned):
            rows.append(_row(sweep, suggestion, completed))
    rows.sort(key=_rank_key)
    return [replace(row, rank=rank) for rank, row in enumerate(rows, start=1)]


def best_of_each_architecture(rows: Iterable[LeaderboardRow]) -> dict[str, LeaderboardRow]:
    """Architecture → its highest row; architectures in the order of their best rank."""
    best: dict[str, LeaderboardRow] = {}
    for row in rows:
        best.setdefault(row.architecture, row)
    return best


def to_json(rows: Iterable[Any]) -> str:
    """Rows, which are dataclasses, as a JSON array in their order; whatever has no value is null, never NaN."""
    return as_json([asdict(row) for row in rows])


def as_json(value: Any) -> str:
    """A value of lists, dicts and plain values; what is no finite number is null."""
    return plain_text(json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False), keep="\n")


def part_scores(seeds: pd.DataFrame, part: str) -> pd.Series:
    """What trials are chosen by, on a part, for rows of the seeds table; those of earlier versions have an accuracy."""
    return seeds[f"{part}_score"].astype(float).fillna(seeds[f"{part}_accuracy"])


def _row(sweep: SweepResults, suggestion: Any, seeds: pd.DataFrame) -> LeaderboardRow:
    validation, test = part_scores(seeds, "validation"), part_scores(seeds, "test")
    return LeaderboardRow(
        rank=0,
        architecture=suggestion.architecture,
        trial_id=suggestion.trial_id,
        number=int(suggestion.number),
        configuration=searched_configuration(suggestion),
        seeds=[int(seed) for seed in seeds["seed"]],
        validation_score_mean=float(validation.mean(skipna=False)),
        validation_score_std=_deviation(validation),
        validation_accuracy_mean=float(seeds["validation_accuracy"].mean()),
        validation_accuracy_std=_deviation(seeds["validation_accuracy"]),
        validation_macro_f1_mean=float(seeds["validation_macro_f1"].mean()),
        test_score_mean=float(test.mean(skipna=False)),
        test_score_std=_deviation(test),
        test_accuracy_mean=float(seeds["test_accuracy"].mean()),
        test_accuracy_std=_deviation(seeds["test_accuracy"]),
        test_macro_f1_mean=float(seeds["test_macro_f1"].mean()),
        test_macro_f1_std=_deviation(seeds["test_macro_f1"]),
        test_auc_mean=_finite(seeds["test_auc"].mean(skipna=False)),
        test_map_mean=_mean_average_precision(seeds),
        test_recall_mean=_by_label(sweep, seeds["test_recall"]),
        test_precision_mean=_by_label(sweep, seeds["test_precision"]),
        num_test_clips=int(summed_confusion(seeds.head(1)).sum()),
        num_parameters=int(seeds["num_parameters"].iloc[0]),
    )


def _by_label(sweep: SweepResults, of_seeds: pd.Series) -> dict[str, float | None]:
    """Label → mean over the seeds that have a number for it."""
    rows = [np.asarray(values, dtype=float) for values in of_seeds if values is not None]
    table: NDArray[np.float64] = np.stack(rows) if rows else np.full((1, len(sweep.labels)), np.nan)
    found = {}
    for label, values in zip(sweep.labels, table.T, strict=True):
        defined = values[np.isfinite(values)]
        found[label] = float(defined.mean()) if defined.size else None
    return found


def _mean_average_precision(seeds: pd.DataFrame) -> float | None:
    values = [json.loads(text)["test"].get("map") for text in seeds["scores"] if isinstance(text, str)]
    numbers = [float(value) for value in values if value is not None]
    return float(np.mean(numbers)) if numbers and len(numbers) == len(seeds) else None


def _rank_key(row: LeaderboardRow) -> tuple[float, float, int]:
    return descending(row.validation_score_mean), descending(row.validation_macro_f1_mean), row.number


def descending(value: float) -> float:
    """A diverged seed's NaN ranks last; left as NaN it would scramble the order of all others."""
    return -round(value, _TIE_DECIMALS) if math.isfinite(value) else math.inf


def _deviation(values: pd.Series) -> float | None:
    return _finite(values.std(ddof=1)) if len(values) > 1 else None


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
