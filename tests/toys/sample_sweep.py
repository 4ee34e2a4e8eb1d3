"""A whole invented sweep: three architectures, rungs, stops, failures, predictions; with a confirmation if asked for.

Its numbers are drawn from fixed seeds, and its rows are what a real sweep writes, in far fewer objects.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.object_store import open_store
from storage.results_table import ResultsTable
from storage.schemas import TABLES

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LABELS = (
    "dog",
    "rain",
    "sea waves",
    "crying baby",
    "clock tick",
    "sneeze",
    "helicopter",
    "chainsaw",
    "rooster",
    "fire",
)
SEEDS, EPOCHS, GRACE = (42, 123, 999), 9, 3
_SPACE = {
    "optimizer.learning_rate": {
        "name": "FloatDistribution",
        "attributes": {"step": None, "low": 5e-4, "high": 5e-3, "log": True},
    },
    "model.dropout": {"name": "FloatDistribution", "attributes": {"step": None, "low": 0.0, "high": 0.5, "log": False}},
    "batch_size": {"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64]}},
}
_SKILL = {"cnn": 0.82, "alexnet": 0.6, "resnet50_cbam": 0.7}
_SECONDS = {"cnn": 4.0, "alexnet": 9.0, "resnet50_cbam": 30.0}


@dataclass(kw_only=True)
class SampleSweep:
    """Args: root: of the store; scheduler: `seed_epochs` or `adaptive`."""

    root: Path
    sweep_id: str = "sample-1"
    architectures: Sequence[str] = ("cnn", "alexnet", "resnet50_cbam")
    num_trials: int = 10
    num_clips: int = 80
    scheduler: str = "seed_epochs"
    seeds: Sequence[int] = SEEDS
    results: ResultsTable = field(init=False)
    _number: int = field(default=0, init=False)
    _decision: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.results = ResultsTable(open_store(str(self.root)))

    def write(self) -> ResultsTable:
        """Writes the sweep. Of each architecture the default and the best two are trained to the end."""
        settings = {"epochs": EPOCHS, "grace_epochs": GRACE, "scheduler": self.scheduler, "cpus_per_trial": 1.0}
        self.begin(self.sweep_id, {"sweep": {**settings, "seeds": list(self.seeds), "num_trials": self.num_trials}})
        for architecture in self.architectures:
            rng = np.random.default_rng(len(architecture))
            for place in range(self.num_trials):
                self._trial(architecture, place, rng)
        return self.results

    def confirm(
        self,
        *,
        folds: Sequence[int | None] = (None,),
        seeds: Sequence[int] = (1, 2, 3, 4, 5),
        places: Sequence[int] = (0, 1),
        skills: Mapping[str, float] | None = None,
        name: str = "0",
        started_at: datetime = START,
    ) -> str:
        """Writes a confirmation of each architecture's trials at these places and returns its id.

        Args:
            skills: architecture → by how much it is better or worse than in the sweep.
        """
        sweep_id = f"{self.sweep_id}-confirmation-{name}"
        self.begin(sweep_id, {}, kind="confirmation", of_sweep=self.sweep_id, started_at=started_at)
        number = 0
        for index, architecture in enumerate(self.architectures):
            for place in places:
                for fold in folds:
                    of_trial = f"t{index * self.num_trials + place}"
                    trial_id = f"{of_trial}c{fold}"
                    about = {"of_trial": of_trial, "fold": fold}
                    self.suggest(
                        sweep_id, trial_id, architecture, number, _parameters(architecture, place), seeds=seeds, **about
                    )
                    skill = _skill(architecture, _parameters(architecture, place)) + (skills or {}).get(architecture, 0)
                    for order, seed in enumerate(seeds):
                        self.train(sweep_id, trial_id, architecture, seed, skill, before=order * EPOCHS)
                        self.complete(sweep_id, trial_id, architecture, seed, skill, fold=fold)
                    number += 1
        return sweep_id

    def begin(self, sweep_id: str, settings: dict[str, Any], **columns: Any) -> None:
        row = {
            "dataset": "esc10-0123",
            "fingerprint": "f" * 16,
            "split_hash": "a" * 16,
            "split_policy": "folds 1-3 train, 4 validation, 5 test",
            "labels": list(LABELS),
            "settings": json.dumps(settings),
            "versions": json.dumps({"python": "3.11.9", "torch": "2.14.1"}),
            "started_at": START,
        }
        self.commit("sweeps", sweep_id, "sweep", [{**row, **columns}])

    def suggest(
        self,
        sweep_id: str,
        trial_id: str,
        architecture: str,
        number: int,
        parameters: dict[str, Any],
        *,
        seeds: Sequence[int],
        **columns: Any,
    ) -> None:
        configuration = {"architecture": architecture, "seeds": list(seeds), "epochs": EPOCHS, "device": "cpu"}
        row = {
            "trial_id": trial_id,
            "number": number,
            "architecture": architecture,
            "parameters": json.dumps(parameters),
            "distributions": json.dumps({name: json.dumps(kind) for name, kind in _SPACE.items()}),
            "configuration": json.dumps({**configuration, "loss": {"kind": "cross_entropy"}}),
            "untuned_default": number % self.num_trials == 0,
        }
        self.commit("suggestions", sweep_id, f"number{number:05d}", [{**row, **columns}])

    def train(
        self,
        sweep_id: str,
        trial_id: str,
        architecture: str,
        seed: int,
        skill: float,
        *,
        before: int = 0,
        epochs: int = EPOCHS,
        ends: Sequence[float] = (),
    ) -> float:
        """One seed's epochs, in one commit; returns its best validation accuracy. Args: ends: of earlier seeds."""
        rng = np.random.default_rng([seed, sum(map(ord, trial_id))])
        curve = skill * (1 - np.exp(-np.arange(1, epochs + 1) / 2.5)) + rng.normal(0, 0.02, epochs)
        best = np.maximum.accumulate(np.clip(curve, 0, 1))
        rows = [
            {
                "trial_id": trial_id,
                "architecture": architecture,
                "seed": seed,
                "epoch": epoch,
                "seed_epoch": before + epoch,
                "objective": float((sum(ends) + best[epoch - 1]) / (len(ends) + 1)),
                "train_loss": float(2.3 * (1 - curve[epoch - 1])),
                "validation_loss": float(2.5 * (1 - 0.9 * curve[epoch - 1])),
                "validation_accuracy": float(np.clip(curve[epoch - 1], 0, 1)),
                "learning_rate": 0.001,
                "epoch_seconds": _SECONDS[architecture] * float(rng.uniform(0.9, 1.1)),
            }
            for epoch in range(1, epochs + 1)
        ]
        self.commit("epochs", sweep_id, f"{trial_id}-seed{seed}-epochs-to{before + epochs}", rows)
        return float(best[-1])

    def complete(
        self, sweep_id: str, trial_id: str, architecture: str, seed: int, skill: float, *, fold: int | None = None
    ) -> None:
        """One seed's end: predictions of all test clips of the fold, and the row of scores that follows from them."""
        true, predicted, given = self.answers(skill, seed=seed, trial_id=trial_id, fold=fold)
        names = [f"clip{(5 if fold is None else fold):d}{clip:03d}" for clip in range(self.num_clips)]
        rows = [
            {
                "trial_id": trial_id,
                "seed": seed,
                "part": "test",
                "clip_id": name,
                "label": int(true[clip]),
                "labels": [int(true[clip])],
                "predicted": int(predicted[clip]),
                "probabilities": given[clip].tolist(),
                "group": f"recording {clip // 2}",
            }
            for clip, name in enumerate(names)
        ]
        self.commit("predictions", sweep_id, f"{trial_id}-seed{seed}", rows)
        confusion = np.zeros((len(LABELS), len(LABELS)), dtype=int)
        np.add.at(confusion, (true, predicted), 1)
        counts = confusion.sum(axis=1)
        recall = np.divide(confusion.diagonal(), counts, where=counts > 0, out=np.full(len(LABELS), np.nan))
        right = float((true == predicted).mean())
        row = {
            "trial_id": trial_id,
            "architecture": architecture,
            "seed": seed,
            "best_epoch": EPOCHS - 1,
            "epochs_trained": EPOCHS,
            "validation_accuracy": skill + 0.004 * (seed % 7 - 3),
            "validation_macro_f1": skill,
            "test_accuracy": right,
            "test_macro_f1": right,
            "test_auc": 0.5 + right / 2,
            "test_recall": recall.tolist(),
            "test_confusion": confusion.tolist(),
            "train_seconds": EPOCHS * _SECONDS[architecture],
            "num_parameters": 123_456,
            "device": "cpu",
        }
        self.commit("seeds", sweep_id, f"{trial_id}-seed{seed}", [row])

    def answers(
        self, skill: float, *, seed: int, trial_id: str, fold: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(true, predicted, probabilities) of a model; clips are as hard for one as for another, classes differ."""
        clips = np.random.default_rng(5 if fold is None else fold)
        true = clips.integers(0, len(LABELS), self.num_clips)
        hard = clips.uniform(0, 1, self.num_clips) * np.linspace(0.7, 1.3, len(LABELS))[true]
        own = np.random.default_rng([seed, sum(map(ord, trial_id))])
        is_right = hard + own.normal(0, 0.12, self.num_clips) < skill
        predicted = np.where(is_right, true, (true + own.integers(1, len(LABELS), self.num_clips)) % len(LABELS))
        given = np.full((self.num_clips, len(LABELS)), 0.3 / (len(LABELS) - 1))
        given[np.arange(self.num_clips), predicted] = 0.7
        return true, predicted, given

    def commit(self, table: str, sweep_id: str, commit: str, rows: Sequence[dict[str, Any]]) -> None:
        left_out = {column.name: None for column in TABLES[table] if column.nullable}
        whole = [{**left_out, "sweep_id": sweep_id, **row} for row in rows]
        assert self.results.commit(table, sweep_id=sweep_id, commit=commit, rows=whole)

    def _trial(self, architecture: str, place: int, rng: np.random.Generator) -> None:
        number, trial_id, parameters = self._number, f"t{self._number}", _parameters(architecture, place)
        self._number += 1
        self.suggest(self.sweep_id, trial_id, architecture, number, parameters, seeds=self.seeds)
        fate = "finished" if place in (0, 1, 4) else "failed" if place == 6 else "stopped"
        skill = _skill(architecture, parameters) - 0.15 * (fate == "stopped")
        at_rung = int(rng.choice([GRACE, EPOCHS])) if fate == "stopped" else GRACE - 1
        turns = [(seed, EPOCHS) for seed in self.seeds] if fate == "finished" else [(self.seeds[0], at_rung)]
        best: list[float] = []
        for order, (seed, epochs) in enumerate(turns):
            self._decide(trial_id, seed, before=order * EPOCHS, until=order * EPOCHS + epochs)
            before = order * EPOCHS
            end = self.train(
                self.sweep_id, trial_id, architecture, seed, skill, before=before, epochs=epochs, ends=tuple(best)
            )
            best.append(end)
            if fate == "finished":
                self.complete(self.sweep_id, trial_id, architecture, seed, skill)
        if fate == "failed":
            self._fail(trial_id, number)
        row = {"trial_id": trial_id, "number": number, "architecture": architecture, "state": fate}
        spent = {"seed_epochs": sum(epochs for _, epochs in turns), "objective": float(np.mean(best))}
        self.commit(
            "trials", self.sweep_id, trial_id, [{**row, **spent, "ended_at": START + timedelta(minutes=3 + number)}]
        )

    def _decide(self, trial_id: str, seed: int, *, before: int, until: int) -> None:
        """An adaptive sweep's decisions: a first look, then the rest."""
        if self.scheduler != "adaptive":
            return
        looks = [before + GRACE, until] if until > before + GRACE else [until]
        for look in looks:
            row = {"decision": self._decision, "trial_id": trial_id, "seed": seed, "until": look, "decided_at": START}
            rate = None if self._decision < 3 else 0.01 / (1 + self._decision)
            self.commit("decisions", self.sweep_id, f"decision{self._decision:06d}", [{**row, "rate": rate}])
            self._decision += 1

    def _fail(self, trial_id: str, number: int) -> None:
        reason = ("out of memory", "the loss was not finite", "out of memory")[number % 3]
        row = {"trial_id": trial_id, "failure_id": trial_id, "reason": reason, "detail": "CUDA error: out of memory"}
        self.commit("failures", self.sweep_id, f"{trial_id}-0", [{**row, "failed_at": START}])


def _parameters(architecture: str, place: int) -> dict[str, Any]:
    rng = np.random.default_rng([len(architecture), place])
    return {
        "optimizer.learning_rate": 0.002 if place == 0 else float(5e-4 * 10 ** rng.uniform(0, 1)),
        "model.dropout": 0.3 if place == 0 else float(rng.uniform(0, 0.5)),
        "batch_size": 16 if place == 0 else int(rng.choice([16, 32, 64])),
    }


def _skill(architecture: str, parameters: dict[str, Any]) -> float:
    """Depends on the learning rate, and on dropout a little."""
    off = abs(np.log10(parameters["optimizer.learning_rate"] / 0.0015))
    return float(_SKILL[architecture] - 0.25 * off - 0.05 * abs(parameters["model.dropout"] - 0.2))
