"""One seed of a trial: a model that trains step by step, can be put down after any step and taken up exactly.

Enters: a configuration, a seed, the data on its device. Leaves: epochs of metrics, checkpoints, and at the end a
`SeedResult` with the best epoch's predictions on validation and test. No random state has to survive (`batches.py`).
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.checkpoints import Checkpoint
from storage.errors import StorageError
from storage.identity import derive_seed
from storage.split import Part
from training.averaging import WeightAverage
from training.batches import Batches, Rows
from training.config import TrialConfig
from training.inputs import DeviceData
from training.losses import Loss
from training.metrics import Evaluation
from training.model_setup import TrialModel
from training.optimizer import create_optimizer
from training.progress import EpochMetrics, Progress, swa_events
from training.row_batches import RowBatches
from training.schedule import Schedule
from training.scoring import embeddings, score
from training.steps import Batch, Stepper

_LOG_MELS = "log-mels"


class TrainingFailed(Exception):
    """The loss or the output became NaN or infinite; training on would waste the device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """A seed trained to its end, scored with the weights of the epoch that was best on validation.

    Attributes:
        best_weights: of that epoch and the whole model, by name; on the device, or, of a backbone whose embeddings were
            trained on, on the CPU.
        test_embeddings: what the head sees of every test clip, in the order of `test.clip_ids`; float32 (clips, D).
        events: what happened that a reader of the numbers should know, one sentence each.
    """

    seed: int
    best_epoch: int
    epochs_trained: int
    validation: Evaluation
    test: Evaluation
    train_seconds: float
    num_parameters: int
    device: str
    best_weights: Mapping[str, torch.Tensor] = field(repr=False)
    test_embeddings: NDArray[np.float32] = field(repr=False)
    events: tuple[str, ...] = ()


