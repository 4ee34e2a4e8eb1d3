"""How long it takes to read what a leaderboard or jobs/status.py needs, from one-row commits and after compaction.

python benchmarks/results_table.py [--quick] [--trials 5000] [--epochs 20] [--s3-trials 250] [--rounds 3]

A sweep of stub trials is committed as a sweep does it: a suggestion, every epoch, a seed and an end are each an object
of one row. Then the tables of the leaderboard (sweeps, suggestions, trials, seeds, epochs, failures) are read: through
`ResultsTable`, and on the disk by pandas from the folders, as a notebook would do it. The names of all commits are
listed; and the state of the sweep is read as jobs/status.py does it, and read again by the same process, as its --watch
does. On a disk and on S3, and the same again after `compact` and after `tidy`. The S3 is moto over HTTP on loopback, in
a process of its own: a request costs what its Python takes, some milliseconds of a core. Each figure is a median over
rounds; before and after cannot be interleaved, as one becomes the other.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from storage.compaction import compact, tidy
from storage.generations import Partition, snapshot
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from storage.sweep_state import SweepReader

SWEEP = "benchmark"
TABLES = ("sweeps", "suggestions", "trials", "seeds", "epochs", "failures")
_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""

Timings = dict[str, tuple[float, int]]
"""State of the table → (seconds to read the leaderboard's tables, objects that were read)."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few trials: within a minute, and noisy")
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--s3-trials", type=int, default=250, help="moto needs milliseconds of CPU for each object")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    num_trials, num_s3_trials, rounds = arguments.trials, arguments.s3_trials, arguments.rounds
    if arguments.quick:
        num_trials, num_s3_trials, rounds = 100, 10, 1
    print_machine(("pyarrow", "boto3", "moto", "pandas"), num_cores=len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder:
        local = _measure(open_store(folder), num_trials, arguments.epochs, rounds, folder=Path(folder))
    _print_table("disk", local, num_trials, arguments.epochs)
    with moto() as store:
        s3 = _measure(store, num_s3_trials, arguments.epochs, rounds, folder=None)
    _print_table("S3 (moto)", s3, num_s3_trials, arguments.epochs)
    for name, found in {"local": local, "s3": s3}.items():
        _print_figures(name, found)
    return 0


def _measure(store: ObjectStore, num_trials: int, num_epochs: int, rounds: int, *, folder: Path | None) -> Timings:
    found: Timings = {}
    started = time.perf_counter()
    num_commits = _fill(ResultsTable(store), num_trials, num_epochs)
    found["write, one-row commits"] = time.perf_counter() - started, num_commits
    _time_readers(store, "one-row commits", found, rounds, folder)
    started = time.perf_counter()
    for table in TABLES:
        compact(store, Partition(table=table, sweep_id=SWEEP))
    found["compact"] = time.perf_counter() - started, num_commits
    _time_readers(store, "compacted", found, rounds, None)
    started = time.perf_counter()
    for table in TABLES:
        tidy(store, Partition(table=table, sweep_id=SWEEP), settled_before=float("inf"))
    found["tidy"] = time.perf_counter() - started, num_commits
    _time_readers(store, "compacted and tidied", found, rounds, folder)
    return found


def _time_readers(store: ObjectStore, state: str, found: Timings, rounds: int, folder: Path | None) -> None:
    num_objects = sum(len(snapshot(store, table, sweep_id=SWEEP)) for table in TABLES)
    found[f"read, {state}"] = _median(lambda: _read(store), rounds), num_objects
    found[f"list commits, {state}"] = _median(lambda: _list(store), rounds), num_objects
    readers: list[SweepReader] = []
    found[f"status, {state}"] = _median(lambda: readers.append(_look(store)), rounds), num_objects
    found[f"status again, {state}"] = _median(lambda: _look_again(readers[-1]), rounds), num_objects
    if folder:
        found[f"pandas, {state}"] = _median(lambda: _read_by_pandas(folder), rounds), num_objects


def _read(store: ObjectStore) -> None:
    table = ResultsTable(store)
    for name in TABLES:
        table.read(name, sweep_id=SWEEP).to_pandas()


def _look(store: ObjectStore) -> SweepReader:
    reader = SweepReader(ResultsTable(store), SWEEP)
    reader.read()
    return reader


def _look_again(reader: SweepReader) -> None:
    reader.read()


def _list(store: ObjectStore) -> None:
    table = ResultsTable(store)
    for name in TABLES:
        table.commits(name, sweep_id=SWEEP)


def _read_by_pandas(folder: Path) -> None:
    for name in TABLES:
        part = folder / "results" / name / f"sweep={SWEEP}"
        if part.is_dir():
            pd.read_parquet(part)


def _median(work: Callable[[], None], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _fill(table: ResultsTable, num_trials: int, num_epochs: int) -> int:
    """Commits a sweep of stub trials; the number of its commits."""
    commits = list(_commits(num_trials, num_epochs))
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda c: table.commit(c[0], sweep_id=SWEEP, commit=c[1], rows=[c[2]]), commits):
            pass
    return len(commits)


def _commits(num_trials: int, num_epochs: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    now = datetime.now(UTC)
    yield "sweeps", "sweep", {**_SWEEP_ROW, "started_at": now}
    for number in range(num_trials):
        trial_id = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex[:16]
        trial = {"sweep_id": SWEEP, "trial_id": trial_id, "architecture": "cnn"}
        yield "suggestions", f"number{number:05d}", {**_SUGGESTION_ROW, **trial, "number": number}
        for epoch in range(1, num_epochs + 1):
            row = {**_EPOCH_ROW, **trial, "epoch": epoch, "seed_epoch": epoch, "objective": epoch / num_epochs}
            yield "epochs", f"{trial_id}-seed42-epoch{epoch:04d}", row
        yield "seeds", f"{trial_id}-seed42", {**_SEED_ROW, **trial, "epochs_trained": num_epochs}
        end = {"number": number, "state": "finished", "seed_epochs": num_epochs, "objective": 0.9, "ended_at": now}
        yield "trials", trial_id, {**trial, **end}


_SWEEP_ROW = {
    "sweep_id": SWEEP,
    **dict.fromkeys(("dataset", "fingerprint", "split_hash", "split_policy"), "x" * 16),
    "labels": [f"label{number}" for number in range(10)],
    "settings": "{}",
    "versions": "{}",
}
_SUGGESTION_ROW = {
    "parameters": '{"learning_rate": 0.00166, "weight_decay": 0.00216, "model.dropout": 0.264}',
    "distributions": "{}" + " " * 600,
    "configuration": '{"seeds": [42], "epochs": 20}' + " " * 1500,
    "untuned_default": False,
}
_EPOCH_ROW = {
    "seed": 42,
    **dict.fromkeys(("train_loss", "validation_loss", "validation_accuracy", "validation_score"), 0.75),
    "learning_rate": 1e-3,
    "epoch_seconds": 1.5,
}
_SEED_ROW = {
    "seed": 42,
    "best_epoch": 7,
    **dict.fromkeys(("validation_accuracy", "validation_macro_f1", "test_accuracy", "test_macro_f1"), 0.8),
    "test_recall": [0.8] * 10,
    "test_confusion": [[1] * 10] * 10,
    "train_seconds": 30.0,
    "num_parameters": 1_000_000,
    "device": "cpu",
}


@contextmanager
def moto() -> Iterator[ObjectStore]:
    """A store in an empty bucket of a server of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        endpoint_url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ[name] = "benchmark"
        os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
        os.environ["AWS_ENDPOINT_URL"] = endpoint_url  # for processes that this one starts
        boto3.session.Session().client("s3", endpoint_url=endpoint_url).create_bucket(Bucket="benchmark")
        yield open_store("s3://benchmark/prefix", endpoint_url=endpoint_url)
    finally:
        process.communicate(timeout=30)


def _print_table(where: str, found: Timings, num_trials: int, num_epochs: int) -> None:
    print(f"\n{where}: {num_trials} trials × {num_epochs} epochs, tables of the leaderboard")
    print(f"  {'':40s} {'seconds':>9s} {'objects':>9s}")
    for name, (seconds, num_objects) in found.items():
        print(f"  {name:40s} {seconds:9.3f} {num_objects:9d}")


def _print_figures(where: str, found: Timings) -> None:
    """Ratios of seconds, larger is better: before ÷ after."""
    seconds = {name: value for name, (value, _) in found.items()}
    for state in ("compacted", "compacted and tidied"):
        speed_up = seconds["read, one-row commits"] / seconds[f"read, {state}"]
        print(f"figure results_table.{where}_read_{state.replace(' ', '_')} {speed_up:.1f}")
    for again in ("", " again"):
        told = seconds["read, one-row commits"] / seconds[f"status{again}, one-row commits"]
        print(f"figure results_table.{where}_read_vs_status{again.replace(' ', '_')} {told:.1f}")
    listed = seconds["list commits, one-row commits"] / seconds["list commits, compacted and tidied"]
    print(f"figure results_table.{where}_list_compacted_and_tidied {listed:.1f}")
    if "pandas, one-row commits" in seconds:
        by_pandas = seconds["pandas, one-row commits"] / seconds["read, compacted and tidied"]
        print(f"figure results_table.{where}_pandas_before_vs_read_after {by_pandas:.1f}")


if __name__ == "__main__":
    sys.exit(main())
