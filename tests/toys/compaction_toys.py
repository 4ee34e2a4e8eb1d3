"""Small commits and what readers see of them; tests import this by the name `compaction_toys`."""

import math
from datetime import UTC, datetime

from storage.compaction import compact, tidy
from storage.generations import Partition
from storage.object_store import ObjectStore
from storage.parquet import read_parquet
from storage.results_table import ResultsTable

SWEEP = Partition(table="failures", sweep_id="s")
_NAMES = ("trial_id", "failure_id")
EVER = math.inf  # settled_before: every generation is old enough


def write(store: ObjectStore, commit: str, *, num_rows: int = 1, sweep_id: str = "s", reason: str = "r") -> bool:
    row = {"sweep_id": sweep_id, "trial_id": commit, "reason": reason, "detail": "", "failed_at": datetime.now(UTC)}
    rows = [{**row, "failure_id": str(number)} for number in range(num_rows)]
    return ResultsTable(store).commit("failures", sweep_id=sweep_id, commit=commit, rows=rows)


def rows_of(store: ObjectStore) -> list[tuple[str, str]]:
    """(commit, number of its row) of every row that a new reader sees."""
    table = ResultsTable(store).read("failures", columns=_NAMES)
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))


def seen_plainly(store: ObjectStore) -> list[tuple[str, str]]:
    """(commit, number of its row) of every row that a reader sees who knows of no generations."""
    tables = [read_parquet(store, info.key) for info in store.list(SWEEP.commits_prefix)]
    columns = [[value for table in tables for value in table.column(name).to_pylist()] for name in _NAMES]
    return sorted(zip(*columns, strict=True))


def once(*commits: str) -> list[tuple[str, str]]:
    return sorted((commit, "0") for commit in commits)


def finish(store: ObjectStore) -> None:
    compact(store, SWEEP, min_commits=1)
    tidy(store, SWEEP, settled_before=EVER)
