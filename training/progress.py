"""How far a seed has come: JSON that a checkpoint keeps beside its tensors."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.recipe import LoopConfig, SelectBy


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """One finished epoch, counted from 1.

    Attributes:
        train_loss, validation_loss: in nats; the first of disturbed batches.
        validation_accuracy: in [0, 1].
        validation_score: what epochs are chosen by, in [0, 1]: accuracy, or macro ROC-AUC where a clip may have several
            labels.
        validation_kl: mean Kullback-Leibler divergence in nats; NaN of an epoch from before it was kept.
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
    validation_kl: float = math.nan


@dataclass(slots=True)
class Progress:
    """Attributes:
    epoch: finished ones.
    step, loss_sum: of the epoch at hand: its steps so far, and the loss summed over their clips.
    best_epoch, best_score, best_loss, best_kl: of the epoch that is best on validation; 0, and worse than any, at
        first.
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
    best_kl: float = math.inf
    train_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    failure: str = ""

    def finish_epoch(self, metrics: EpochMetrics, *, select_by: SelectBy) -> bool:
        """Notes a finished epoch and tells whether it is the best one so far."""
        self.epoch, self.step, self.loss_sum = metrics.epoch, 0, 0.0
        self.train_seconds += metrics.epoch_seconds
        self.history.append(dataclasses.asdict(metrics))
        if _rank(metrics, select_by) <= _RANKS[select_by](self.best_score, self.best_loss, self.best_kl):
            return False
        self.best_epoch = metrics.epoch
        self.best_score, self.best_loss = metrics.validation_score, metrics.validation_loss
        self.best_kl = metrics.validation_kl
        return True

    def best_score_after(self, epoch: int, *, select_by: SelectBy) -> float:
        """Validation score of the epoch that was the best one when `epoch` was finished."""
        return max(self.metrics()[:epoch], key=lambda metrics: _rank(metrics, select_by)).validation_score

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


# From score, loss and KL divergence to what is higher for the better epoch. Ties in accuracy are frequent on small
# validation parts; the lower loss decides them.
_RANKS: Mapping[SelectBy, Callable[[float, float, float], tuple[float, float]]] = {
    "score": lambda score, loss, kl: (score, -loss),
    "loss": lambda score, loss, kl: (-loss, score),
    "kl": lambda score, loss, kl: (-kl, score),
}


def _rank(metrics: EpochMetrics, select_by: SelectBy) -> tuple[float, float]:
    return _RANKS[select_by](metrics.validation_score, metrics.validation_loss, metrics.validation_kl)


def swa_events(loop: LoopConfig, *, epochs: int, epochs_trained: int, best_epoch: int) -> tuple[str, ...]:
    """What a reader should know where the weights that were scored are no average though the recipe averages some.

    Args:
        epochs: of the recipe; its last `loop.swa_epochs` are averaged.
    """
    num_plain = epochs - loop.swa_epochs
    if not loop.swa_epochs or best_epoch > num_plain:
        return ()
    if epochs_trained <= num_plain:
        reason = (
            f"early stopping ended the seed after epoch {epochs_trained}, before SWA began in epoch {num_plain + 1}"
        )
    else:
        reason = f"epoch {best_epoch} was better on validation than every average since epoch {num_plain + 1}"
    return (f"the weights are those of epoch {best_epoch} and no average (SWA): {reason}",)