class SeedRun:
    """Holds the model, the optimizer, the schedule and the progress of one seed.

    Dropout can draw from the global generator alone, which is therefore seeded for every batch: callers run this
    inside `torch.random.fork_rng`.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        seed: int,
        data: DeviceData,
        weights: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Args: weights: that the model begins with, as a file names them; None for random ones."""
        self.config, self.seed, self._data = config, seed, data
        base = derive_seed(config.trial_id, seed)
        self._inputs = f"embeddings {data.embedding.embedding_id}" if data.embedding else _LOG_MELS
        self._set_up = TrialModel(
            config,
            num_labels=data.num_labels,
            seed=base % 2**31,
            device=data.device,
            weights=weights,
            embedding=data.embedding,
        )
        self.model = self._set_up.model
        self.optimizer = create_optimizer(self._set_up.classifier, config.optimizer, fused=data.device.type == "cuda")
        self._batches = Batches(config, data, base=base, laid_out=self._set_up.laid_out)
        self._schedule = Schedule(
            self.optimizer,
            config.schedule,
            steps_per_epoch=self._batches.num_steps,
            epochs=config.epochs,
            swa_epochs=config.loop.swa_epochs,
            swa_learning_rate=config.loop.swa_learning_rate,
        )
        self._average = WeightAverage(self.model, config.loop, epochs=config.epochs)
        self._progress = Progress()
        self.loss = Loss(config.loss, data.parts["train"].targets)
        self.stepper = Stepper(
            config, self._set_up.compiled, self.loss, self.optimizer, data.device, on_event=self.note
        )
        self._scored_rows = RowBatches(data.device, on_event=self.note)
        self._best_weights: dict[str, torch.Tensor] = {}
        self._rows: Rows = ()  # of the epoch at hand, as is the loss summed over its clips
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=data.device)

    @property
    def device(self) -> torch.device:
        return self._data.device

    def example(self) -> torch.Tensor:
        """One input as the model sees it, (1, …)."""
        return next(self._batches.undisturbed((torch.zeros(1, dtype=torch.int64),)))

    @property
    def finished(self) -> bool:
        return self._progress.epoch >= self.config.epochs or self._progress.has_waited(
            self.config.loop.early_stopping_patience
        )

    @property
    def best_score(self) -> float:
        """Validation score of the best epoch so far."""
        return self._progress.best_score

    def best_score_after(self, epoch: int) -> float:
        """Validation score of the epoch that was the best one when `epoch` was finished."""
        return self._progress.best_score_after(epoch, select_by=self.config.loop.select_by)

    def note(self, event: str) -> None:
        """Keeps what a reader of the numbers should know; it becomes part of the result."""
        self._progress.note(event)

    @property
    def history(self) -> list[EpochMetrics]:
        return self._progress.metrics()

    @property
    def num_steps(self) -> int:
        """Of all epochs."""
        return self.config.epochs * self._batches.num_steps

    @property
    def epoch_is_trained(self) -> bool:
        """Whether the epoch at hand has had all of its steps and waits for `finish_epoch`."""
        return self._progress.step >= self._batches.num_steps

    def train_epoch(self, pause: Callable[[], bool] = lambda: False) -> EpochMetrics | None:
        """Trains on to the end of the epoch and scores it on validation.

        Args:
            pause: asked after every step; when it answers True the epoch stays unfinished.

        Returns:
            The finished epoch, or None when it was put down: `checkpoint` then holds its steps so far.

        Raises:
            TrainingFailed: the loss is not finite.
            OutOfMemory: a single clip does not fit into the device's memory.
        """
        started = time.perf_counter()
        self.begin_epoch()
        while True:
            self.took_step(self.stepper.step(self.next_batches()))
            if self.epoch_is_trained:
                return self.finish_epoch(train_seconds=time.perf_counter() - started)
            if pause():
                self.put_down(train_seconds=time.perf_counter() - started)
                return None

    def begin_epoch(self) -> None:
        """Opens the epoch after the last finished one, or takes up the one that was put down.

        Whoever takes the steps by other means than `train_epoch` calls, in this order: this, `next_batches` and
        `took_step` until `epoch_is_trained`, then `finish_epoch`; or `put_down` after any step.
        """
        self._rows = self._batches.rows(self._progress.epoch + 1)
        self._loss_sum = torch.tensor(self._progress.loss_sum, dtype=torch.float64, device=self._data.device)
        self._set_up.train()

    def next_batches(self) -> list[Callable[[], Batch]]:
        """Those of the step at hand, whose learning rate it sets; each makes the same batch whenever it is called."""
        step, epoch = self._progress.step, self._progress.epoch + 1
        self._schedule.before_step((epoch - 1) * self._batches.num_steps + step)
        return self._batches.of_step(epoch, step, self._rows)

    def took_step(self, loss: torch.Tensor) -> None:
        """Notes a step. Args: loss: summed over its clips, on the device."""
        self._loss_sum += loss
        self._average.after_step()
        self._progress.step += 1

    def put_down(self, *, train_seconds: float) -> None:
        """Leaves the epoch unfinished. Args: train_seconds: spent on it since `begin_epoch`."""
        self._progress.loss_sum = float(self._loss_sum)
        self._progress.train_seconds += train_seconds

    def finish_epoch(self, *, train_seconds: float) -> EpochMetrics:
        """Scores a trained epoch on validation. Args: train_seconds: spent on it since `begin_epoch`.

        Raises:
            TrainingFailed: the loss is not finite.
        """
        started, epoch = time.perf_counter(), self._progress.epoch + 1
        learning_rate = self._schedule.learning_rate
        train_loss = float(self._loss_sum) / sum(map(len, self._rows))  # the epoch's only wait for the device
        if not math.isfinite(train_loss):
            raise TrainingFailed(f"the training loss is {train_loss} in epoch {epoch}")
        self._average.after_epoch(epoch, self._batches.undisturbed(self._rows))
        validation = self.evaluate("validation", self._average.scored(epoch))
        self._schedule.after_epoch(validation.loss)
        metrics = EpochMetrics(
            epoch=epoch,
            train_loss=train_loss,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            validation_score=validation.score,
            validation_kl=float(validation.scores["kl"] or 0.0),
            learning_rate=learning_rate,
            epoch_seconds=train_seconds + time.perf_counter() - started,
        )
        if self._progress.finish_epoch(metrics, select_by=self.config.loop.select_by):
            scored = self._average.scored(epoch)
            self._best_weights = {name: tensor.clone() for name, tensor in scored.state_dict().items()}
        return metrics

    def evaluate(self, part: Part, model: nn.Module | None = None) -> Evaluation:
        """Scores a model, by default the one that trains, on a part.

        Raises:
            TrainingFailed: the model's output is not finite.
            OutOfMemory: a single clip does not fit into the device's memory.
        """
        model = model or self.model
        evaluation = score(model, self._data, part, autocast=self.stepper.autocast, batches=self._scored_rows)
        if evaluation is None:
            raise TrainingFailed(f"the model's output on {part} is not finite after epoch {self._progress.epoch + 1}")
        return evaluation

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
            num_parameters=sum(parameter.numel() for parameter in self._set_up.classifier.parameters()),
            device=self._data.device_name,
            best_weights=self._set_up.whole(self._best_weights),
            test_embeddings=embeddings(
                self._set_up.classifier,
                self._data,
                "test",
                autocast=self.stepper.autocast,
                batches=self._scored_rows,
            ).numpy(),
            events=(*self._how_trained(), *self._progress.events),
        )

    def _how_trained(self) -> tuple[str, ...]:
        on_embeddings = (f"the head was trained on {self._inputs}",) if self._data.embedding else ()
        progress = self._progress
        no_average = swa_events(
            self.config.loop,
            epochs=self.config.epochs,
            epochs_trained=progress.epoch,
            best_epoch=progress.best_epoch,
        )
        return (*on_embeddings, *self._set_up.events, *self._data.events, *no_average)

    def checkpoint(self) -> Checkpoint:
        """Everything that the next step depends on."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self._average.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self._best_weights.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in slots.items() if tensor is not None}
        state = {
            "inputs": self._inputs,
            "progress": self._progress.to_dict(),
            "schedule": self._schedule.state(),
            "stepper": self.stepper.state(),
            "most_rows_scored": self._scored_rows.most_rows,
        }
        step = self._progress.epoch * self._batches.num_steps + self._progress.step
        return Checkpoint(step=step, tensors=tensors, state=state)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up where `checkpoint` was made: the steps that follow equal those of an undisturbed run.

        Raises:
            StorageError: it was made on log-mels and this run has embeddings, or the other way round: the steps would
                no longer equal anything.
        """
        made_on = checkpoint.state.get("inputs", _LOG_MELS)
        if made_on != self._inputs:
            raise StorageError(
                f"the checkpoint of seed {self.seed} was made on {made_on}, and this run trains on {self._inputs}. "
                "Go on as it began, or delete the trial's checkpoints to start the seed anew."
            )
        named = _by_prefix(checkpoint.tensors)
        self.model.load_state_dict(named["model"])
        self._average.load_state_dict(named.get("average", {}))
        self._best_weights = {name: tensor.to(self._data.device) for name, tensor in named.get("best", {}).items()}
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in named.get("optimizer", {}).items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self._schedule.load(checkpoint.state["schedule"])
        self.stepper.load(checkpoint.state["stepper"])
        self._scored_rows.most_rows = checkpoint.state.get("most_rows_scored", self._scored_rows.most_rows)
        self._progress.load(checkpoint.state["progress"])


def _by_prefix(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    named: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, name = key.partition(".")
        named.setdefault(prefix, {})[name] = tensor
    return named
