"""All sweeps of a store, by the names of their commits. Enters: a results table. Leaves: a `SweepSummary` of each."""

import datetime
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.generations import partitions
from storage.once_read import Commits, find_commits, written_at
from storage.results_table import ResultsTable
from storage.sweep_state import Planned, planned_by, told_at


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepSummary:
    """One of many; attributes as of `SweepState`, where each has its own."""

    sweep_id: str
    kind: str
    of_sweep: str | None
    started_at: datetime.datetime
    num_ended: int
    num_suggested: int
    num_planned: int
    is_over: bool
    newest_at: float


def list_sweeps(results: ResultsTable) -> list[SweepSummary]:
    """Every sweep, experiment, confirmation and audit of a store, the oldest first.

    Raises:
        StorageError: the store fails, or an object in it is damaged.
    """
    columns = ("sweep_id", "kind", "of_sweep", "started_at", "settings")
    rows = {row["sweep_id"]: row for row in results.read("sweeps", columns=columns).to_pylist()}
    extended = Counter[str]()
    for row in results.read("extensions", columns=("sweep_id", "extend")).to_pylist():
        extended[row["sweep_id"]] = max(extended[row["sweep_id"]], row["extend"])
    suggested, ended = find_commits(results.store, "suggestions"), find_commits(results.store, "trials")
    found = [
        _summary(results, row, suggested.get(name, {}), ended.get(name, {}), extend=extended[name])
        for name, row in rows.items()
    ]
    return sorted(found, key=lambda summary: (summary.started_at, summary.sweep_id))


def follow_ups(results: ResultsTable, sweep_id: str) -> list[str]:
    """Ids of the confirmations and audits of a sweep, the oldest first; they begin with the sweep's and a hyphen."""
    ids = [partition.sweep_id for partition in partitions(results.store, "sweeps")]
    columns = ("sweep_id", "of_sweep", "started_at")
    found = [
        row
        for name in ids
        if name.startswith(f"{sweep_id}-")
        for row in results.read("sweeps", sweep_id=name, columns=columns).to_pylist()
        if row["of_sweep"] == sweep_id
    ]
    return [row["sweep_id"] for row in sorted(found, key=lambda row: row["started_at"])]


def _summary(
    results: ResultsTable, row: Mapping[str, Any], suggested: Commits, ended: Commits, *, extend: int
) -> SweepSummary:
    sweep_id = row["sweep_id"]
    plain = Planned(num_trials=len(suggested), seed_epochs=0, is_exact=True)
    planned = planned_by(row, extend=extend) or plain
    is_over = planned.is_over(num_suggested=len(suggested), num_ended=len(ended))
    return SweepSummary(
        sweep_id=sweep_id,
        kind=row["kind"] or "sweep",
        of_sweep=row["of_sweep"],
        started_at=row["started_at"],
        num_ended=len(ended),
        num_suggested=len(suggested),
        num_planned=planned.num_trials,
        is_over=is_over,
        newest_at=_newest_at(results, row, [suggested, ended], is_over=is_over),
    )


def _newest_at(results: ResultsTable, row: Mapping[str, Any], listed: list[Commits], *, is_over: bool) -> float:
    """Of a sweep that is over the ends are the newest, and there is no need to list its epochs."""
    sweep_id = row["sweep_id"]
    tables = () if is_over else ("epochs", "seeds", "decisions", "failures")
    more = [find_commits(results.store, table, sweep_id).get(sweep_id, {}) for table in tables]
    times = [at for commits in (*listed, *more) for at in written_at(commits)]
    if times:
        return max(times)
    return told_at(row, results.read("trials", sweep_id=sweep_id, columns=("ended_at",)).to_pylist())
