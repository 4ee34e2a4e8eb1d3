"""Learning rates: a factor per step for cosine and constant, torch's ReduceLROnPlateau per epoch for plateau."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from training.config import TrialConfig


class Schedule:
    """Drives the optimizer's learning rate; its state is JSON."""

    def __init__(self, optimizer: torch.optim.Optimizer, config: TrialConfig, *, steps_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._per_step: LambdaLR | None = None
        self._per_epoch: ReduceLROnPlateau | None = None
        if config.schedule == "plateau":
            self._per_epoch = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=config.plateau_patience)
        else:
            warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
            cosine = config.schedule == "cosine"
            self._per_step = LambdaLR(optimizer, lambda step: _factor(step, warmup, total, cosine=cosine))

    @property
    def learning_rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        if self._per_step is not None:
            self._per_step.step()

    def after_epoch(self, validation_loss: float) -> None:
        if self._per_epoch is not None:
            self._per_epoch.step(validation_loss)

    def state(self) -> dict[str, object]:
        scheduler = self._per_step or self._per_epoch
        assert scheduler is not None
        return {key: value for key, value in scheduler.state_dict().items() if key != "lr_lambdas"}

    def load(self, state: dict[str, object]) -> None:
        scheduler = self._per_step or self._per_epoch
        assert scheduler is not None
        scheduler.load_state_dict({**state, "lr_lambdas": [None]} if self._per_step else dict(state))


def _factor(step: int, warmup: int, total: int, *, cosine: bool) -> float:
    if step < warmup:
        return (step + 1) / warmup
    if not cosine:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
