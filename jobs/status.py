"""Where a sweep stands, from the results table alone: from any machine that reaches the store, without Ray.

python jobs/status.py storage.uri=s3://bucket/prefix                    all sweeps and experiments of the store
python jobs/status.py storage.uri=s3://bucket/prefix sweep=<id>         one of them
python jobs/status.py storage.uri=s3://bucket/prefix sweep=<id> --watch
python jobs/status.py storage.uri=s3://bucket/prefix sweep=<id> --json

--watch asks again every every_s seconds and fetches only what is new; Ctrl-C ends it. --json is for programs: an object
a line. The pace is counted from when rows were written by the store's clock, and ages are told by this machine's: they
are as good as the two agree. Whether a process lives no table knows; the age of its newest row is what there is.

It needs pyarrow, boto3, omegaconf and rich, and nothing else of requirements.lock.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.command_line import parse_settings, usage
from jobs.console import clear, is_terminal, print_table, run_job, say, say_error
from jobs.outlook import outlook
from jobs.places import StorageSettings
from jobs.status_json import list_json, sweep_json
from jobs.status_lines import LIST_HEADER, SweepView, follow_up_line, list_lines, sweep_lines, trial_table
from storage.errors import InvalidInput, StorageError, hold_rules
from storage.object_store import open_store
from storage.results_table import ResultsTable
from storage.sweep_list import follow_ups, list_sweeps
from storage.sweep_state import SweepReader

_WATCH, _JSON = "--watch", "--json"


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusSettings:
    """Of what, and how often.

    Attributes:
        sweep: the id of a sweep, an experiment, a confirmation or an audit; empty for a list of all.
        window_minutes: over which the pace is taken. Rows that were compacted and deleted meanwhile are not counted,
            and they are deleted ten minutes after they were compacted at the earliest.
        every_s: with --watch.
    """

    sweep: str = ""
    window_minutes: float = 10.0
    every_s: float = 10.0
    storage: StorageSettings = field(default_factory=StorageSettings)

    def __post_init__(self) -> None:
        rules = {
            "window_minutes": (self.window_minutes > 0, "above 0"),
            "every_s": (1 <= self.every_s <= 86_400, "1 to 86400"),
        }
        hold_rules("status", self, rules)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_status, argv, usage=usage(__doc__, StatusSettings))


def _status(words: Sequence[str]) -> None:
    settings = parse_settings(StatusSettings, [word for word in words if word not in (_WATCH, _JSON)])
    results = ResultsTable(open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url))
    if _WATCH not in words:  # with it, a store that is yet to come is waited for
        _require_folder(settings.storage.uri)
    is_json = _JSON in words
    look = _look_at_sweep(results, settings, is_json) if settings.sweep else _look_at_all(results, is_json)
    if _WATCH in words:
        _watch(look, every_s=settings.every_s, clears=is_terminal() and not is_json)
    else:
        look()()


def _require_folder(uri: str) -> None:
    if "://" not in uri and not Path(uri).is_dir():
        raise InvalidInput(
            "storage.uri",
            given=uri,
            allowed="a folder that is there, or s3://bucket/prefix",
            remedy="Correct it, or add --watch to wait for the first sweep.",
        )


def _watch(look: Callable[[], Callable[[], None]], *, every_s: float, clears: bool) -> None:
    """Looks until Ctrl-C; a store that fails for a while is told, and asked again."""
    try:
        while True:
            try:
                show = look()
                if clears:
                    clear()
                show()
            except StorageError as e:
                say_error("error, asking again", e)
            time.sleep(every_s)
    except KeyboardInterrupt:
        return


def _look_at_all(results: ResultsTable, is_json: bool) -> Callable[[], Callable[[], None]]:
    """Reads, and returns what shows it: nothing is cleared from a terminal before there is something to put there."""

    def look() -> Callable[[], None]:
        found, now = list_sweeps(results), time.time()

        def show() -> None:
            if is_json:
                print(list_json(found), flush=True)
            elif found:
                print_table(f"Sweeps in {results.store.uri}", LIST_HEADER, list_lines(found, now=now))
                say("sweep=<id> tells more of one")
            else:
                say(f"{results.store.uri} holds no sweep")

        return show

    return look


def _look_at_sweep(results: ResultsTable, settings: StatusSettings, is_json: bool) -> Callable[[], Callable[[], None]]:
    readers: dict[str, SweepReader] = {}

    def view_of(sweep_id: str) -> SweepView:
        if sweep_id not in readers:
            readers[sweep_id] = SweepReader(results, sweep_id)
        state, now = readers[sweep_id].read(), time.time()
        return SweepView(state=state, outlook=outlook(state, now=now, window_minutes=settings.window_minutes), now=now)

    def look() -> Callable[[], None]:
        view, following = view_of(settings.sweep), [view_of(name) for name in follow_ups(results, settings.sweep)]

        def show() -> None:
            if is_json:
                print(sweep_json(view, following), flush=True)
                return
            header, rows = trial_table(view.state)
            print_table(f"{view.state.kind} {view.state.sweep_id}", header, rows)
            for line in (*sweep_lines(view), *map(follow_up_line, following)):
                say(line)

        return show

    return look


if __name__ == "__main__":
    sys.exit(main())
