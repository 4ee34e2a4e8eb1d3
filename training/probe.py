"""What a trial costs, found by training a few of its steps: memory at its peak, and steps a second.

Enters: a configuration and its data, in a process of its own. Leaves: two numbers; what was trained is thrown away.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from training.config import TrialConfig
from training.data import TrialData
from training.first_weights import first_weights
from training.inputs import DeviceData, device_data
from training.memory import peak_bytes, ran_out_of_memory
from training.modes import device_of, modes
from training.row_batches import RowBatches
from training.scoring import answers
from training.seed_run import SeedRun
from training.steps import OutOfMemory

_WARM_UP_STEPS = 3  # the first plan kernels, take memory and make the optimizer's state
_LEAST_STEPS = 3
_LEAST_SCORINGS = 2
_SCORED_ROWS = 256  # the most that are answered at once


class TrialProbe:
    """A trial that has begun: its data, model and optimizer are there, and the weights once more, as of a best epoch.

    Args:
        config: of whose seeds the first one is trained, always on the first batch of its first epoch.

    Raises:
        OutOfMemory: the device has too little for it, or only in smaller pieces of its batches.
        InvalidInput: as `run_trial`.
    """

    def __init__(self, config: TrialConfig, data: TrialData) -> None:
        self._config, self._device = config, device_of(config)
        with self._as_a_trial():
            self._data = device_data(data, config, self._device)
            self._run = SeedRun(config, seed=config.seeds[0], data=self._data, weights=first_weights(config))
            self._kept = {name: tensor.clone() for name, tensor in self._run.model.state_dict().items()}
            self._score(self._data)
            self._run.begin_epoch()
            self._take(_WARM_UP_STEPS)

    def steps_per_second(self, *, for_s: float, num_threads: int | None = None) -> float:
        """Trains on for a while.

        Args:
            for_s: how long at least; and three steps at least.
            num_threads: on the CPU, that compute.

        Raises:
            OutOfMemory: as above.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        with self._as_a_trial():
            self._take(1)
            started, num_steps = time.perf_counter(), 0
            while num_steps < _LEAST_STEPS or time.perf_counter() - started < for_s:
                self._take(1)
                num_steps += 1
            return num_steps / (time.perf_counter() - started)

    def scored_rows_per_second(self, *, for_s: float) -> float:
        """Answers validation rows for a while, at most 256 of them again and again; at least twice.

        Raises:
            OutOfMemory: as above.
        """
        with self._as_a_trial():
            started, num_rows, num_times = time.perf_counter(), 0, 0
            while num_times < _LEAST_SCORINGS or time.perf_counter() - started < for_s:
                num_rows += self._score(self._data)
                num_times += 1
                self._wait()
            return num_rows / (time.perf_counter() - started)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._run.model.parameters())

    @property
    def peak_bytes(self) -> int:
        """The most memory of the device that this process has taken so far (`memory.peak_bytes`)."""
        return peak_bytes(self._device)

    @property
    def total_bytes(self) -> int:
        """Memory of the GPU; 0 on the CPU, whose memory is the node's to tell."""
        return torch.cuda.mem_get_info(self._device)[1] if self._device.type == "cuda" else 0

    def _take(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self._run.step(self._run.next_batches())  # never told that it was taken: the next one is the same again
        if self._run.stepper.num_pieces > 1:
            raise OutOfMemory("a batch has room in pieces alone")
        self._wait()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _score(self, data: DeviceData) -> int:
        """Returns how many rows were answered."""
        part = data.parts["validation"]
        few = replace(part, log_mel=part.log_mel[:_SCORED_ROWS], targets=part.targets[:_SCORED_ROWS])
        rows = RowBatches(self._device)
        answers(
            self._run.model,
            replace(data, parts={**data.parts, "validation": few}),
            "validation",
            autocast=self._run.stepper.autocast,
            batches=rows,
        )
        return len(few.log_mel)

    @contextmanager
    def _as_a_trial(self) -> Iterator[None]:
        """torch's state is as in a trial within, and as it was afterwards; all errors of too little memory are one."""
        try:
            with torch.random.fork_rng(), modes(self._config):
                yield
        except Exception as e:
            if ran_out_of_memory(e) and not isinstance(e, OutOfMemory):
                raise OutOfMemory(f"a trial has no room on {self._device}") from e
            raise
