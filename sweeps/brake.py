"""How a search that ends in the middle lets its trials put down a checkpoint of their last step.

Tune has no word for it: a trial hears of the driver when it has reported an epoch, and a driver that is told to end
asks for no more reports. So an actor stands between them. Trials say when they train and ask now and then, without
waiting for the answer, whether to put down; the driver says so once, and waits for those that train.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_ASK_EVERY_S = 0.25
_LOOK_EVERY_S = 0.1


class Brake:
    """Travels to trials by pickle. Its actor stands on the driver's own node, and reserves nothing."""

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = _board().options(num_cpus=0, scheduling_strategy=here).remote()

    def of(self, trial_id: str) -> "TrialBrake":
        """What a trial has of it, in its own process."""
        return TrialBrake(self._board, trial_id)

    def pull(self, *, patience_s: float) -> bool:
        """Asks trials to put down, and waits so long for those that train. Returns whether all have; for the driver."""
        deadline = time.monotonic() + patience_s
        with contextlib.suppress(ray.exceptions.RayError, ray.exceptions.GetTimeoutError):
            while (left_s := deadline - time.monotonic()) > 0:
                if not ray.get(self._board.pull.remote(), timeout=left_s):
                    return True
                time.sleep(min(_LOOK_EVERY_S, left_s))
        return False

    def close(self) -> None:
        """Ends the actor; for the driver."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._board)


class TrialBrake:
    """A trial's side. Without its actor, which dies with the driver, it never says that the trial is to put down."""

    def __init__(self, board: Any, trial_id: str) -> None:
        self._board, self._trial_id = board, trial_id
        self._asked: ray.ObjectRef | None = None
        self._ask_at, self._is_pulled = time.monotonic(), False

    def is_pulled(self) -> bool:
        """By the last answer that has come, and once pulled it stays so. Cheap: trials ask after every step."""
        if not self._is_pulled and time.monotonic() >= self._ask_at:
            if self._asked is None:
                self._asked = self._board.is_pulled.remote()
            elif ray.wait([self._asked], timeout=0)[0]:
                with contextlib.suppress(ray.exceptions.RayError):
                    self._is_pulled = ray.get(self._asked)
                self._asked, self._ask_at = None, time.monotonic() + _ASK_EVERY_S
        return self._is_pulled

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """While the trial trains, and the driver is to wait for it."""
        self._board.begins.remote(self._trial_id)
        try:
            yield
        finally:
            self._board.rests.remote(self._trial_id)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """While everything is stored, and the trial waits for the driver; it trains on unless that ends it."""
        self._board.rests.remote(self._trial_id)
        yield
        self._board.begins.remote(self._trial_id)


def _board() -> Any:
    """The actor's class: a local one, which travels by value, so that its process need not import torch."""

    class Board:
        def __init__(self) -> None:
            self._training: set[str] = set()
            self._is_pulled = False

        def begins(self, trial_id: str) -> None:
            self._training.add(trial_id)

        def rests(self, trial_id: str) -> None:
            self._training.discard(trial_id)

        def is_pulled(self) -> bool:
            return self._is_pulled

        def pull(self) -> int:
            """Returns how many trials train."""
            self._is_pulled = True
            return len(self._training)

    return ray.remote(Board)
