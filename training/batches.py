"""What one seed trains on: the rows of every epoch in their order, and batches, disturbed and laid out for the model.

Enters: the data on its device and the seed's number. Leaves: batches. No random state has to survive: what is drawn for
an epoch or a batch comes from a generator seeded by (seed, epoch, batch) alone.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch

from storage.identity import derive_seed
from training.augment import augment, gains_db
from training.config import TrialConfig
from training.inputs import DeviceData
from training.sampling import epoch_rows
from training.steps import Batch, LazyBatch

Rows = tuple[torch.Tensor, ...]  # of every batch of an epoch: int64, on the CPU


class Batches:
    """Args:
    base: number that all draws derive from.
    laid_out: brings inputs into the memory order that the model wants.

    Attributes:
        num_batches, num_steps: of an epoch; a step takes `optimizer.accumulate` batches. A last batch of one clip joins
            the one before it, as BatchNorm cannot train on one.
    """

    def __init__(
        self, config: TrialConfig, data: DeviceData, *, base: int, laid_out: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        self._config, self._data, self._base, self._laid_out = config, data, base, laid_out
        self._train = data.parts["train"]
        num_rows = len(self._train.clip_ids) if config.input.train_windows == "random" else self._train.num_rows
        self._sizes = _batch_sizes(num_rows, config.batch_size)
        self.num_batches = len(self._sizes)
        self.num_steps = -(-self.num_batches // config.optimizer.accumulate)

    def rows(self, epoch: int) -> Rows:
        """Args: epoch: counted from 1."""
        order = epoch_rows(self._train, self._config.input, self._config.loop, self._generator("order", epoch))
        return order.split(self._sizes)

    def of_step(self, epoch: int, step: int, rows: Rows) -> list[LazyBatch]:
        """Those of one step, counted from 0.

        Each, when it is made, seeds the global generator of the device, from which alone dropout can draw.
        """
        first = step * self._config.optimizer.accumulate
        numbers = range(first, min(first + self._config.optimizer.accumulate, len(rows)))
        return [
            LazyBatch(make=functools.partial(self._batch, epoch, number, rows[number]), num_clips=len(rows[number]))
            for number in numbers
        ]

    def undisturbed(self, rows: Rows) -> Iterator[torch.Tensor]:
        """The same rows as the model sees them when it is scored."""
        scaling = self._data.scaling
        for of_batch in rows:
            log_mel = self._train.log_mel[of_batch.to(self._data.device)]
            yield self._laid_out(scaling.shaped(scaling.scaled(log_mel)))

    def _batch(self, epoch: int, number: int, rows: torch.Tensor) -> Batch:
        generator = self._generator("augment", epoch, number)
        _seed_global_generator(self._data.device, derive_seed(self._base, "dropout", epoch, number))
        scaling, config = self._data.scaling, self._config.augment
        rows = rows.to(self._data.device, non_blocking=True)
        gain_db = gains_db(len(rows), config, generator)
        log_mel = self._train.log_mel[rows]
        if gain_db is not None:
            log_mel = log_mel.float() + gain_db.to(log_mel.device, non_blocking=True)
        x_BCMT, targets_BL = augment(scaling.scaled(log_mel), self._train.targets[rows], config, generator)
        return self._laid_out(scaling.shaped(x_BCMT)), targets_BL

    def _generator(self, *what: Any) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self._base, *what))


def _batch_sizes(num_rows: int, batch_size: int) -> list[int]:
    sizes = [min(batch_size, num_rows - start) for start in range(0, num_rows, batch_size)]
    if len(sizes) > 1 and sizes[-1] == 1 < batch_size:
        sizes[-2:] = [batch_size + 1]
    return sizes


def _seed_global_generator(device: torch.device, seed: int) -> None:
    # torch.manual_seed takes 130 µs where CUDA is not in use: it notes a stack trace for later (2026-11-21).
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
