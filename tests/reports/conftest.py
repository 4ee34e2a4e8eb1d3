"""A hand-written sweep: invented rows, the real schemas, a real local store."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports import SweepResults, load_sweep
from storage.object_store import open_store
from storage.results_table import ResultsTable
from storage.schemas import TABLES

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


class InventedSweep:
    """Writes one sweep, a method per kind of row. Whatever a test does not care about has a value already."""

    def __init__(self, root: Path, *, labels: Sequence[str] = ("dog", "rain", "clock"), **columns: Any) -> None:
        self.results = ResultsTable(open_store(str(root)))
        self.sweep_id = columns.pop("sweep_id", "sweep-1")
        self.labels = list(labels)
        row = {
            "dataset": "esc50",
            "fingerprint": "f" * 16,
            "split_hash": "a" * 16,
            "split_policy": "folds 1-3 train, 4 validation, 5 test",
            "settings": json.dumps({"sweep": {"num_trials": 4}, "features": {"num_mels": 128}}),
            "versions": json.dumps({"python": "3.11.9", "torch": "2.14.1"}),
            "started_at": START,
        }
        self._commit("sweeps", "sweep", labels=self.labels, **{**row, **columns})

    def suggest(
        self,
        trial_id: str,
        *,
        number: int = 0,
        architecture: str = "cnn",
        seeds: Sequence[int] = (1, 2, 3),
        parameters: dict[str, Any] | None = None,
        loss: str = "cross_entropy",
        device: str = "cpu",
        distributions: dict[str, str] | None = None,
        **columns: Any,
    ) -> str:
        self._commit(
            "suggestions",
            trial_id,
            trial_id=trial_id,
            number=number,
            architecture=architecture,
            parameters=json.dumps({"learning_rate": 0.001, "dropout": 0.3} if parameters is None else parameters),
            untuned_default=parameters == {},
            distributions=json.dumps(distributions or {}),
            configuration=json.dumps(
                {
                    "architecture": architecture,
                    "seeds": list(seeds),
                    "epochs": 3,
                    "device": device,
                    "loss": {"kind": loss},
                }
            ),
            **columns,
        )
        return trial_id

    def complete_seed(self, trial_id: str, seed: int, *, architecture: str = "cnn", **columns: Any) -> None:
        num_labels = len(self.labels)
        row = {
            "best_epoch": 2,
            "epochs_trained": 3,
            "validation_accuracy": 0.8,
            "validation_macro_f1": 0.8,
            "test_accuracy": 0.75,
            "test_macro_f1": 0.74,
            "test_auc": 0.95,
            "test_recall": [0.75] * num_labels,
            "test_confusion": [
                [3 if i == j else (j == i + 1) * 1 for j in range(num_labels)] for i in range(num_labels)
            ],
            "train_seconds": 12.5,
            "num_parameters": 123_456,
            "device": "cpu",
        }
        self._commit(
            "seeds",
            f"{trial_id}-seed{seed}",
            trial_id=trial_id,
            seed=seed,
            architecture=architecture,
            **{**row, **columns},
        )

    def train(
        self,
        trial_id: str,
        seed: int,
        accuracies: Sequence[float],
        *,
        architecture: str = "cnn",
        before: int = 0,
        scores: Sequence[float] | None = None,
    ) -> None:
        """One epoch per accuracy; `before` epochs of other seeds came first."""
        for epoch, accuracy in enumerate(accuracies, start=1):
            self._commit(
                "epochs",
                f"{trial_id}-seed{seed}-epoch{epoch:04d}",
                trial_id=trial_id,
                architecture=architecture,
                seed=seed,
                epoch=epoch,
                seed_epoch=before + epoch,
                objective=max(accuracies[:epoch]),
                train_loss=2.2 * (1 - accuracy),
                validation_loss=0.4 + 1.9 * (1 - accuracy),
                validation_accuracy=accuracy,
                validation_score=None if scores is None else scores[epoch - 1],
                learning_rate=0.001,
                epoch_seconds=4.0,
            )

    def end(
        self,
        trial_id: str,
        state: str,
        *,
        number: int = 0,
        architecture: str = "cnn",
        seed_epochs: int = 3,
        **columns: Any,
    ) -> None:
        row = {"objective": 0.8, "ended_at": START + timedelta(hours=1)}
        self._commit(
            "trials",
            f"{trial_id}-{state}",
            trial_id=trial_id,
            number=number,
            architecture=architecture,
            state=state,
            seed_epochs=seed_epochs,
            **{**row, **columns},
        )

    def decide(self, decision: int, trial_id: str, **columns: Any) -> None:
        self._commit("decisions", f"decision{decision}-{trial_id}", decision=decision, trial_id=trial_id, **columns)

    def measure(self, architecture: str, *, device: str, minutes: int = 1, **columns: Any) -> None:
        row = {
            "configuration_id": "c" * 16,
            "hardware": "16 CPUs",
            "total_bytes": 0,
            "peak_bytes": 10**9,
            "cpus_each": [1.0],
            "at_once": [1],
            "steps_per_second": [10.0],
            "measured_at": START + timedelta(minutes=minutes),
        }
        self._commit(
            "measurements", f"{architecture}-{minutes}", architecture=architecture, device=device, **{**row, **columns}
        )

    def fail(
        self, trial_id: str, *, reason: str = "out of memory", detail: str = "CUDA error", minutes: int = 5
    ) -> None:
        self._commit(
            "failures",
            f"{trial_id}-{minutes}",
            trial_id=trial_id,
            failure_id=f"{trial_id}-{minutes}",
            reason=reason,
            detail=detail,
            failed_at=START + timedelta(minutes=minutes),
        )

    def predict(self, trial_id: str, seed: int, clip_id: str, *, label: int, predicted: int, **columns: Any) -> None:
        self._commit(
            "predictions",
            f"{trial_id}-seed{seed}-{clip_id}",
            trial_id=trial_id,
            seed=seed,
            part="test",
            clip_id=clip_id,
            label=label,
            predicted=predicted,
            **{"probabilities": [1 / len(self.labels)] * len(self.labels), **columns},
        )

    def finished_trial(self, trial_id: str, *, number: int, architecture: str = "cnn", **seed_columns: Any) -> str:
        """A trial of three seeds, each trained for three epochs to its end."""
        self.suggest(trial_id, number=number, architecture=architecture)
        for index, seed in enumerate((1, 2, 3)):
            accuracies = (0.4 + 0.01 * seed, 0.7 + 0.01 * seed, 0.69)
            self.train(trial_id, seed, accuracies, architecture=architecture, before=3 * index)
            self.complete_seed(trial_id, seed, architecture=architecture, **seed_columns)
        self.end(trial_id, "finished", number=number, architecture=architecture, seed_epochs=9)
        return trial_id

    def several_labels(
        self, trial_id: str = "t0", *, number: int = 0, seeds: Sequence[int] = (1, 2), num_clips: int = 40
    ) -> None:
        """A finished trial whose clips have one to three labels; the first label is told best, the last by chance."""
        num_labels = len(self.labels)
        self.suggest(trial_id, number=number, seeds=seeds, loss="bce")
        for seed in seeds:
            self.train(trial_id, seed, (0.4, 0.5), scores=(0.6, 0.7 + 0.01 * seed))
            self.complete_seed(trial_id, seed)
            rng = np.random.default_rng(seed)
            for clip in range(num_clips):
                labels = sorted({(clip * step) % num_labels for step in (1, 3, 7)[: 1 + clip % 3]})
                strength = np.linspace(2.5, 0.0, num_labels) * np.isin(np.arange(num_labels), labels)
                given = 1 / (1 + np.exp(1 - strength - rng.normal(0, 1, num_labels)))
                self.predict(
                    trial_id,
                    seed,
                    f"clip{clip:03d}",
                    label=labels[0],
                    predicted=0,
                    labels=labels,
                    probabilities=given.tolist(),
                )

    def load(self) -> SweepResults:
        return load_sweep(self.results, self.sweep_id)

    def _commit(self, table: str, commit: str, **columns: Any) -> None:
        left_out = {field.name: None for field in TABLES[table] if field.nullable}
        row = {**left_out, "sweep_id": self.sweep_id, **columns}
        assert self.results.commit(table, sweep_id=self.sweep_id, commit=commit, rows=[row])


@pytest.fixture
def new_sweep(tmp_path: Path) -> Callable[..., InventedSweep]:
    """Makes sweeps in one fresh store."""

    def make(**columns: Any) -> InventedSweep:
        return InventedSweep(tmp_path / "store", **columns)

    return make


@pytest.fixture
def invented(new_sweep: Callable[..., InventedSweep]) -> InventedSweep:
    """An empty sweep over three labels."""
    return new_sweep()
