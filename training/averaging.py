"""Averages of a model's weights over steps (EMA) or over its last epochs (SWA), by torch's own AveragedModel.

Enters: a model while it trains. Leaves: the model that is scored.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.recipe import LoopConfig


class WeightAverage:
    """The weights that are scored: the model's own, or an average of them.

    EMA averages after every step, buffers of BatchNorm too: it begins as the weights after the first step, and after
    step t + 1 it keeps min(ema_decay, (1 + t) / (10 + t)) of what it was, as TensorFlow's ExponentialMovingAverage has
    it; with the full decay from the beginning, a short run would be scored by weights of its first steps. SWA
    (arXiv:1803.05407) averages after each of the last `swa_epochs` epochs and then needs BatchNorm's statistics anew,
    from a pass over the train part.
    """

    def __init__(self, model: nn.Module, config: LoopConfig, *, epochs: int) -> None:
        self._model, self._config, self._first_swa_epoch = model, config, epochs - config.swa_epochs + 1
        self._averaged: AveragedModel | None = None
        if config.ema_decay:
            self._averaged = AveragedModel(model, use_buffers=True)
        elif config.swa_epochs:
            self._averaged = AveragedModel(model)

    def after_step(self) -> None:
        if self._averaged is not None and self._config.ema_decay:
            num_steps = int(self._averaged.n_averaged)  # on the CPU, whatever the device
            decay = min(self._config.ema_decay, (1 + num_steps) / (10 + num_steps))
            self._averaged.multi_avg_fn = get_ema_multi_avg_fn(decay)
            self._averaged.update_parameters(self._model)

    def after_epoch(
        self, epoch: int, inputs: Iterable[torch.Tensor], *, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        """Args: epoch: counted from 1; inputs: batches of the train part, undisturbed, for BatchNorm."""
        if self._averaged is not None and self._config.swa_epochs and epoch >= self._first_swa_epoch:
            self._averaged.update_parameters(self._model)
            frozen = {name for name, module in _norms(self._model) if not module.training}
            with autocast():
                _measure_statistics(self._averaged.module, inputs, frozen=frozen)

    def scored(self, epoch: int) -> nn.Module:
        """The model to score after `epoch` epochs."""
        averages = self._averaged is not None and (self._config.ema_decay > 0 or epoch >= self._first_swa_epoch)
        return self._averaged.module if averages and self._averaged is not None else self._model

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Empty without an average."""
        return {} if self._averaged is None else dict(self._averaged.state_dict())

    def load_state_dict(self, tensors: dict[str, torch.Tensor]) -> None:
        if self._averaged is not None:
            self._averaged.load_state_dict(tensors)


def _norms(model: nn.Module) -> list[tuple[str, _BatchNorm]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


def _measure_statistics(model: nn.Module, inputs: Iterable[torch.Tensor], *, frozen: Collection[str]) -> None:
    """Mean and variance of every BatchNorm but the frozen ones, over all inputs; leaves the model in evaluation mode.

    torch's `update_bn` would measure those of a frozen backbone anew, too, and so change what is frozen.
    """
    norms = [norm for name, norm in _norms(model) if name not in frozen]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    num_clips = 0
    with torch.no_grad():
        for batch in inputs if norms else ():
            num_clips += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / num_clips  # a mean in which every clip weighs the same
            model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
