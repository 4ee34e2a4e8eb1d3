"""Progress for a log, where no terminal is: plain lines, each whole, and few of them.

    2026-11-22 13:34:39Z sweep, trials 4/6, 7.9/min, 15 s left | 2 finished, 2 stopped, 2 open | …

Enters: how much is done, as often as one likes. Leaves: a line every few seconds at most, one at the end, and one in a
while where nothing is new, so that a log that stands still tells of a job that waits from one that is gone.
"""

import threading
import time
from collections.abc import Callable

from jobs.pace import Pace, duration, rate

_SILENCE_S = 60.0


class ProgressLines:
    """Used as a context, which may be entered once; may be called in any thread.

    Args:
        say: takes a line.
        every_s: no more than one line within it, but for the last one.
        silence_s: after which a line is written although there is nothing new.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        title: str,
        say: Callable[[str], None],
        *,
        every_s: float,
        silence_s: float = _SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._say, self._every_s, self._silence_s = title, say, every_s, silence_s
        self._clock, self._pace, self._lock = clock, Pace(), threading.Lock()
        self._news: tuple[int, int | None, str] | None = None
        self._is_said = True
        self._said_at, self._told_at = float("-inf"), clock()
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> "ProgressLines":
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watcher.join()
        with self._lock:
            if not self._is_said:
                self._line()

    def __call__(self, done: int, total: int | None, text: str = "") -> None:
        """`total` is None where nobody knows it."""
        with self._lock:
            now = self._clock()
            self._pace.mark(now, done)
            self._news, self._is_said, self._told_at = (done, total, text), False, now
            if now - self._said_at >= self._every_s:
                self._line()

    def _watch(self) -> None:
        """Says what came too soon after the last line, and that nothing came."""
        while not self._is_over.wait(min(self._every_s, self._silence_s)):
            with self._lock:
                now = self._clock()
                if not self._is_said and now - self._said_at >= self._every_s:
                    self._line()
                elif self._news and now - max(self._said_at, self._told_at) >= self._silence_s:
                    self._line(f" | nothing new for {duration(now - self._told_at)}")

    def _line(self, more: str = "") -> None:
        assert self._news
        done, total, text = self._news
        parts = [f"{self._title} {done}/{'?' if total is None else total}"]
        if self._pace.per_second:
            parts.append(rate(self._pace.per_second))
        left = None if total is None or done >= total else self._pace.seconds_for(total - done)
        if left is not None:
            parts.append(f"{duration(left)} left")
        moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        self._say(f"{moment} {', '.join(parts)}{f' | {text}' if text else ''}{more}")
        self._said_at, self._is_said = self._clock(), True
