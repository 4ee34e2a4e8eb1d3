"""How far a seed has come: JSON that a checkpoint keeps beside its tensors."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """One finished epoch, counted from 1.

    Attributes:
        train_loss, validation_loss: in nats; the first of disturbed batches.
        validation_accuracy: in [0, 1].
        validation_score: what epochs are chosen by, in [0, 1]: accuracy, or macro ROC-AUC where a clip may have several
            labels.
        learning_rate: of the last step.
        epoch_seconds: of its training and its validation, since it was last taken up.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_score: float
    learning_rate: float
    epoch_seconds: float


@dataclass(slots=True)
class Progress:
    """Attributes:
    epoch: finished ones.
    step, loss_sum: of the epoch at hand: its steps so far, and the loss summed over their clips.
    best_epoch, best_score, best_loss: of the epoch that is best on validation; 0, and worse than any, at first.
    history: of every finished epoch.
    events: what a reader of the numbers should know.
    failure: why the seed ended before its last epoch; empty for a healthy one.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    best_score: float = -1.0
    best_loss: float = math.inf
    train_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    failure: str = ""

    def finish_epoch(self, metrics: EpochMetrics, *, select_by: Literal["score", "loss"]) -> bool:
        """Notes a finished epoch and tells whether it is the best one so far."""
        self.epoch, self.step, self.loss_sum = metrics.epoch, 0, 0.0
        self.train_seconds += metrics.epoch_seconds
        self.history.append(dataclasses.asdict(metrics))
        now = _rank(metrics.validation_score, metrics.validation_loss, select_by)
        if now <= _rank(self.best_score, self.best_loss, select_by):
            return False
        self.best_epoch = metrics.epoch
        self.best_score, self.best_loss = metrics.validation_score, metrics.validation_loss
        return True

    def best_score_after(self, epoch: int, *, select_by: Literal["score", "loss"]) -> float:
        """Validation score of the epoch that was the best one when `epoch` was finished."""
        scored = [(values["validation_score"], values["validation_loss"]) for values in self.history[:epoch]]
        return max(scored, key=lambda pair: _rank(pair[0], pair[1], select_by))[0]

    def has_waited(self, patience: int) -> bool:
        """Whether so many epochs brought nothing better; never for 0."""
        return patience > 0 and self.epoch - self.best_epoch >= patience

    def note(self, event: str) -> None:
        self.events.append(f"epoch {self.epoch + 1}: {event}")

    def metrics(self) -> list[EpochMetrics]:
        return [EpochMetrics(**values) for values in self.history]  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def load(self, values: Mapping[str, Any]) -> None:
        """Takes the place of everything noted; the object stays the same one."""
        for name, value in values.items():
            setattr(self, name, value)


def _rank(score: float, loss: float, select_by: Literal["score", "loss"]) -> tuple[float, float]:
    """Higher is better. Ties in accuracy are frequent on small validation parts; the lower loss decides them."""
    return (score, -loss) if select_by == "score" else (-loss, score)
