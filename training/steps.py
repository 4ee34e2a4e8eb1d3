"""One optimizer step: batches forward and backward, in smaller pieces where memory ran out.

Enters: prepared batches. Leaves: changed weights and the loss, still on the device, so that nothing waits for it.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.config import TrialConfig
from training.losses import Loss
from training.optimizer import clip_gradients

Batch = tuple[torch.Tensor, torch.Tensor]  # inputs (B, C, M, T), targets (B, L)
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_ANOMALY = re.compile(r"Function '(\w+)' returned nan values")  # what torch's anomaly mode says


class OutOfMemory(Exception):
    """What a trial cannot do without does not fit into the device's memory."""


class TrainingFailed(Exception):
    """The loss, a gradient or the output became NaN or infinite; training on would waste the device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LazyBatch:
    """A batch that is made when it is called, the same one every time.

    Attributes:
        num_clips: how many it has.
    """

    make: Callable[[], Batch]
    num_clips: int

    def __call__(self) -> Batch:
        return self.make()


class Stepper:
    """Takes steps; keeps in how many pieces a batch has to be computed, which is part of a checkpoint.

    A step that ran out of memory is computed anew in smaller pieces. BatchNorm then sees each piece by itself, so its
    statistics are noisier; those of that one step also keep what the attempt before had moved them by.

    Attributes:
        num_pieces: a power of two, 1 at first.
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

    def step(self, batches: Sequence[LazyBatch]) -> torch.Tensor:
        """One step over the mean gradient of all clips of some batches.

        Returns:
            The loss, summed over all clips: a scalar on the device.

        Raises:
            OutOfMemory: even in the smallest pieces, or for the optimizer's state.
            TrainingFailed: a gradient is NaN, as anomaly mode tells.
        """
        while True:
            try:
                total = self._gradients(batches)
                break
            except torch.OutOfMemoryError as e:
                self._hold_divisible(e)
                self.num_pieces *= 2
            except RuntimeError as e:
                anomaly = _ANOMALY.search(str(e))
                if anomaly is None:
                    raise
                raise TrainingFailed(f"the gradient of {anomaly[1]} is NaN") from e
            # Outside of the except block, where the traceback would still hold the tensors.
            self._on_event(f"out of memory: batches are now computed in {self.num_pieces} pieces")
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        self._move()
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

    def _gradients(self, batches: Sequence[LazyBatch]) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        num_clips = sum(batch.num_clips for batch in batches)
        for make in batches:
            for x_BCMT, targets_BL in self._pieces(*make()):
                with self.autocast():
                    logits_BL = self._model(x_BCMT)
                loss = self._loss(logits_BL.float(), targets_BL)
                self._scaler.scale(loss * (len(x_BCMT) / num_clips)).backward()
                total += loss.detach() * len(x_BCMT)
        return total

    def _move(self) -> None:
        if self._config.optimizer.clip_norm:
            self._scaler.unscale_(self._optimizer)
            clip_gradients(self._trained, self._config.optimizer)
        with told_as_out_of_memory(f"the state of {self._config.optimizer.kind}", self._device):
            self._scaler.step(self._optimizer)  # the first step makes that state
        self._scaler.update()

    def _pieces(self, inputs: torch.Tensor, targets: torch.Tensor) -> list[Batch]:
        """As equal as they can be, so that none has a single clip where BatchNorm trains."""
        if self.num_pieces == 1:
            return [(inputs, targets)]
        num_pieces = min(self.num_pieces, max(1, len(inputs) // self._least_clips()))
        return list(zip(inputs.tensor_split(num_pieces), targets.tensor_split(num_pieces), strict=True))

    def _hold_divisible(self, error: torch.OutOfMemoryError) -> None:
        least = self._least_clips()
        if self.num_pieces >= self._config.batch_size // least:
            clips = "one clip" if least == 1 else "a batch of two clips, the fewest that BatchNorm trains on,"
            raise _out_of_memory(clips, self._device) from error

    def _least_clips(self) -> int:
        """BatchNorm behind a pooling has one value a clip, and one value has no variance."""
        return 2 if any(isinstance(module, _BatchNorm) and module.training for module in self._model.modules()) else 1


@contextlib.contextmanager
def told_as_out_of_memory(what: str, device: torch.device) -> Iterator[None]:
    """For what cannot be computed in pieces.

    Raises:
        OutOfMemory: in the place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as e:
        raise _out_of_memory(what, device) from e


def _out_of_memory(what: str, device: torch.device) -> OutOfMemory:
    return OutOfMemory(
        f"{what} needs more memory than {device} has left. Use a smaller model, smaller inputs, optimizer.kind=sgd, "
        "fewer trials on one GPU, or another GPU."
    )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Where a model is called in a precision: `fp32`, `bf16` or `fp16`."""
    dtype = _AUTOCAST.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
