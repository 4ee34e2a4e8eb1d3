"""The first error that happens in the driver while Tune runs.

Tune takes an exception out of a searcher or callback for a failure of the trial at hand and goes on, so a results table
that cannot be written would cost rows without a word. Instead the error is kept here, every part ends its work
without recording anything more, and `run_sweep` raises it once Tune has returned.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class Fault:
    """Holds the error, if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def keep(self, error: Exception) -> None:
        """Keeps an error, if it is the first."""
        self.error = self.error or error

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Runs the block and keeps what it raises, if it is the first error."""
        try:
            yield
        except Exception as e:
            self.keep(e)
