"""Many processes that write four results tables, read and compact them, and are killed at random moments.

python tests/toys/table_writers.py <storage uri> <endpoint> <folder> <writers> <commits each> <kills> <seed>

Each writer notes what it was told is committed in a file of its own, synced, before it goes on; so does the reader with
what it saw. A killed writer is started again and does all of its work again. The parent imports once and forks, as a
start of Python takes longer than the work. Ends with 0 if everything went as it must.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.config import Config

from storage import s3
from storage.compaction import compact, tidy
from storage.errors import StorageError
from storage.generations import partitions
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable

TABLES = ("trials", "epochs", "seeds", "failures")
TIMEOUT_S = 2.0  # after which a request is given up, and tried again
SWEEPS = ("sweep-a", "sweep-b")
_COMMON = {"architecture": "cnn", "seed": 0, "objective": 0.5}
_ROWS: dict[str, dict[str, Any]] = {
    "trials": {"state": "finished", "seed_epochs": 1, "number": 0, "architecture": "cnn", "objective": 0.5},
    "epochs": {
        **_COMMON,
        **dict.fromkeys(("epoch", "seed_epoch"), 1),
        **dict.fromkeys(
            ("train_loss", "validation_loss", "validation_accuracy", "learning_rate", "epoch_seconds"), 0.5
        ),
    },
    "seeds": {
        "architecture": "cnn",
        **dict.fromkeys(("seed", "best_epoch", "epochs_trained", "num_parameters"), 1),
        **dict.fromkeys(
            ("validation_accuracy", "validation_macro_f1", "test_accuracy", "test_macro_f1", "train_seconds"), 0.5
        ),
        "test_recall": [0.5, 0.5],
        "test_confusion": [[1, 0], [0, 1]],
        "device": "cpu",
    },
    "failures": {"failure_id": "f", "reason": "r", "detail": "d"},
}


def rows(table: str, sweep_id: str, commit: str) -> list[dict[str, Any]]:
    """Two rows, so that half a commit would be seen."""
    row = {**_ROWS[table], "sweep_id": sweep_id, "trial_id": commit}
    now = datetime.now(UTC)
    stamps = {"trials": {"ended_at": now}, "failures": {"failed_at": now}}.get(table, {})
    return [{**row, **stamps}, {**row, **stamps}]


def planned(number: int, num_commits: int) -> list[tuple[str, str, str]]:
    """(table, sweep, commit) of a writer. A quarter of the commits are its neighbour's as well."""
    own = [f"w{number}-{i}" for i in range(num_commits)]
    shared = [f"w{number - 1}-{i}" for i in range(num_commits // 4)] if number else []
    return [(table, SWEEPS[number % 2], commit) for commit in [*own, *shared] for table in TABLES]


def write(store: ObjectStore, log: Path, number: int, num_commits: int) -> None:
    results = ResultsTable(store)
    with log.open("a") as file:
        for table, sweep_id, commit in planned(number, num_commits):
            new = rows(table, sweep_id, commit)
            _until_it_works(partial(results.commit, table, sweep_id=sweep_id, commit=commit, rows=new))
            file.write(f"\n{table} {sweep_id} {commit}\n")
            file.flush()
            os.fsync(file.fileno())


def acknowledged(folder: Path) -> set[tuple[str, str, str]]:
    """What writers noted; a line that a kill has torn is left out."""
    lines = [line.split() for log in folder.glob("writer-*.log") for line in log.read_text().splitlines()]
    return {(table, sweep_id, commit) for table, sweep_id, commit in (line for line in lines if len(line) == 3)}


def read(store: ObjectStore, folder: Path) -> None:
    """Reads until told to stop; every look must hold all that was acknowledged before it, and each commit whole."""
    results, looks = ResultsTable(store), 0
    while _goes_on(folder):
        for table in TABLES:
            before = {(sweep_id, commit) for name, sweep_id, commit in acknowledged(folder) if name == table}
            check(results, table, before)
        looks += 1
    (folder / "looks").write_text(str(looks))


def check(results: ResultsTable, table: str, wanted: set[tuple[str, str]]) -> None:
    found = results.read(table, columns=["sweep_id", "trial_id"])
    counts = Counter(zip(*(column.to_pylist() for column in found.columns), strict=True))
    odd = {commit: count for commit, count in counts.items() if count != 2}
    if odd or not wanted <= counts.keys():
        raise AssertionError(f"{table}: counts {odd}, missing {sorted(wanted - counts.keys())[:5]}")


def keep_compacting(store: ObjectStore, folder: Path) -> None:
    """Compacts and tidies without any grace, which is harder on readers than anybody may be."""
    outcomes = Counter[str]()
    while _goes_on(folder):
        for table in TABLES:
            for partition in _until_it_works(partial(partitions, store, table)):
                outcomes[_until_it_works(partial(compact, store, partition)).outcome] += 1
                _until_it_works(partial(tidy, store, partition, settled_before=time.time() + 60))
        (folder / f"outcomes-{os.getpid()}").write_text(json.dumps(outcomes))


def _goes_on(folder: Path) -> bool:
    """Until told to stop, or left behind by a parent that was killed."""
    return os.getppid() == int((folder / "parent").read_text()) and not (folder / "stop").exists()


def _until_it_works(work: Callable[[], Any]) -> Any:
    """A store that fails for longer than its retries last is tried again, as a person would run the command again."""
    for _ in range(20):
        try:
            return work()
        except StorageError as e:
            last = e
    raise last


def _fork(work: Callable[[], None], name: str, folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException as e:
        (folder / f"error-{name}-{os.getpid()}").write_text(repr(e))
    finally:
        os._exit(code)


def main() -> int:
    uri, endpoint_url, folder_name, *counts = sys.argv[1:]
    num_writers, num_commits, num_kills, seed = map(int, counts)
    folder, chance = Path(folder_name), random.Random(seed)
    s3._CONFIG = s3._CONFIG.merge(Config(read_timeout=TIMEOUT_S))
    (folder / "parent").write_text(str(os.getpid()))
    store = open_store(uri, endpoint_url=endpoint_url or None)  # no client yet: each child makes its own

    def start(number: int) -> int:
        log = folder / f"writer-{number}.log"
        return _fork(lambda: write(store, log, number, num_commits), f"writer{number}", folder)

    helpers = [_fork(lambda: read(store, folder), "reader", folder)]
    compactors = {_fork(lambda: keep_compacting(store, folder), "compactor", folder) for _ in range(2)}
    writers = {start(number): number for number in range(num_writers)}
    killed = Counter[str]()
    while writers:
        time.sleep(chance.uniform(0.05, 0.2))
        if num_kills:
            num_kills -= 1
            if chance.random() < 0.2:
                victim = chance.choice(sorted(compactors))
                compactors.remove(_end(victim))
                compactors.add(_fork(lambda: keep_compacting(store, folder), "compactor", folder))
                killed["compactors"] += 1
            else:
                victim = chance.choice(sorted(writers))
                number = writers.pop(_end(victim))
                writers[start(number)] = number
                killed["writers"] += 1
        for child in list(writers):
            if os.waitpid(child, os.WNOHANG)[0]:
                del writers[child]
    (folder / "stop").touch()
    for child in [*helpers, *compactors]:
        os.waitpid(child, 0)
    print(json.dumps(killed))
    return 1 if list(folder.glob("error-*")) else 0


def _end(child: int) -> int:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return child


if __name__ == "__main__":
    sys.exit(main())
