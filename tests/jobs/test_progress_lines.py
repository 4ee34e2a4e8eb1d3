"""Progress where no terminal is: few lines, each plain and whole, and none of them lost at the end."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jobs.pace import Pace, rate
from jobs.progress_lines import ProgressLines

_ROOT = Path(__file__).parents[2]
_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines_of(clock: Clock, said: list[str], **more: float) -> ProgressLines:
    return ProgressLines("sweep, trials", said.append, every_s=5.0, clock=clock, **more)  # type: ignore[arg-type]


def test_a_line_tells_time_count_pace_rest_and_text(clock: Clock) -> None:
    said: list[str] = []
    with lines_of(clock, said) as tell:
        tell(2, 24, "taken up")
        clock.now += 60
        tell(8, 24, "3 finished, 5 stopped")
    assert re.fullmatch(rf"{_MOMENT} sweep, trials 2/24 \| taken up", said[0])
    assert re.fullmatch(rf"{_MOMENT} sweep, trials 8/24, 6\.0/min, 2 min left \| 3 finished, 5 stopped", said[1])
    assert len(said) == 2


def test_there_is_no_more_than_one_within_a_few_seconds_and_the_last_is_told(clock: Clock) -> None:
    said: list[str] = []
    with lines_of(clock, said) as tell:
        for done in range(201):
            tell(done, 200)
            clock.now += 0.1
    told = [int(re.search(r"(\d+)/200", line)[1]) for line in said]  # type: ignore[index]
    assert told == [0, 50, 100, 150, 200]
    assert "left" not in said[-1]


def test_the_last_news_are_told_even_if_they_came_at_once(clock: Clock) -> None:
    said: list[str] = []

    def fail(tell: ProgressLines) -> None:
        tell(1, 9, "one")
        tell(2, 9, "two")
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"), lines_of(clock, said) as tell:
        fail(tell)
    assert [line[-3:] for line in said] == ["one", "two"]


def test_without_a_total_there_is_no_rest(clock: Clock) -> None:
    said: list[str] = []
    with lines_of(clock, said) as tell:
        tell(0, None)
        clock.now += 10
        tell(40, None)
    assert said[1].endswith("sweep, trials 40/?, 4.0/s")


def test_nothing_is_said_of_what_was_never_told(clock: Clock) -> None:
    said: list[str] = []
    with lines_of(clock, said, silence_s=0.01):
        clock.now += 3600
        time.sleep(0.05)
    assert said == []


def test_a_long_silence_is_told_and_late_news_are_not_kept_back() -> None:
    said: list[str] = []
    spoken = threading.Semaphore(0)

    def say(line: str) -> None:
        said.append(line)
        spoken.release()

    with ProgressLines("train", say, every_s=0.05, silence_s=0.2) as tell:
        tell(1, 9, "first")
        tell(1, 9, "second")  # too soon after the first
        for _ in range(4):
            assert spoken.acquire(timeout=10)
    assert said[0].endswith("first")
    assert said[1].endswith("second")
    assert all("second | nothing new for" in line for line in said[2:])


@pytest.mark.parametrize(
    ("per_second", "told"),
    [(12.3, "12/s"), (1.0, "1.0/s"), (0.5, "30/min"), (0.02, "1.2/min"), (0.01, "36/h"), (0.0001, "0.4/h")],
)
def test_rates_are_told_in_the_unit_that_suits(per_second: float, told: str) -> None:
    assert rate(per_second) == told


def test_a_pace_forgets_what_is_long_ago() -> None:
    pace = Pace()
    pace.mark(0, 0)
    assert (pace.per_second, pace.seconds_for(10)) == (0.0, None)
    for second in range(0, 1000, 10):
        pace.mark(second, second)
    assert pace.per_second == pytest.approx(1.0)
    for second in range(1000, 2000, 10):
        pace.mark(second, 990)
    assert pace.per_second == 0.0


def test_a_pace_begins_anew_where_the_count_does() -> None:
    pace = Pace()
    pace.mark(0, 100)
    pace.mark(10, 0)
    pace.mark(20, 50)
    assert pace.per_second == pytest.approx(5.0)


_JOB = """
import time
from jobs.console import lines_of_progress, print_table, progress, say
lines_of_progress(every_s=1.0)
with progress("count [red]\\x1b[31m") as tell:
    for done in range(31):
        tell(done, 30, "best \\x1b[2J\\r 0.5\\nforged 30/30")
        time.sleep(0.1)
print_table("a\\x1bb", ("x",), [("1\\r2",)])
"""


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TERM": "xterm-256color"}])
def test_a_log_has_no_carriage_returns_and_no_escape_sequences(environment: dict[str, str]) -> None:
    """Whatever the environment of the job says of colours, and whatever a name holds."""
    run = subprocess.run(
        [sys.executable, "-c", _JOB],
        env={**os.environ, "PYTHONPATH": str(_ROOT), **environment},
        capture_output=True,
        check=True,
    )
    printed = run.stdout.decode()
    assert "\r" not in printed
    assert "\x1b" not in printed
    lines = [line for line in printed.splitlines() if "count" in line]
    assert 3 <= len(lines) <= 5  # of three seconds, with the last one
    assert all(re.fullmatch(rf"{_MOMENT} count \[red\]\\u001b\[31m \d+/30.*", line) for line in lines)
    assert not [line for line in printed.splitlines() if line.startswith("forged")]
