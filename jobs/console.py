"""How a job meets a person: progress while it works, one line when the input is at fault. The only file with rich."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from jobs.progress_lines import ProgressLines
from storage.errors import InvalidInput, StorageError
from storage.plain_text import plain_text

_NUMBER = re.compile(r"–|[\d.,]+(\s*±\s*[\d.,]+)?\s*%?")  # not a name that begins with a digit
_LOG_WIDTH = 140  # of tables, where there is no terminal to ask
# Only where a terminal really is: FORCE_COLOR and its like would have rich write escape sequences into a log.
_IS_TERMINAL = sys.stdout is not None and sys.stdout.isatty()
console = Console(highlight=False, width=None if _IS_TERMINAL else _LOG_WIDTH, force_terminal=_IS_TERMINAL)
_line_every_s = ContextVar("line_every_s", default=5.0)


def run_job(job: Callable[[Sequence[str]], int | None], words: Sequence[str] | None, *, usage: str) -> int:
    """Runs a job and turns what a user can mend into one line on stderr.

    Returns:
        The exit code: the job's own where it returns one, else 0; 2 for bad input or a store that fails, 130 after
        Ctrl-C, 143 after SIGTERM, 141 where nobody reads what it prints any more.
    """
    words = sys.argv[1:] if words is None else words
    if {"-h", "--help"} & set(words):
        print(usage)
        return 0
    # `ray job stop` sends SIGTERM; everything finished is already in the results table, so leaving at once is clean.
    received: list[int] = []

    def leave(number: int, frame: Any) -> NoReturn:
        received.append(number)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        code = job(words)
    except (InvalidInput, StorageError) as e:
        say_error("error", e)
        return 2
    except BrokenPipeError:  # of whom it prints to, `head` for example
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's own last flush fails in silence
        return 128 + signal.SIGPIPE
    except OSError as e:
        if not isinstance(e, ConnectionError) and e.errno != errno.ENOSPC:
            raise
        # A ConnectionError is of the Ray cluster, as stores raise StorageError; the other is of what it prints to.
        say_error("error", e)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except SystemExit:
        if not received:
            raise
        # Ray's core makes an exit with code 1 of the one above when the signal finds it waiting (Ray 2.60).
        print("stopped by SIGTERM; the same command goes on from here", file=sys.stderr)
        return 128 + received[0]
    finally:
        signal.signal(signal.SIGTERM, before)
    return code or 0


def say_error(what: str, error: Exception) -> None:
    """One line on stderr, without control characters, whatever the error's text holds."""
    print(f"{what}: {plain_text(' '.join(str(error).split()))}", file=sys.stderr)


def say(text: str) -> None:
    """One line of plain text; markup and control characters in names are shown, not obeyed."""
    console.print(plain_text(text), markup=False, soft_wrap=True)


def is_terminal() -> bool:
    """Whether a person looks on, rather than a file or a log."""
    return console.is_terminal


def clear() -> None:
    """Empties the terminal."""
    console.clear()


class Tell(Protocol):
    """What progress is told through; it may be called as often as one likes."""

    def __call__(self, done: int, total: int | None, text: str = "") -> None:
        """`total` is None where nobody knows it."""
        ...


@contextmanager
def progress(title: str) -> Iterator[Tell]:
    """A bar on a terminal, a line every few seconds in a log."""
    if is_terminal() and not console.is_dumb_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=None, text="")
            yield lambda done, total, text="": bar.update(task, completed=done, total=total, text=plain_text(text))
    else:
        with ProgressLines(title, say, every_s=_line_every_s.get()) as lines:
            yield lines


def lines_of_progress(*, every_s: float) -> None:
    """From now on a log gets a line of progress in so many seconds at most."""
    _line_every_s.set(every_s)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of plain cells; columns of numbers are right-aligned."""
    table = Table(title=Text(plain_text(title), style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for index, name in enumerate(header):
        numeric = all(_NUMBER.fullmatch(row[index]) for row in rows)
        table.add_column(Text(plain_text(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain_text(cell, keep="\n")) for cell in row))
    console.print(table)
