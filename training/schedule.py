"""Learning rates: a factor that follows from the step alone, or torch's ReduceLROnPlateau once an epoch.

The last epochs, whose weights are averaged (SWA), may have a constant rate of their own, whatever came before.
"""

import math

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.recipe import ScheduleConfig

# Of "Super-Convergence" (arXiv:1708.07120) as torch's OneCycleLR has them: rise for three tenths of the way, from a
# twenty-fifth of the peak, and end at a ten-thousandth of where it began.
_ONE_CYCLE_RISE, _ONE_CYCLE_START, _ONE_CYCLE_END = 0.3, 1 / 25, 1e-4 / 25
_ONE_CYCLE_MOMENTUM = 0.95, 0.85  # at both ends, and at the peak of the rate; Adam's first beta


class Schedule:
    """Drives the learning rates of all groups of an optimizer, with one cycle also their momenta; its state is JSON.

    Args:
        swa_epochs: the last of `epochs`, which have the rate `swa_learning_rate`; 0 for none. There is no annealing
            towards it (torch's SWALR has it; the paper has not): it would begin where a plateau happens to stand, and
            the rate of a step would no longer follow from the step.
        swa_learning_rate: of the group with the highest rate; the others keep their shares of it. 0 for the schedule's
            own rates.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        config: ScheduleConfig,
        *,
        steps_per_epoch: int,
        epochs: int,
        swa_epochs: int = 0,
        swa_learning_rate: float = 0.0,
    ) -> None:
        self._optimizer, self._config = optimizer, config
        self._swa_learning_rate = swa_learning_rate
        self._first_swa_step = (epochs - swa_epochs) * steps_per_epoch
        self._warmup, self._total = round(config.warmup_epochs * steps_per_epoch), epochs * steps_per_epoch
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._plateau: ReduceLROnPlateau | None = None
        if config.kind == "plateau":
            self._plateau = ReduceLROnPlateau(
                optimizer, mode="min", factor=config.plateau_factor, patience=config.plateau_patience
            )
        self.before_step(0)

    @property
    def learning_rate(self) -> float:
        """Of the last group, which holds the head."""
        return float(self._optimizer.param_groups[-1]["lr"])

    def before_step(self, step: int) -> None:
        """Sets the rates of step 0, 1, 2 …; a plateau keeps its own once the warm-up is over."""
        if self._swa_learning_rate and step >= self._first_swa_step:
            self._set(self._swa_learning_rate / max(self._peaks))
            return
        if self._plateau is not None and step >= max(1, self._warmup):
            if step == self._warmup:
                self._set(1.0)
            return
        self._set(self._factor(step))
        if self._config.kind == "one_cycle":
            self._set_momentum(_one_cycle_momentum(step / max(1, self._total - 1)))

    def after_epoch(self, validation_loss: float) -> None:
        if self._plateau is not None:
            self._plateau.step(validation_loss)

    def state(self) -> dict[str, object]:
        plateau = None if self._plateau is None else dict(self._plateau.state_dict())
        return {"rates": [group["lr"] for group in self._optimizer.param_groups], "plateau": plateau}

    def load(self, state: dict[str, object]) -> None:
        for group, rate in zip(self._optimizer.param_groups, state["rates"], strict=True):  # type: ignore[call-overload]
            group["lr"] = rate
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])  # type: ignore[arg-type]

    def _set(self, factor: float) -> None:
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def _set_momentum(self, momentum: float) -> None:
        for group in self._optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif group["momentum"]:  # SGD without any keeps to it
                group["momentum"] = momentum

    def _factor(self, step: int) -> float:
        if self._config.kind == "one_cycle":
            return _one_cycle(step / max(1, self._total - 1))
        if step < self._warmup:
            return (step + 1) / self._warmup
        if self._config.kind != "cosine":
            return 1.0
        return _cosine(1.0, 0.0, min(1.0, (step - self._warmup) / max(1, self._total - self._warmup)))


def _one_cycle(way: float) -> float:
    if way < _ONE_CYCLE_RISE:
        return _cosine(_ONE_CYCLE_START, 1.0, way / _ONE_CYCLE_RISE)
    return _cosine(1.0, _ONE_CYCLE_END, (way - _ONE_CYCLE_RISE) / (1 - _ONE_CYCLE_RISE))


def _one_cycle_momentum(way: float) -> float:
    most, least = _ONE_CYCLE_MOMENTUM
    if way < _ONE_CYCLE_RISE:
        return _cosine(most, least, way / _ONE_CYCLE_RISE)
    return _cosine(least, most, (way - _ONE_CYCLE_RISE) / (1 - _ONE_CYCLE_RISE))


def _cosine(start: float, end: float, way: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * way))
