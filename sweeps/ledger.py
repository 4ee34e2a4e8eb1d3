"""What a sweep has done so far, written to and read back from the results table, which is the only truth.

Enters: suggestions, epochs, seeds, ends and failures, each as one commit with a deterministic name. Leaves: the
`TrialRecord`s from which a new process rebuilds the searcher and the scheduler.
"""

import datetime
import json
import math
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from storage.errors import StorageError
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps.plan import Parameters
from training import SeedResult, TrialConfig
from training.metrics import Evaluation
from training.progress import EpochMetrics

OUT_OF_MEMORY = "out_of_memory"  # a reason of failures

TrialState = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A planned trial: its number in the sweep, what the searcher chose and from which distributions (Optuna JSON).

    Attributes:
        fold: that it is tested on, in an experiment.
    """

    number: int
    config: TrialConfig
    parameters: Parameters
    distributions: Mapping[str, str]
    untuned_default: bool
    fold: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A planned trial and what became of it.

    Attributes:
        state: None while it has not ended, and again when rows of a finished trial have been lost: it is then trained
            once more to the same numbers, and every row that is still there stays.
        objective: of its end; None if it failed before the first epoch, or has not ended.
        objectives: seed-epoch → objective, of every epoch that was reported.
    """

    suggestion: Suggestion
    state: TrialState | None
    objective: float | None
    objectives: Mapping[int, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """That a trial was sent on, by a sweep that allots its budget step by step.

    Attributes:
        number: in the sweep.
        seed: that is trained.
        until: seed-epoch to which.
        rate: by how much the best posterior mean was expected to rise per epoch; None for what every sweep begins with.
    """

    number: int
    trial_id: str
    seed: int
    until: int
    rate: float | None


class Ledger:
    """The results table as one sweep sees it. Commits are idempotent; reading is done once, at start."""

    def __init__(self, results: ResultsTable, sweep_id: str) -> None:
        self._results, self.sweep_id = results, sweep_id

    @property
    def store(self) -> ObjectStore:
        return self._results.store

    def start(self, row: Mapping[str, Any]) -> None:
        """Records the sweep itself; the first start's record stays."""
        self._commit("sweeps", "sweep", [{"kind": "sweep", "protocol": "honest", **row, "started_at": _now()}])

    def suggest(self, suggestion: Suggestion) -> None:
        """Records a suggestion before its trial starts.

        Raises:
            StorageError: another process has given this number to another configuration.
        """
        row = {
            "trial_id": suggestion.config.trial_id,
            "number": suggestion.number,
            "architecture": suggestion.config.architecture,
            "parameters": json.dumps(dict(suggestion.parameters)),
            "distributions": json.dumps(dict(suggestion.distributions)),
            "configuration": json.dumps(suggestion.config.to_dict()),
            "untuned_default": suggestion.untuned_default,
            "fold": suggestion.fold,
        }
        if self._commit("suggestions", f"number{suggestion.number:05d}", [row]):
            return
        stored = {row["number"]: row["trial_id"] for row in self._rows("suggestions")}
        if stored[suggestion.number] != suggestion.config.trial_id:
            raise StorageError(
                f"another process is running the sweep {self.sweep_id} on this store. Wait for it to end, or stop it, "
                "and run the same command again."
            )

    def decide(self, decision: Decision) -> None:
        """Records a decision before anything follows from it. One about a trial that is not suggested is void."""
        row = {
            "decision": decision.number,
            "trial_id": decision.trial_id,
            "seed": decision.seed,
            "until": decision.until,
            "rate": decision.rate,
            "decided_at": _now(),
        }
        self._commit("decisions", f"decision{decision.number:06d}-{decision.trial_id}-{decision.until:05d}", [row])

    def decisions(self) -> list[Decision]:
        """In the order of their numbers."""
        return [
            Decision(
                number=row["decision"],
                trial_id=row["trial_id"],
                seed=row["seed"],
                until=row["until"],
                rate=row["rate"],
            )
            for row in sorted(self._rows("decisions"), key=lambda row: row["decision"])
        ]

    def epoch(
        self, config: TrialConfig, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics
    ) -> None:
        row = {
            "trial_id": config.trial_id,
            "architecture": config.architecture,
            "seed": seed,
            "seed_epoch": seed_epoch,
            "objective": objective,
            **{name: getattr(metrics, name) for name in EpochMetrics.__slots__},
        }
        self._commit("epochs", f"{config.trial_id}-seed{seed}-epoch{metrics.epoch:04d}", [row])

    def has_predictions(self, config: TrialConfig, seed: int) -> bool:
        """Whether a seed's predictions are there, by this process or another one; they are never replaced."""
        name = f"{config.trial_id}-seed{seed}"
        return name in self._results.commits("predictions", sweep_id=self.sweep_id)

    def seed(self, config: TrialConfig, result: SeedResult) -> None:
        """Records predictions first: a row in `seeds` means that its predictions are there."""
        name = f"{config.trial_id}-seed{result.seed}"
        predictions = [
            row
            for part, evaluation in (("validation", result.validation), ("test", result.test))
            for row in _prediction_rows(config, result.seed, part, evaluation)
        ]
        self._commit("predictions", name, predictions)
        row = {
            "trial_id": config.trial_id,
            "architecture": config.architecture,
            "seed": result.seed,
            "best_epoch": result.best_epoch,
            "epochs_trained": result.epochs_trained,
            "validation_accuracy": result.validation.accuracy,
            "validation_macro_f1": result.validation.scores["macro_f1"],
            "test_accuracy": result.test.accuracy,
            "test_macro_f1": result.test.scores["macro_f1"],
            "test_auc": result.test.scores["macro_auc"],
            "test_recall": result.test.recall.tolist(),
            "test_precision": [None if math.isnan(value) else value for value in result.test.precision.tolist()],
            "test_confusion": result.test.confusion.tolist(),
            "train_seconds": result.train_seconds,
            "num_parameters": result.num_parameters,
            "device": result.device,
            "validation_score": result.validation.score,
            "test_score": result.test.score,
            "scores": json.dumps({"validation": result.validation.scores, "test": result.test.scores}),
            "events": list(result.events),
        }
        self._commit("seeds", name, [row])

    def end(self, suggestion: Suggestion, *, state: TrialState, seed_epochs: int, objective: float | None) -> None:
        row = {
            "trial_id": suggestion.config.trial_id,
            "number": suggestion.number,
            "architecture": suggestion.config.architecture,
            "state": state,
            "seed_epochs": seed_epochs,
            "objective": objective,
            "ended_at": _now(),
        }
        self._commit("trials", suggestion.config.trial_id, [row])

    def failure(self, trial_id: str, *, reason: str, detail: str) -> None:
        """Records a failure; each one is an event of its own."""
        failure_id = uuid.uuid4().hex
        row = {
            "trial_id": trial_id,
            "failure_id": failure_id,
            "reason": reason,
            "detail": detail,
            "failed_at": _now(),
        }
        self._commit("failures", f"{trial_id}-{failure_id}", [row])

    def out_of_memory(self) -> set[str]:
        """Trials whose memory has run out, in this process or before."""
        return {row["trial_id"] for row in self._rows("failures") if row["reason"] == OUT_OF_MEMORY}

    def records(self) -> list[TrialRecord]:
        """Everything planned so far, in the order of the numbers.

        Raises:
            StorageError: trials have ended that were never suggested: rows of `suggestions` are lost.
        """
        whole = self._whole_seeds()
        objectives: dict[str, dict[int, float]] = defaultdict(dict)
        for row in self._rows("epochs"):
            objectives[row["trial_id"]][row["seed_epoch"]] = row["objective"]
        ended = {row["trial_id"]: row for row in self._rows("trials")}
        suggested = self._rows("suggestions")
        lost = ended.keys() - {row["trial_id"] for row in suggested}
        if lost:
            raise StorageError(
                f"the results table of sweep {self.sweep_id} has lost suggestions: trial {min(lost)} has ended and was "
                "never suggested. Restore results/suggestions from a copy, or start anew under another sweep.name."
            )
        records = []
        for row in sorted(suggested, key=lambda row: row["number"]):
            end = ended.get(row["trial_id"], {})
            suggestion = Suggestion(
                number=row["number"],
                config=TrialConfig.from_dict(json.loads(row["configuration"])),
                parameters=json.loads(row["parameters"]),
                distributions=json.loads(row["distributions"]),
                untuned_default=row["untuned_default"],
                fold=row["fold"],
            )
            state = end.get("state")
            if state == "finished" and not {(row["trial_id"], seed) for seed in suggestion.config.seeds} <= whole:
                state = None
            records.append(
                TrialRecord(
                    suggestion=suggestion,
                    state=state,
                    objective=end.get("objective") if state else None,
                    objectives=dict(sorted(objectives[row["trial_id"]].items())),
                )
            )
        return records

    def _whole_seeds(self) -> set[tuple[str, int]]:
        """(trial_id, seed) whose row in `seeds` and whose predictions are both there."""
        with_row = {(row["trial_id"], row["seed"]) for row in self._rows("seeds")}
        predicted = self._results.commits("predictions", sweep_id=self.sweep_id)
        return {(trial_id, seed) for trial_id, seed in with_row if f"{trial_id}-seed{seed}" in predicted}

    def _commit(self, table: str, commit: str, rows: list[dict[str, Any]]) -> bool:
        rows = [{"sweep_id": self.sweep_id, **row} for row in rows]
        return self._results.commit(table, sweep_id=self.sweep_id, commit=commit, rows=rows)

    def _rows(self, table: str) -> list[dict[str, Any]]:
        return self._results.read(table, sweep_id=self.sweep_id).to_pylist()


def _prediction_rows(config: TrialConfig, seed: int, part: str, evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": config.trial_id,
            "seed": seed,
            "part": part,
            "clip_id": clip_id,
            "label": int(evaluation.first_label[row]),
            "labels": evaluation.has_label[row].nonzero()[0].tolist(),
            "predicted": int(evaluation.predicted[row]),
            "probabilities": evaluation.probabilities[row].tolist(),
            "group": evaluation.groups[row],
        }
        for row, clip_id in enumerate(evaluation.clip_ids)
    ]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
