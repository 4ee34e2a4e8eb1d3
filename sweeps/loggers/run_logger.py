"""What a log of a run owes, and the names under which numbers stand in it.

Enters: a run's configuration, its epochs and its seeds' results, as `training` gives them. Leaves: whatever a logger
makes of them outside of the results table.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from training.progress import EpochMetrics

RunState = Literal["finished", "stopped", "failed"]

# Of an epoch; the part before the slash is a group of curves in what people look at.
_EPOCH_NAMES: Mapping[str, str] = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_accuracy": "validation/accuracy",
    "validation_score": "validation/score",
    "validation_kl": "validation/kl",
    "learning_rate": "learning_rate",
    "epoch_seconds": "epoch_seconds",
}
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._=-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """What a log is about.

    Attributes:
        run_id: the same for a run that is taken up again, another one for any other run: a trial's id.
        name: what people call it.
        group: what it belongs to: the sweep, or the experiment.
        configuration: everything that was asked for, as JSON has it.
        hyperparameters: values of the configuration by which the runs of a group are told apart; empty where nothing is
            compared.
    """

    run_id: str
    name: str
    group: str
    configuration: Mapping[str, Any]
    hyperparameters: Mapping[str, float | int | bool | str] = field(default_factory=dict)


class PartScores(Protocol):
    """How a part was answered: as of `training.metrics.Evaluation`, whose `scores` these are."""

    @property
    def loss(self) -> float: ...

    @property
    def scores(self) -> Mapping[str, float | None]: ...


class EndedSeed(Protocol):
    """What logs have to know of a seed that is trained to its end; a `training.SeedResult` is one."""

    @property
    def seed(self) -> int: ...

    @property
    def best_epoch(self) -> int: ...

    @property
    def epochs_trained(self) -> int: ...

    @property
    def train_seconds(self) -> float: ...

    @property
    def validation(self) -> PartScores: ...

    @property
    def test(self) -> PartScores: ...


class RunLogger(Protocol):
    """Hears of one run, from one thread of one process.

    An implementer owes: everything told is readable elsewhere when the call returns, or is sent by itself; a thing that
    is told again, by this process or by one that takes the run up, stands there once; between two runs nothing is kept.
    Several seeds and folds may be told in turns. It may raise anything; `opening.Forgiving` sees to it that a training
    goes on. `end` is called once, and not at all when the process is killed.
    """

    def start(self, run: RunInfo) -> None:
        """Before anything else; again in every process that takes the run up."""
        ...

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        """An epoch of a seed is finished. `fold` is None for a run without cross-validation."""
        ...

    def seed(self, *, fold: int | None, result: EndedSeed) -> None:
        """A seed is trained to its end; may come before its last epoch is told."""
        ...

    def end(self, state: RunState) -> None:
        """Nothing more comes. `state` is that of the run; `curve_state` tells that of each seed and fold."""
        ...


def curve_id(seed: int, fold: int | None) -> str:
    """The name of one seed of one fold: `seed=42`, `fold=1,seed=42`."""
    return f"seed={seed}" if fold is None else f"fold={fold},seed={seed}"


def curve_state(state: RunState, *, is_trained: bool) -> RunState:
    """How one seed of one fold ended in a run that ended as `state`.

    A seed that was told as trained has finished, whatever became of the others; one that was not, in a run that
    finished, has failed, as runs go on without a fold that fails.
    """
    if is_trained:
        return "finished"
    return "failed" if state == "finished" else state


def epoch_scalars(metrics: EpochMetrics) -> dict[str, float]:
    """Name → number of an epoch; `epoch` itself is the step. What an earlier version did not keep stays out."""
    values = {name: float(value) for name, value in dataclasses.asdict(metrics).items()}
    if math.isnan(values["validation_kl"]):
        del values["validation_kl"]
    return {name: values[field] for field, name in _EPOCH_NAMES.items() if field in values}


def final_scalars(result: EndedSeed) -> dict[str, float]:
    """Name → number of a seed's end, of the epoch that was best on validation; scores that are not defined stay out."""
    parts = {"validation": result.validation, "test": result.test}
    scores = {f"final/{part}/{name}": value for part, of in parts.items() for name, value in of.scores.items()}
    losses = {f"final/{part}/loss": of.loss for part, of in parts.items()}
    numbers = {**scores, **losses, "final/best_epoch": result.best_epoch, "final/train_seconds": result.train_seconds}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def flat(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names with dots between them: `optimizer.learning_rate`."""
    found: dict[str, Any] = {}
    for name, value in configuration.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def safe(name: str) -> str:
    """A name that folders and servers take."""
    return _NOT_IN_A_NAME.sub("_", name) or "_"
