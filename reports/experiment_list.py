"""All experiments of a store, a line each. Enters: their numbers and the results tables. Leaves: rows for people."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from reports.text import NO_VALUE, decimal
from storage.experiments import Experiment
from storage.results_table import ResultsTable

LIST_HEADER = ("number", "name", "begun (UTC)", "state", "folds", "test score", "id")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentSummary:
    """Where an experiment stands.

    Attributes:
        state: `finished`; `failed` where training failed on a fold and no other is open; else `unfinished`, whether a
            process is at work on it or not.
        num_finished, num_folds: folds; no folds where it was not begun in earnest.
        score: of a finished one: the mean over folds of the test accuracy, or of the macro AUC of several labels; mean
            over seeds.
        deviation: sample deviation of that over seeds; None for one seed.
        is_literature: epochs were chosen on the test folds, which makes the score too good.
    """

    experiment: Experiment
    state: Literal["finished", "failed", "unfinished"]
    num_finished: int
    num_folds: int
    score: float | None
    deviation: float | None
    is_literature: bool


def summarize(results: ResultsTable, experiment: Experiment) -> ExperimentSummary:
    """Reads what the tables have of one experiment; epochs and predictions, by far the most, are left alone."""

    def rows(table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = results.read(table, sweep_id=experiment.experiment_id).to_pylist()
        return found

    planned = {row["trial_id"] for row in rows("suggestions")}
    state_of = {row["trial_id"]: row["state"] for row in rows("trials")}
    num_finished = sum(state_of.get(trial_id) == "finished" for trial_id in planned)
    state: Literal["finished", "failed", "unfinished"] = "unfinished"
    if planned and planned <= state_of.keys():
        state = "finished" if num_finished == len(planned) else "failed"
    score, deviation = _score(rows("seeds")) if state == "finished" else (None, None)
    return ExperimentSummary(
        experiment=experiment,
        state=state,
        num_finished=num_finished,
        num_folds=len(planned),
        score=score,
        deviation=deviation,
        is_literature=any(row["protocol"] == "literature" for row in rows("sweeps")),
    )


def list_lines(summaries: Iterable[ExperimentSummary]) -> list[list[str]]:
    """One list of cells per experiment, as LIST_HEADER; a score by the literature's protocol says so."""
    return [
        [
            f"{summary.experiment.number:04d}",
            summary.experiment.name,
            f"{summary.experiment.begun_at:%Y-%m-%d %H:%M}",
            summary.state,
            f"{summary.num_finished} of {summary.num_folds}",
            _told(summary),
            summary.experiment.experiment_id,
        ]
        for summary in summaries
    ]


def _told(summary: ExperimentSummary) -> str:
    if summary.score is None:
        return NO_VALUE
    told = decimal(summary.score) if summary.deviation is None else f"{summary.score:.3f} ± {summary.deviation:.3f}"
    return f"{told} (literature)" if summary.is_literature else told


def _score(seeds: Iterable[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Mean and deviation over seeds of the mean over folds."""
    of_seed: dict[int, list[float]] = defaultdict(list)
    for row in seeds:
        of_seed[row["seed"]].append(row["test_score"])
    if not of_seed or any(score is None for scores in of_seed.values() for score in scores):
        return None, None
    means = [fmean(scores) for scores in of_seed.values()]
    return fmean(means), stdev(means) if len(means) > 1 else None
