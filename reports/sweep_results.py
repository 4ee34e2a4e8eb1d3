"""Everything that the results table knows of one sweep or experiment, as pandas frames. Enters: a results table."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from storage.chosen_trials import read_trials
from storage.errors import InvalidInput, first_few, nearest_ids
from storage.results_table import ResultsTable


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepResults:
    """Everything the results table knows about one sweep, as pandas frames with the columns of `storage.schemas`.

    Attributes:
        results: where the rows came from; predictions, by far the largest table, are read from it a few trials at a
            time, when they are asked for.
        sweep: the sweep's own row.
        suggestions: one row per planned trial, by number.
        decisions: one row per decision of an adaptive sweep, in their order.
        trials: the newest row per ended trial, by number.
        seeds: one row per completed (trial, seed).
        epochs: one row per (trial, seed, epoch), in the order of training.
        failures: one row per failure, oldest first.
    """

    results: ResultsTable
    sweep: pd.Series
    suggestions: pd.DataFrame
    decisions: pd.DataFrame
    trials: pd.DataFrame
    seeds: pd.DataFrame
    epochs: pd.DataFrame
    failures: pd.DataFrame
    _predictions: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def labels_of_clips(self) -> pd.Series:
        """Indices of each clip's labels, one list a row; of the first trial that has predictions, as all have the same
        clips. Empty before there are any."""
        completed = dict.fromkeys(self.seeds["trial_id"])
        others = dict.fromkeys(self.suggestions["trial_id"])
        for trial_ids in (list(completed)[:1], [*completed, *others]):
            self.fetch_predictions(trial_ids)
            found = [self._predictions[trial_id] for trial_id in trial_ids if len(self._predictions[trial_id])]
            if found:
                return found[0]["labels"]
        return pd.Series(dtype=object)

    def fetch_predictions(self, trial_ids: Collection[str]) -> None:
        """Reads the predictions of several trials at once; those that were read before are not read again."""
        missing = [trial_id for trial_id in dict.fromkeys(trial_ids) if trial_id not in self._predictions]
        if not missing:
            return
        rows = self.read_predictions(missing)
        for trial_id in missing:
            self._predictions[trial_id] = rows[rows["trial_id"] == trial_id].reset_index(drop=True)

    def read_predictions(self, trial_ids: Collection[str]) -> pd.DataFrame:
        """The predictions of several trials, which are not kept: hundreds of MB each where there are many clips."""
        return read_trials(self.results, "predictions", sweep_id=self.sweep_id, trial_ids=trial_ids).to_pandas()

    def predictions_of(self, trial_id: str) -> pd.DataFrame:
        """One row per (seed, part, clip) of a trial."""
        self.fetch_predictions([trial_id])
        return self._predictions[trial_id]

    @property
    def sweep_id(self) -> str:
        return str(self.sweep["sweep_id"])

    @property
    def labels(self) -> list[str]:
        """In the order of the indices in `seeds` and in predictions."""
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


def newest_sweep(results: ResultsTable) -> str:
    """The id of the sweep or experiment that started last; a confirmation or an audit is told on its sweep's page.

    Raises:
        InvalidInput: the store holds no sweep.
    """
    sweeps = results.read("sweeps").to_pandas()
    sweeps = sweeps[sweeps["of_sweep"].isna()]
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
        decisions=ordered["decisions"],
        trials=trials,
        seeds=ordered["seeds"],
        epochs=ordered["epochs"],
        failures=ordered["failures"],
    )


_ORDER = {
    "suggestions": ["number"],
    "decisions": ["decision"],
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
        allowed=first_few(known, 12) or f"none: {results.store.uri} holds no sweep",
        remedy=f"{nearest_ids(sweep_id, known)}Choose a sweep that is there, or name another store.",
    )


def planned_seeds(configuration: str) -> list[int]:
    """The seeds that a TrialConfig, as JSON, asks for."""
    return sorted({int(seed) for seed in json.loads(configuration)["seeds"]})


def searched_configuration(suggestion: Any) -> dict[str, Any]:
    """What the searcher chose for a row of suggestions, and whether that is the architecture's untuned default."""
    parameters = json.loads(suggestion.parameters)
    return {**parameters, "untuned_default": bool(suggestion.untuned_default)}


def summed_confusion(seeds: pd.DataFrame) -> NDArray[np.int64]:
    """Counts [true label][predicted label], summed over rows of the seeds table; int64."""
    matrices = np.array([[list(row) for row in matrix] for matrix in seeds["test_confusion"]], dtype=np.int64)
    return np.asarray(matrices.sum(axis=0))
