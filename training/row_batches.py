"""Rows answered batch by batch, in smaller batches where memory runs out: for scoring, predicting and embedding.

Enters: how many rows there are and what answers some of them. Leaves: the answers, row for row. The model is in
evaluation mode, so a row's answer does not depend on the others in its batch, but for rounding.
"""

from collections.abc import Callable, Iterator

import torch

from training.steps import OutOfMemory

_MOST_ROWS = 256
# A CPU's memory is shared by one process per core, and no error tells when it ends: the system kills the process. So it
# takes 256 small inputs at once (64 × 108), and of larger ones so many that they have this number of values together,
# counted in one channel: 16 of 224 × 224. More are no faster: per image on one core, EfficientNet-B0 took 44, 53 and
# 70 ms and a ResNet-50 131, 147 and 159 ms at 16, 32 and 64 at once; both took 0.2, 0.4 and 0.8 GB (2026-11-21).
_SMALL_INPUT = 2**13
_VALUES_ON_CPU = 2**20


class RowBatches:
    """How many rows are answered at once on a device; what was learnt in one call holds for the next ones.

    Attributes:
        most_rows: a power of two; lowered where memory ran out. A CPU takes fewer where inputs are large.
    """

    def __init__(self, device: torch.device, *, on_event: Callable[[str], None] = lambda event: None) -> None:
        self._device, self._on_event = device, on_event
        self.most_rows = _MOST_ROWS

    def answers(
        self, num_rows: int, answer: Callable[[slice], torch.Tensor], *, input_size: int
    ) -> Iterator[torch.Tensor]:
        """What is answered to all rows, batch by batch in their order.

        Args:
            answer: maps some of the rows to a tensor with one entry for each.
            input_size: values in one channel of what the model sees of a row.

        Raises:
            OutOfMemory: a single row does not fit into the device's memory.
        """
        position, ran_out = 0, False
        while position < num_rows:
            rows = slice(position, min(position + self.at_once(input_size), num_rows))
            answered = self._try(answer, rows)
            if answered is None:
                self._make_room(rows.stop - rows.start)
                ran_out = True
                continue
            if ran_out:
                self._on_event(f"out of memory: rows are now answered {self.most_rows} at once")
                ran_out = False
            yield answered
            position = rows.stop

    def at_once(self, input_size: int) -> int:
        """Rows of a batch, of inputs of this size."""
        if self._device.type != "cpu" or input_size <= _SMALL_INPUT:
            return self.most_rows
        fitting = max(1, _VALUES_ON_CPU // input_size)
        return min(self.most_rows, 1 << (fitting.bit_length() - 1))

    def _try(self, answer: Callable[[slice], torch.Tensor], rows: slice) -> torch.Tensor | None:
        try:
            return answer(rows)
        except torch.OutOfMemoryError as e:
            if rows.stop - rows.start == 1:
                raise OutOfMemory(f"one clip needs more memory than {self._device} has left") from e
            return None

    def _make_room(self, num_tried: int) -> None:
        # Outside of the except block, where the traceback would still hold the tensors.
        self.most_rows = 1 << ((num_tried - 1).bit_length() - 1)  # the largest power of two below it
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
