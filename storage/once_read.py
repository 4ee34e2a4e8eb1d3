"""Rows of a sweep for who asks for them again and again: an object of the results table that was read once is kept.

Enters: a store and a sweep's id. Leaves: rows, names of commits, and when each was written. Objects never change, so
that only new ones are fetched; of many small commits, names cost a request a thousand, rows a request each.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.chosen_trials import read_trials
from storage.errors import ObjectNotFound
from storage.generations import (
    Partition,
    list_commits,
    newest_generations,
    read_names,
    segment_damage_told,
    snapshot,
    unless_replaced,
)
from storage.object_store import ObjectInfo, ObjectStore
from storage.result_rows import chosen_columns, read_in_batches, read_rows
from storage.results_table import ResultsTable

# Commit → its object; None where it lies in a segment alone.
Commits = Mapping[str, ObjectInfo | None]
_OF_EPOCH = ("trial_id", "seed", "epoch", "objective")


def find_commits(store: ObjectStore, table: str, sweep_id: str | None = None) -> dict[str, Commits]:
    """Sweep → its commits to a table; no rows are read."""
    return unless_replaced(lambda: _find_commits(store, table, sweep_id))


def _find_commits(store: ObjectStore, table: str, sweep_id: str | None) -> dict[str, Commits]:
    own = list_commits(store, table, sweep_id)
    generations = newest_generations(store, table, sweep_id)  # asked for after the listing, see `list_commits`
    found: dict[str, dict[str, ObjectInfo | None]] = defaultdict(dict)
    for partition, generation in generations.items():
        found[partition.sweep_id].update(dict.fromkeys(read_names(store, partition, generation.segments)))
    for partition, objects in own.items():
        found[partition.sweep_id].update(objects)
    return dict(found)


def written_at(commits: Commits) -> list[float]:
    """When they were written, in seconds since 1970 by the store's clock; of what lies in segments nobody knows."""
    return [info.modified_at for info in commits.values() if info]


class Rows:
    """The rows of one table of a sweep, in some columns.

    Attributes:
        written_at: when what was read last was written; segments of compacted commits do not tell.
    """

    def __init__(self, store: ObjectStore, partition: Partition, columns: Sequence[str]) -> None:
        self._store, self._partition = store, partition
        self._schema = chosen_columns(partition.table, columns)
        self._known: dict[str, list[dict[str, Any]]] = {}
        self.written_at: tuple[float, ...] = ()

    def read(self) -> list[dict[str, Any]]:
        """Every committed row once, as they are now."""
        return unless_replaced(self._look)

    def _look(self) -> list[dict[str, Any]]:
        objects = snapshot(self._store, self._partition.table, sweep_id=self._partition.sweep_id)
        for _ in read_in_batches([info for info in objects if info.key not in self._known], self._fetch):
            pass
        self._known = {info.key: self._known[info.key] for info in objects}
        self.written_at = tuple(info.modified_at for info in objects if info.modified_at)
        return [row for rows in self._known.values() for row in rows]

    def _fetch(self, info: ObjectInfo) -> pa.Table:
        with segment_damage_told(self._store, info.key):
            rows = read_rows(self._store, info.key, self._schema, size_bytes=info.size_bytes)
        self._known[info.key] = rows.to_pylist()
        return rows


class Objectives:
    """The objectives of a few epochs of a sweep."""

    def __init__(self, results: ResultsTable, sweep_id: str) -> None:
        self._results, self._sweep_id = results, sweep_id
        self._schema = chosen_columns("epochs", _OF_EPOCH)
        self._known: dict[str, float] = {}

    def of(self, commits: Mapping[str, tuple[str, ObjectInfo | None]]) -> dict[str, float]:
        """Trial → objective. Args: commits: trial → the commit of an epoch of its own, and its object."""
        missing = {trial_id: info for trial_id, (name, info) in commits.items() if name not in self._known}
        try:
            self._fetch([info for info in missing.values() if info])
        except ObjectNotFound:  # compacted and deleted since it was listed
            self._search(missing)
        self._search([trial_id for trial_id, info in missing.items() if info is None])
        return {trial_id: self._known[name] for trial_id, (name, _) in commits.items() if name in self._known}

    def _fetch(self, objects: Sequence[ObjectInfo]) -> None:
        store = self._results.store
        for _, rows in read_in_batches(objects, lambda info: read_rows(store, info.key, self._schema)):
            self._keep(rows)

    def _search(self, trial_ids: Collection[str]) -> None:
        if trial_ids:
            self._keep(
                read_trials(self._results, "epochs", sweep_id=self._sweep_id, trial_ids=trial_ids, columns=_OF_EPOCH)
            )

    def _keep(self, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            self._known[f"{row['trial_id']}-seed{row['seed']}-epoch{row['epoch']:04d}"] = row["objective"]
