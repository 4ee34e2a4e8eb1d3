"""Bytes to and from S3, told to whoever listens in this process. Enters: sizes, from `s3.py`. Leaves: calls.

Counted are the bodies of requests that were answered, a conditional write that came too late among them; not what a
client tries again beneath.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Literal

Direction = Literal["put", "get"]
Listener = Callable[[Direction, int], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """From now on this process tells `listener`, and nobody who listened before; it is called in any thread."""
    _listeners[:] = [listener]


def tell(direction: Direction, num_bytes: int) -> None:
    """That a body of so many bytes has gone its way."""
    for listener in _listeners:
        listener(direction, num_bytes)


class Tally:
    """A listener that adds up: for a process without a listener of its own, whose parent asks what there was."""

    def __init__(self) -> None:
        self._lock, self._sums = threading.Lock(), Counter[Direction]()

    def __call__(self, direction: Direction, num_bytes: int) -> None:
        with self._lock:
            self._sums[direction] += num_bytes

    def take(self) -> dict[Direction, int]:
        """What there was since the last call."""
        with self._lock:
            taken, self._sums = dict(self._sums), Counter()
        return taken
