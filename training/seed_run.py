"""One seed of a trial: a model that trains step by step, can be put down after any step and taken up exactly.

Enters: a configuration, a seed, the data on its device. Leaves: epochs of metrics, checkpoints, and at the end a
`SeedResult` with the best epoch's predictions on validation and test. No random state has to survive (`batches.py`).
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn

from storage.checkpoints import Checkpoint
from storage.errors import StorageError
from storage.identity import derive_seed
from storage.split import Part
from training.averaging import WeightAverage
from training.batches import Batches, Rows
from training.config import TrialConfig
from training.epoch_loss import EpochLoss
from training.inputs import DeviceData
from training.losses import Loss
from training.metrics import Evaluation
from training.model_setup import TrialModel
from training.optimizer import create_optimizer
from training.progress import EpochMetrics, Progress, swa_events
from training.row_batches import RowBatches
from training.schedule import Schedule
from training.scoring import embeddings, score
from training.seed_result import SeedResult
from training.seed_tensors import are_finite, load_tensors, named_tensors
from training.steps import LazyBatch, Stepper, TrainingFailed

_LOG_MELS = "log-mels"


class SeedRun:
    """Holds the model, the optimizer, the schedule and the progress of one seed.

    First weights, order and all draws follow from the seed's number alone: it is the same seed in every trial, so that
    configurations are compared on equal draws. Dropout can draw from the global generator alone, which is therefore
    seeded for every batch: callers run this inside `torch.random.fork_rng`.
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
        base = derive_seed(seed)
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
        self.loss = Loss(config.loss, data.parts["train"].targets, activation=data.activation)
        self.stepper = Stepper(
            config, self._set_up.compiled, self.loss, self.optimizer, data.device, on_event=self.note
        )
        self._scored_rows = RowBatches(data.device, on_event=self.note)
        self._best_weights: dict[str, torch.Tensor] = {}
        self._choice = ""
        self._rows: Rows = ()  # of the epoch at hand, as is the loss
        self._epoch_loss = EpochLoss(data.device)

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
    def failure(self) -> str:
        """Why the seed ended before its last epoch; empty for a healthy one."""
        return self._progress.failure

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

    def note_choice(self, reason: str) -> None:
        """Notes why the seeds of the trial train together or not; checkpoints keep it for the seeds to come."""
        self._choice = reason
        self.note(reason)

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
            TrainingFailed: the loss, a gradient, a weight or an output is not finite.
            OutOfMemory: a single clip, or the optimizer's state, does not fit into the device's memory.
        """
        started = time.perf_counter()
        self.begin_epoch()
        while True:
            self.took_step(self.step(self.next_batches()))
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
        self._epoch_loss = EpochLoss(self._data.device, so_far=self._progress.loss_sum, steps=self._progress.step)
        self._set_up.train()

    def next_batches(self) -> list[LazyBatch]:
        """Those of the step at hand, whose learning rate it sets; each makes the same batch whenever it is called."""
        step, epoch = self._progress.step, self._progress.epoch + 1
        self._schedule.before_step((epoch - 1) * self._batches.num_steps + step)
        return self._batches.of_step(epoch, step, self._rows)

    def step(self, batches: Sequence[LazyBatch]) -> torch.Tensor:
        """Takes a step by itself; the loss is summed over its clips, on the device.

        Raises:
            TrainingFailed, OutOfMemory: as `train_epoch`.
        """
        with self._named():
            return self.stepper.step(batches)

    def took_step(self, loss: torch.Tensor) -> None:
        """Notes a step. Args: loss: summed over its clips, on the device."""
        self._epoch_loss.add(loss)
        self._average.after_step()
        self._progress.step += 1

    def put_down(self, *, train_seconds: float) -> None:
        """Leaves the epoch unfinished. Args: train_seconds: spent on it since `begin_epoch`.

        Raises:
            TrainingFailed: the loss or a weight is not finite, so this must not become a checkpoint.
        """
        with self._named():
            self._progress.loss_sum = self._epoch_loss.finite_sum()
            if not are_finite(self.model.state_dict()):
                raise TrainingFailed("a weight is not finite")
        self._progress.train_seconds += train_seconds

    def finish_epoch(self, *, train_seconds: float) -> EpochMetrics:
        """Scores a trained epoch on validation. Args: train_seconds: spent on it since `begin_epoch`.

        Raises:
            TrainingFailed: the loss or an output is not finite.
        """
        started, epoch = time.perf_counter(), self._progress.epoch + 1
        learning_rate = self._schedule.learning_rate
        with self._named():
            train_loss = self._epoch_loss.finite_sum() / sum(map(len, self._rows))
            self._average.after_epoch(epoch, self._batches.undisturbed(self._rows), autocast=self.stepper.autocast)
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

    def fail(self, error: TrainingFailed) -> None:
        """Ends the seed here; what it holds from then on is its history and the weights of its best epoch."""
        self._progress.failure = str(error)
        if self._best_weights:
            self.model.load_state_dict(self._best_weights)

    def evaluate(self, part: Part, model: nn.Module | None = None) -> Evaluation:
        """Scores a model, by default the one that trains, on a part.

        Raises:
            TrainingFailed: the model's output is not finite.
            OutOfMemory: a single clip does not fit into the device's memory.
        """
        model = model or self.model
        evaluation = score(model, self._data, part, autocast=self.stepper.autocast, batches=self._scored_rows)
        if evaluation is None:
            raise TrainingFailed(f"the model's output on {part} is not finite")
        return evaluation

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Whatever fails within says in which seed and where."""
        try:
            yield
        except TrainingFailed as e:
            step, epoch = self._progress.step, self._progress.epoch
            if step in (0, self._batches.num_steps):
                place = f"after epoch {epoch + (step > 0)}"
            else:
                place = f"epoch {epoch + 1}, after {step} steps"
            raise TrainingFailed(f"seed {self.seed}, {place}: {e}") from e

    def result(self) -> SeedResult:
        """Scores validation and test with the best epoch's weights; leaves those weights in the model."""
        self.model.load_state_dict(self._best_weights)
        with self._named():
            validation, test = self.evaluate("validation"), self.evaluate("test")
        return SeedResult(
            seed=self.seed,
            best_epoch=self._progress.best_epoch,
            epochs_trained=self._progress.epoch,
            validation=validation,
            test=test,
            train_seconds=self._progress.train_seconds,
            num_parameters=sum(parameter.numel() for parameter in self._set_up.classifier.parameters()),
            device=self._data.device_name,
            best_weights=self._set_up.whole({name: tensor.cpu() for name, tensor in self._best_weights.items()}),
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
        tensors = named_tensors(self.model, self._average, self._best_weights, self.optimizer)
        state = {
            "inputs": self._inputs,
            "choice": self._choice,
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
        self._best_weights = load_tensors(
            checkpoint.tensors,
            model=self.model,
            average=self._average,
            optimizer=self.optimizer,
            device=self._data.device,
        )
        self._choice = checkpoint.state.get("choice", "")
        self._schedule.load(checkpoint.state["schedule"])
        self.stepper.load(checkpoint.state["stepper"])
        self._scored_rows.most_rows = checkpoint.state.get("most_rows_scored", self._scored_rows.most_rows)
        self._progress.load(checkpoint.state["progress"])
