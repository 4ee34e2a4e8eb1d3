"""One seed of a trial: a model that trains epoch by epoch, can be put down after any epoch and taken up exactly.

Enters: a configuration, a seed, the data on its device. Leaves: epochs of metrics, checkpoints, and at the end a
`SeedResult` with the best epoch's predictions on validation and test.
"""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from models import create_model
from storage.checkpoints import Checkpoint
from storage.identity import derive_seed
from storage.split import Part
from training.augment import augment
from training.config import TrialConfig
from training.data import DevicePart
from training.metrics import Evaluation, evaluate
from training.schedule import Schedule

_EVALUATION_BATCH = 256


class TrainingFailed(Exception):
    """The loss or the output became NaN or infinite; training on would waste the device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """One finished epoch, counted from 1. Losses in nats, accuracies in [0, 1], learning rate of the last step."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    epoch_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """A seed trained to its end, scored with the weights of the epoch that was best on validation."""

    seed: int
    best_epoch: int
    epochs_trained: int
    validation: Evaluation
    test: Evaluation
    train_seconds: float
    num_parameters: int
    device: str


@dataclass(slots=True)
class _Progress:
    """What the checkpoint keeps besides tensors; all of it is JSON."""

    epoch: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    train_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class SeedRun:
    """Holds the model, the optimizer, the schedule and every random state of one seed.

    The order of clips, the augmentation and (through the global generator, which dropout cannot do without) dropout
    follow from (trial, seed) alone. Callers run it inside `torch.random.fork_rng`.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        seed: int,
        num_labels: int,
        parts: dict[Part, DevicePart],
        device: torch.device,
    ) -> None:
        self.config, self.seed, self.device, self._parts = config, seed, device, parts
        base = derive_seed(config.trial_id, seed)
        model = create_model(
            config.architecture, num_classes=num_labels, in_channels=1, seed=base % 2**31, options=config.model
        )
        self.model = model.to(device)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._num_batches = math.ceil(len(parts["train"].targets) / config.batch_size)
        self._schedule = Schedule(self._optimizer, config, steps_per_epoch=self._num_batches)
        self._generator = torch.Generator().manual_seed(base)
        torch.manual_seed(base)
        self._best_weights: dict[str, torch.Tensor] = {}
        self._progress = _Progress()

    @property
    def finished(self) -> bool:
        patience = self.config.early_stopping_patience
        waited = self._progress.epoch - self._progress.best_epoch
        return self._progress.epoch >= self.config.epochs or (patience > 0 and waited >= patience)

    @property
    def best_accuracy(self) -> float:
        """Best validation accuracy so far."""
        return self._progress.best_accuracy

    @property
    def history(self) -> list[EpochMetrics]:
        return [EpochMetrics(**metrics) for metrics in self._progress.history]  # type: ignore[arg-type]

    def train_epoch(self) -> EpochMetrics:
        """Trains one epoch and validates it.

        Raises:
            TrainingFailed: the loss is not finite.
        """
        started = time.perf_counter()
        train_loss, learning_rate = self._train_batches()
        validation = self.evaluate("validation")
        self._schedule.after_epoch(validation.loss)
        seconds = time.perf_counter() - started
        metrics = EpochMetrics(
            epoch=self._progress.epoch + 1,
            train_loss=train_loss,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            learning_rate=learning_rate,
            epoch_seconds=seconds,
        )
        self._keep(metrics)
        return metrics

    def evaluate(self, part: Part) -> Evaluation:
        """Scores the current weights on a part.

        Raises:
            TrainingFailed: the model's output is not finite.
        """
        data = self._parts[part]
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            logits = [self.model(batch) for batch in data.inputs.split(_EVALUATION_BATCH)]
        probabilities = torch.cat(logits).float().softmax(dim=1).cpu().numpy()
        if not np.isfinite(probabilities).all():
            raise TrainingFailed(f"the model's output on {part} is not finite after epoch {self._progress.epoch + 1}")
        return evaluate(clip_ids=data.clip_ids, targets=data.targets.cpu().numpy(), probabilities=probabilities)

    def result(self) -> SeedResult:
        """Scores validation and test with the best epoch's weights; leaves those weights in the model."""
        self.model.load_state_dict(self._best_weights)
        return SeedResult(
            seed=self.seed,
            best_epoch=self._progress.best_epoch,
            epochs_trained=self._progress.epoch,
            validation=self.evaluate("validation"),
            test=self.evaluate("test"),
            train_seconds=self._progress.train_seconds,
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            device=_device_name(self.device),
        )

    def checkpoint(self) -> Checkpoint:
        """Everything that the next epoch depends on."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self._best_weights.items()}
        for index, slots in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in slots.items()}
        tensors["rng.generator"] = self._generator.get_state()
        tensors["rng.global"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        learning_rates = [group["lr"] for group in self._optimizer.param_groups]
        state = {
            "progress": {name: getattr(self._progress, name) for name in _Progress.__slots__},
            "schedule": self._schedule.state(),
            "learning_rates": learning_rates,
        }
        return Checkpoint(epoch=self._progress.epoch, tensors=tensors, state=state)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up where `checkpoint` was made: the epochs that follow equal those of an undisturbed run."""
        named = _by_prefix(checkpoint.tensors)
        self.model.load_state_dict(named["model"])
        self._best_weights = {name: tensor.to(self.device) for name, tensor in named.get("best", {}).items()}
        state = self._optimizer.state_dict()
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in named.get("optimizer", {}).items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        self._optimizer.load_state_dict({**state, "state": slots})
        self._schedule.load(checkpoint.state["schedule"])
        for group, learning_rate in zip(self._optimizer.param_groups, checkpoint.state["learning_rates"], strict=True):
            group["lr"] = learning_rate
        self._generator.set_state(named["rng"]["generator"])
        torch.set_rng_state(named["rng"]["global"])
        if self.device.type == "cuda" and "cuda" in named["rng"]:
            torch.cuda.set_rng_state(named["rng"]["cuda"], self.device)
        self._progress = _Progress(**checkpoint.state["progress"])

    def _train_batches(self) -> tuple[float, float]:
        data = self._parts["train"]
        order = torch.randperm(len(data.targets), generator=self._generator).to(self.device)
        self.model.train()
        total = torch.zeros((), device=self.device)
        learning_rate = self._schedule.learning_rate
        for rows in order.split(self.config.batch_size):
            learning_rate = self._schedule.learning_rate
            loss = self._step(data.inputs[rows], data.targets[rows])
            total += loss * len(rows)
            self._schedule.after_step()
        mean_loss = float(total) / len(order)  # the epoch's only wait for the device
        if not math.isfinite(mean_loss):
            raise TrainingFailed(f"the training loss is {mean_loss} in epoch {self._progress.epoch + 1}")
        return mean_loss, learning_rate

    def _step(self, x_BCMT: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x_BCMT, mixed = augment(x_BCMT, targets, self.config, self._generator)
        with self._autocast():
            logits = self.model(x_BCMT).float()
        losses = [
            F.cross_entropy(logits, target, label_smoothing=self.config.label_smoothing, reduction="none")
            for target in (mixed.first, mixed.second)
        ]
        loss = (mixed.weight * losses[0] + (1 - mixed.weight) * losses[1]).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _keep(self, metrics: EpochMetrics) -> None:
        progress = self._progress
        progress.epoch = metrics.epoch
        progress.train_seconds += metrics.epoch_seconds
        progress.history.append({name: getattr(metrics, name) for name in EpochMetrics.__slots__})
        # Ties in accuracy are frequent on small validation parts; the lower loss decides them.
        if (metrics.validation_accuracy, -metrics.validation_loss) > (progress.best_accuracy, -progress.best_loss):
            progress.best_epoch = metrics.epoch
            progress.best_accuracy, progress.best_loss = metrics.validation_accuracy, metrics.validation_loss
            self._best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision_resolved == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def _by_prefix(tensors: Any) -> dict[str, dict[str, torch.Tensor]]:
    named: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, name = key.partition(".")
        named.setdefault(prefix, {})[name] = tensor
    return named


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
