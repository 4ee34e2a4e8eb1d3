"""One optimizer step: batches forward and backward, in smaller pieces where memory ran out.

Enters: prepared batches. Leaves: changed weights and the loss, still on the device, so that nothing waits for it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from training.config import TrialConfig
from training.losses import Loss
from training.optimizer import clip_gradients

Batch = tuple[torch.Tensor, torch.Tensor]  # inputs (B, C, M, T), targets (B, L)
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class OutOfMemory(Exception):
    """Not even a single clip fits into the device's memory."""


class Stepper:
    """Takes steps; keeps in how many pieces a batch has to be computed, which is part of a checkpoint.

    Attributes:
        num_pieces: a power of two, 1 at first. BatchNorm sees each piece by itself, so its statistics are noisier then.
    """

    def __init__(
        self,
        config: TrialConfig,
        model: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        on_event: Callable[[str], None] = lambda event: None,
    ) -> None:
        self._config, self._model, self._loss, self._optimizer = config, model, loss, optimizer
        self._device, self._on_event = device, on_event
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.precision_resolved == "fp16")
        self._trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.num_pieces = 1

    def step(self, batches: Sequence[Callable[[], Batch]]) -> torch.Tensor:
        """One step over the mean gradient of some batches.

        Args:
            batches: each makes its batch, the same one whenever it is called.

        Returns:
            The loss, summed over all clips: a scalar on the device.

        Raises:
            OutOfMemory: even in pieces of one clip.
        """
        while True:
            try:
                total = self._gradients(batches)
                break
            except torch.OutOfMemoryError as e:
                if self.num_pieces >= self._config.batch_size:
                    raise OutOfMemory(f"one clip needs more memory than {self._device} has left") from e
                self.num_pieces *= 2
            # Outside of the except block, where the traceback would still hold the tensors.
            self._on_event(f"out of memory: batches are now computed in {self.num_pieces} pieces")
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        if self._config.optimizer.clip_norm:
            self._scaler.unscale_(self._optimizer)
            clip_gradients(self._trained, self._config.optimizer)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return total

    def autocast(self) -> AbstractContextManager[Any]:
        """Where the model is called."""
        return autocast(self._config.precision_resolved, self._device)

    def state(self) -> dict[str, Any]:
        """JSON."""
        return {"num_pieces": self.num_pieces, "scaler": dict(self._scaler.state_dict())}

    def load(self, state: dict[str, Any]) -> None:
        self.num_pieces = state["num_pieces"]
        self._scaler.load_state_dict(state["scaler"])

    def _gradients(self, batches: Sequence[Callable[[], Batch]]) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        for make in batches:
            inputs, targets = make()
            for x_BCMT, targets_BL in _pieces(inputs, targets, self.num_pieces):
                with self.autocast():
                    logits_BL = self._model(x_BCMT)
                loss = self._loss(logits_BL.float(), targets_BL)
                share = len(x_BCMT) / (len(inputs) * len(batches))
                self._scaler.scale(loss * share).backward()
                total += loss.detach() * len(x_BCMT)
        return total


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Where a model is called in a precision: `fp32`, `bf16` or `fp16`."""
    dtype = _AUTOCAST.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def _pieces(inputs: torch.Tensor, targets: torch.Tensor, num_pieces: int) -> list[Batch]:
    if num_pieces == 1:
        return [(inputs, targets)]
    size = max(1, -(-len(inputs) // num_pieces))
    return list(zip(inputs.split(size), targets.split(size), strict=True))
