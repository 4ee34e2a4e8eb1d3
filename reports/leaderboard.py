"""The leaderboard of a sweep. Enters: the results table. Leaves: one ranked row per fully trained configuration.

Configurations are chosen on validation and never on test: rows are ranked by mean validation accuracy, and the test
numbers stand beside it as what the choice turned out to be worth. A configuration with a seed still missing has no row.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from storage.errors import InvalidInput, nearest
from storage.results_table import ResultsTable

# Means of the same numbers in another order differ in the last bits; that is a tie, not a rank.
_TIE_DECIMALS = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepResults:
    """Everything the results table knows about one sweep, as pandas frames with the columns of `storage.schemas`.

    Attributes:
        results: where the rows came from; predictions are read from it on first use.
        sweep: the sweep's own row.
        suggestions: one row per planned trial, by number.
        trials: the newest row per ended trial, by number.
        seeds: one row per completed (trial, seed).
        epochs: one row per (trial, seed, epoch), in the order of training.
        failures: one row per failure, oldest first.
    """

    results: ResultsTable
    sweep: pd.Series
    suggestions: pd.DataFrame
    trials: pd.DataFrame
    seeds: pd.DataFrame
    epochs: pd.DataFrame
    failures: pd.DataFrame

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per (trial, seed, clip, window); by far the largest table, hence read on first use only."""
        return self.results.read("predictions", sweep_id=self.sweep_id).to_pandas()

    @property
    def sweep_id(self) -> str:
        return str(self.sweep["sweep_id"])

    @property
    def labels(self) -> list[str]:
        """In the order of the indices in `seeds` and `predictions`."""
        return [str(label) for label in self.sweep["labels"]]

    @property
    def settings(self) -> Any:
        """The resolved configuration of the sweep."""
        return json.loads(self.sweep["settings"])

    @property
    def versions(self) -> Any:
        """Packages, Python and machine of the process that began the sweep."""
        return json.loads(self.sweep["versions"])

    def seeds_of(self, trial_id: str, seeds: Iterable[int]) -> pd.DataFrame:
        """The rows of these completed seeds of a trial, by seed."""
        wanted = (self.seeds["trial_id"] == trial_id) & self.seeds["seed"].isin(list(seeds))
        return self.seeds[wanted].sort_values("seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaderboardRow:
    """One configuration with all its seeds complete. Accuracies, F1, AUC and recalls are shares from 0 to 1.

    Attributes:
        rank: 1 is best, by validation.
        number: the trial's place in the order of suggestions.
        configuration: the searched parameters, and `untuned_default`: whether the searcher chose nothing here.
        seeds: all seeds of the configuration; every mean and deviation is over them.
        validation_accuracy_std: sample standard deviation (ddof = 1), like every `_std`; None for a single seed.
        test_auc_mean: one-vs-rest, macro; None where a class has no test clip.
        test_recall_mean: per label; None for a label without a test clip.
        num_test_clips: entries of one seed's confusion matrix.
    """

    rank: int
    architecture: str
    trial_id: str
    number: int
    configuration: dict[str, Any]
    seeds: list[int]
    validation_accuracy_mean: float
    validation_accuracy_std: float | None
    validation_macro_f1_mean: float
    test_accuracy_mean: float
    test_accuracy_std: float | None
    test_macro_f1_mean: float
    test_macro_f1_std: float | None
    test_auc_mean: float | None
    test_recall_mean: dict[str, float | None]
    num_test_clips: int
    num_parameters: int


def newest_sweep(results: ResultsTable) -> str:
    """The id of the sweep that started last.

    Raises:
        InvalidInput: the store holds no sweep.
    """
    sweeps = results.read("sweeps").to_pandas()
    if sweeps.empty:
        raise InvalidInput(
            "results table",
            given=results.store.uri,
            allowed="a store that holds at least one sweep",
            remedy="Run a sweep first, or name the store it was run on.",
        )
    return str(sweeps.sort_values(["started_at", "sweep_id"])["sweep_id"].iloc[-1])


def load_sweep(results: ResultsTable, sweep_id: str) -> SweepResults:
    """Reads one sweep, finished or not.

    Raises:
        InvalidInput: the store has no sweep of this id.
    """
    sweeps = results.read("sweeps", sweep_id=sweep_id).to_pandas()
    if sweeps.empty:
        _refuse_unknown_sweep(results, sweep_id)
    frames = {name: results.read(name, sweep_id=sweep_id).to_pandas() for name in _ORDER}
    ordered = {name: frame.sort_values(_ORDER[name], ignore_index=True) for name, frame in frames.items()}
    # A configuration suggested twice is one trial.
    suggestions = ordered["suggestions"].drop_duplicates("trial_id", keep="first", ignore_index=True)
    trials = ordered["trials"].drop_duplicates("trial_id", keep="last").sort_values("number", ignore_index=True)
    return SweepResults(
        results=results,
        sweep=sweeps.sort_values("started_at").iloc[0],
        suggestions=suggestions,
        trials=trials,
        seeds=ordered["seeds"],
        epochs=ordered["epochs"],
        failures=ordered["failures"],
    )


_ORDER = {
    "suggestions": ["number"],
    "trials": ["ended_at"],
    "seeds": ["trial_id", "seed"],
    "epochs": ["trial_id", "seed_epoch"],
    "failures": ["failed_at", "failure_id"],
}


def _refuse_unknown_sweep(results: ResultsTable, sweep_id: str) -> None:
    known = sorted(set(results.read("sweeps").column("sweep_id").to_pylist()))
    raise InvalidInput(
        "sweep id",
        given=sweep_id,
        allowed=", ".join(known) or f"none: {results.store.uri} holds no sweep",
        remedy=nearest(sweep_id, known) or "Choose a sweep that is there, or name another store.",
    )


def leaderboard(sweep: SweepResults) -> list[LeaderboardRow]:
    """One row per configuration whose seeds are all complete, best first.

    Ranked by mean validation accuracy, then mean validation macro-F1, then number; test plays no part in it. The seeds
    that count are those that the configuration itself names; a configuration with one of them missing has no row.
    """
    rows = []
    for suggestion in sweep.suggestions.itertuples():
        planned = planned_seeds(str(suggestion.configuration))
        completed = sweep.seeds_of(str(suggestion.trial_id), planned)
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
    return json.dumps([_without_nan(asdict(row)) for row in rows], indent=2, ensure_ascii=False, allow_nan=False)


def planned_seeds(configuration: str) -> list[int]:
    """The seeds that a TrialConfig, as JSON, asks for."""
    return sorted({int(seed) for seed in json.loads(configuration)["seeds"]})


def searched_configuration(suggestion: Any) -> dict[str, Any]:
    """What the searcher chose for a row of suggestions, and whether that is the architecture's untuned default."""
    parameters = json.loads(suggestion.parameters)
    return {**parameters, "untuned_default": bool(suggestion.untuned_default)}


def summed_confusion(seeds: pd.DataFrame) -> np.ndarray:
    """Counts [true label][predicted label], summed over rows of the seeds table; int64."""
    matrices = np.array([[list(row) for row in matrix] for matrix in seeds["test_confusion"]], dtype=np.int64)
    return matrices.sum(axis=0)


def _row(sweep: SweepResults, suggestion: Any, seeds: pd.DataFrame) -> LeaderboardRow:
    recalls = np.mean(np.stack([np.asarray(values, dtype=float) for values in seeds["test_recall"]]), axis=0)
    return LeaderboardRow(
        rank=0,
        architecture=suggestion.architecture,
        trial_id=suggestion.trial_id,
        number=int(suggestion.number),
        configuration=searched_configuration(suggestion),
        seeds=[int(seed) for seed in seeds["seed"]],
        validation_accuracy_mean=float(seeds["validation_accuracy"].mean()),
        validation_accuracy_std=_deviation(seeds["validation_accuracy"]),
        validation_macro_f1_mean=float(seeds["validation_macro_f1"].mean()),
        test_accuracy_mean=float(seeds["test_accuracy"].mean()),
        test_accuracy_std=_deviation(seeds["test_accuracy"]),
        test_macro_f1_mean=float(seeds["test_macro_f1"].mean()),
        test_macro_f1_std=_deviation(seeds["test_macro_f1"]),
        test_auc_mean=_finite(seeds["test_auc"].mean(skipna=False)),
        test_recall_mean={label: _finite(value) for label, value in zip(sweep.labels, recalls, strict=True)},
        num_test_clips=int(summed_confusion(seeds.head(1)).sum()),
        num_parameters=int(seeds["num_parameters"].iloc[0]),
    )


def _rank_key(row: LeaderboardRow) -> tuple[float, float, int]:
    return _descending(row.validation_accuracy_mean), _descending(row.validation_macro_f1_mean), row.number


def _descending(value: float) -> float:
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
