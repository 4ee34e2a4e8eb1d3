"""How fast something goes, and how long it may still take, in numbers and words."""

from collections import deque

_WINDOW_S = 600.0  # what was faster or slower longer ago says little of what comes


class Pace:
    """Of a count that grows, over the last ten minutes."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now_s: float, done: int) -> None:
        """That so much is done at a moment of a clock that only goes forward; the first mark is where it begins."""
        if self._marks and done < self._marks[-1][1]:
            self._marks.clear()  # something else is counted now
        self._marks.append((now_s, done))
        while len(self._marks) > 2 and now_s - self._marks[1][0] >= _WINDOW_S:
            self._marks.popleft()

    @property
    def per_second(self) -> float:
        """0 where nothing was done, or no time has passed."""
        if len(self._marks) < 2:
            return 0.0
        (began_s, before), (now_s, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now_s - began_s) if now_s > began_s else 0.0

    def seconds_for(self, count: int) -> float | None:
        """How long so many more take; None where nobody can say."""
        return count / self.per_second if self.per_second else None


def rate(per_second: float) -> str:
    """`12/s`, `5.1/min`, `0.3/h`: in the unit that gives one and more, where one does."""
    for seconds, unit in ((1, "s"), (60, "min")):
        if per_second * seconds >= 1:
            return f"{_digits(per_second * seconds)}/{unit}"
    return f"{_digits(per_second * 3600)}/h"


def duration(seconds: float) -> str:
    """`8 s`, `12 min`, `3 h 05 min`, `2 d 4 h`; what is negative, as clocks differ, is none."""
    seconds = max(seconds, 0.0)
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def _digits(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
