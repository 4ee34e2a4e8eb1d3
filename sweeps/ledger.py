"""What a sweep has done so far, written to and read back from the results table, which is the only truth.

Enters: suggestions, epochs, seeds, ends and failures, each as one commit with a deterministic name. Leaves: the
`TrialRecord`s from which a new process rebuilds the searcher and the scheduler.
"""

import contextlib
import dataclasses
import json
import math
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from storage.chosen_trials import read_trials
from storage.clock import utc_now
from storage.compaction import compact
from storage.errors import StorageError
from storage.generations import Partition
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps.prediction_rows import as_recorded, prediction_rows
from sweeps.records import Decision, SeedScore, Suggestion, TrialRecord, TrialState
from training import SeedResult, TrialConfig
from training.progress import EpochMetrics

# Reading so many commits takes a second and more; brought together, a tenth of it (benchmarks/sweep_overhead.py).
_MANY_COMMITS = 1000
_GATHERED = ("suggestions", "decisions", "trials", "seeds", "epochs")
OUT_OF_MEMORY = "out_of_memory"  # a reason of failures


class Ledger:
    """The results table as one sweep sees it. Commits are idempotent; reading is done once, at start."""

    def __init__(self, results: ResultsTable, sweep_id: str) -> None:
        self._results, self.sweep_id = results, sweep_id
        self._reopened: set[str] = set()  # finished trials that are trained again, as rows of them are lost

    @property
    def store(self) -> ObjectStore:
        return self._results.store

    def start(self, row: Mapping[str, Any]) -> None:
        """Records the sweep itself; the first start's record stays."""
        self._commit("sweeps", "sweep", [{"kind": "sweep", "protocol": "honest", **row, "started_at": utc_now()}])

    def extend(self, extend: int) -> None:
        """Records that the sweep is extended, so that whoever takes it up goes on as far."""
        self._commit("extensions", f"extend{extend:06d}", [{"extend": extend, "extended_at": utc_now()}])

    def extended(self) -> int:
        """The largest extension so far; 0 for none."""
        return max((row["extend"] for row in self._rows("extensions")), default=0)

    def record_warm_start(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Records the earlier trials that the sweep starts with; what was recorded first stays."""
        self._commit("warm_starts", "trials", [dict(row) for row in rows])

    def warm_start(self) -> list[dict[str, Any]]:
        return self._rows("warm_starts")

    def gather(self) -> None:
        """Brings many small commits together in large objects, so that the next reader has few to fetch.

        Deletes nothing. Others may read, write and gather meanwhile; whoever is interrupted has changed nothing.
        """
        for table in _GATHERED:
            with contextlib.suppress(StorageError):  # rows of a later version, or damaged ones: readers tell of those
                compact(self.store, Partition(table=table, sweep_id=self.sweep_id), min_commits=_MANY_COMMITS)

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
            "of_trial": suggestion.of_trial,
        }
        if self._commit("suggestions", f"number{suggestion.number:05d}", [row]):
            return
        stored = {row["number"]: row["trial_id"] for row in self._rows("suggestions", "number", "trial_id")}
        if stored[suggestion.number] != suggestion.config.trial_id:
            raise self._other_process()

    def decide(self, decision: Decision) -> None:
        """Records a decision before anything follows from it. One about a trial that is not suggested is void.

        Raises:
            StorageError: another process has given this number to another decision.
        """
        row = {
            "decision": decision.number,
            "trial_id": decision.trial_id,
            "seed": decision.seed,
            "until": decision.until,
            "rate": decision.rate,
            "decided_at": utc_now(),
            "heard": json.dumps(dict(decision.heard)),
        }
        if self._commit("decisions", f"decision{decision.number:06d}", [row]):
            return
        stored = [(of.trial_id, of.until) for of in self.decisions() if of.number == decision.number]
        if stored != [(decision.trial_id, decision.until)]:
            raise self._other_process()

    def decisions(self) -> list[Decision]:
        """In the order of their numbers."""
        return [
            Decision(
                number=row["decision"],
                trial_id=row["trial_id"],
                seed=row["seed"],
                until=row["until"],
                rate=row["rate"],
                heard=json.loads(row["heard"] or "{}"),
            )
            for row in sorted(self._rows("decisions"), key=lambda row: row["decision"])
        ]

    def epoch(
        self, config: TrialConfig, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics
    ) -> float:
        """Records an epoch.

        Returns:
            Its objective in the table: of two processes that trained it, and came to different numbers, the first's.
        """
        row = {
            "trial_id": config.trial_id,
            "architecture": config.architecture,
            "seed": seed,
            "seed_epoch": seed_epoch,
            "objective": objective,
            **{name: getattr(metrics, name) for name in EpochMetrics.__slots__},
        }
        if self._commit("epochs", f"{config.trial_id}-seed{seed}-epoch{metrics.epoch:04d}", [row]):
            return objective
        recorded = {(of["seed"], of["epoch"]): of["objective"] for of in self._of_trial("epochs", config)}
        return float(recorded[seed, metrics.epoch])

    def has_predictions(self, config: TrialConfig, seed: int) -> bool:
        """Whether a seed's predictions are there, by this process or another one; they are never replaced."""
        name = f"{config.trial_id}-seed{seed}"
        return name in self._results.commits("predictions", sweep_id=self.sweep_id)

    def latency_ms(self, config: TrialConfig, seed: int) -> float | None:
        """What was recorded of a seed's model, if anything: it was measured once, and another time it is another."""
        if f"{config.trial_id}-seed{seed}" not in self._results.commits("seeds", sweep_id=self.sweep_id):
            return None
        rows = self._rows("seeds", "trial_id", "seed", "latency_ms")
        found = {(row["trial_id"], row["seed"]): row["latency_ms"] for row in rows}
        return found[config.trial_id, seed]

    def seed(self, config: TrialConfig, result: SeedResult) -> None:
        """Records predictions first: a row in `seeds` means that its predictions are there, and is what they say."""
        name = f"{config.trial_id}-seed{result.seed}"
        predictions = [
            row
            for part, evaluation in (("validation", result.validation), ("test", result.test))
            for row in prediction_rows(config, result.seed, part, evaluation)
        ]
        if not self._commit("predictions", name, predictions):
            result = self._with_recorded_predictions(config, result)
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
            "latency_ms": result.latency_ms,
        }
        self._commit("seeds", name, [row])

    def _with_recorded_predictions(self, config: TrialConfig, result: SeedResult) -> SeedResult:
        """What an earlier process, which may have come to other numbers, predicted; it may have recorded no more."""
        rows = [row for row in self._of_trial("predictions", config) if row["seed"] == result.seed]
        parts = {part: [row for row in rows if row["part"] == part] for part in ("validation", "test")}
        return dataclasses.replace(
            result,
            validation=as_recorded(result.validation, parts["validation"]),
            test=as_recorded(result.test, parts["test"]),
        )

    def end(
        self,
        suggestion: Suggestion,
        *,
        state: TrialState,
        seed_epochs: int,
        objective: float | None,
        known_from: int | None = None,
    ) -> None:
        """Records how a trial ended.

        Raises:
            StorageError: another process has recorded another end.
        """
        row = {
            "trial_id": suggestion.config.trial_id,
            "number": suggestion.number,
            "architecture": suggestion.config.architecture,
            "state": state,
            "seed_epochs": seed_epochs,
            "objective": objective,
            "ended_at": utc_now(),
            "known_from": known_from,
        }
        if self._commit("trials", suggestion.config.trial_id, [row]) or row["trial_id"] in self._reopened:
            return
        columns = ("state", "seed_epochs", "objective")
        (stored,) = self._of_trial("trials", suggestion.config)
        if any(stored[column] != row[column] for column in columns):
            raise self._other_process()

    def failure(self, trial_id: str, *, reason: str, detail: str) -> None:
        """Records a failure; each one is an event of its own."""
        failure_id = uuid.uuid4().hex
        row = {
            "trial_id": trial_id,
            "failure_id": failure_id,
            "reason": reason,
            "detail": detail,
            "failed_at": utc_now(),
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
        of_seeds = self._rows("seeds", "trial_id", "seed", "num_parameters", "latency_ms")
        whole, measured = self._whole_seeds(of_seeds), _measured(of_seeds)
        objectives: dict[str, dict[int, float]] = defaultdict(dict)
        for row in self._rows("epochs", "trial_id", "seed_epoch", "objective"):
            objectives[row["trial_id"]][row["seed_epoch"]] = row["objective"]
        of_end = ("state", "seed_epochs", "objective", "known_from")
        ended = {row["trial_id"]: row for row in self._rows("trials", "trial_id", *of_end)}
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
                of_trial=row["of_trial"],
            )
            state = end.get("state")
            if state == "finished" and not {(row["trial_id"], seed) for seed in suggestion.config.seeds} <= whole:
                state = None
                self._reopened.add(row["trial_id"])
            curve = objectives[row["trial_id"]]
            if state is not None:  # a process that outlived its driver may have trained further
                curve = {epoch: objective for epoch, objective in curve.items() if epoch <= end["seed_epochs"]}
            records.append(
                TrialRecord(
                    suggestion=suggestion,
                    state=state,
                    objective=end.get("objective") if state else None,
                    objectives=dict(sorted(curve.items())),
                    measured=measured[row["trial_id"]],
                    known_from=end.get("known_from") if state else None,
                )
            )
        return records

    def seed_scores(self) -> dict[tuple[str, int], SeedScore]:
        """(trial_id, seed) → its scores on validation, of seeds that were trained to their end."""
        found = {}
        scores = ("validation_score", "validation_accuracy", "validation_macro_f1")
        for row in self._rows("seeds", "trial_id", "seed", *scores):
            score = row["validation_accuracy"] if row["validation_score"] is None else row["validation_score"]
            found[row["trial_id"], row["seed"]] = SeedScore(score=score, macro_f1=row["validation_macro_f1"])
        return found

    def _whole_seeds(self, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
        """(trial_id, seed) whose row in `seeds` and whose predictions are both there."""
        with_row = {(row["trial_id"], row["seed"]) for row in rows}
        predicted = self._results.commits("predictions", sweep_id=self.sweep_id)
        return {(trial_id, seed) for trial_id, seed in with_row if f"{trial_id}-seed{seed}" in predicted}

    def _other_process(self) -> StorageError:
        return StorageError(
            f"another process is running the sweep {self.sweep_id} on this store. Wait for it to end, or stop it, "
            "and run the same command again."
        )

    def _commit(self, table: str, commit: str, rows: list[dict[str, Any]]) -> bool:
        rows = [{"sweep_id": self.sweep_id, **row} for row in rows]
        return self._results.commit(table, sweep_id=self.sweep_id, commit=commit, rows=rows)

    def _of_trial(self, table: str, config: TrialConfig) -> list[dict[str, Any]]:
        return read_trials(self._results, table, sweep_id=self.sweep_id, trial_ids=[config.trial_id]).to_pylist()

    def _rows(self, table: str, *columns: str) -> list[dict[str, Any]]:
        """Of these columns; of all where none is named."""
        return self._results.read(table, sweep_id=self.sweep_id, columns=columns or None).to_pylist()


def _measured(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, dict[int, dict[str, float]]]:
    found: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for row in rows:
        of_seed = {name: row[name] for name in ("num_parameters", "latency_ms")}
        found[row["trial_id"]][row["seed"]] = {
            name: float(value) for name, value in of_seed.items() if value is not None
        }
    return found
