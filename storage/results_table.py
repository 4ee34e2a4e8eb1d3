"""The results tables: append-only, immutable Parquet objects, one conditional PUT per commit.

    results/<table>/sweep=<sweep_id>/<commit>.parquet

`commit` is deterministic (`<trial_id>-seed42-epoch0007`), so a retry, a resumed process or a second process that does
the same work finds its key taken and changes nothing: no duplicate, no loss, no lock. The folders are hive partitions;
pandas, polars, DuckDB and pyarrow read them as they are.

Many small commits may be brought together in a few large objects (`storage/compaction.py`), while others write and
read: a reader sees every row once, and a name that was compacted stays taken.
"""

import contextlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.errors import StorageError
from storage.generations import (
    COPY,
    Partition,
    Segment,
    list_commits,
    newest_generation,
    read_names,
    segment_damage_told,
    snapshot,
    unless_replaced,
)
from storage.object_store import ObjectInfo, ObjectStore
from storage.result_rows import chosen_columns, encode_rows, read_in_batches, read_rows, schema_of

_NAME = re.compile(r"[A-Za-z0-9._=-]+")
# Compacted commits are deleted no sooner than ten times this after their generation (`compaction.MIN_GRACE_S`).
_TRUSTED_S = 60.0
# One that goes on while the machine is suspended. Linux's monotonic clock stands still then; that of macOS goes on.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class ResultsTable:
    """All results tables of one store. Commits are atomic and idempotent, from any thread and process."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._compacted = _CompactedNames(store)

    def commit(self, table: str, *, sweep_id: str, commit: str, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Appends rows as one object.

        Args:
            commit: the deterministic name of this piece of work; letters, digits and `._=-`, not beginning with
                `compacted-`.
            rows: one mapping per row with the table's columns; those that may be null may be left out.

        Returns:
            True if this call wrote them, False if this commit was there already, compacted or not.

        Raises:
            ValueError: a row lacks a column or has one too many, a value does not fit its type, or a name has other
                characters.
        """
        schema_of(table)
        for field, name in (("sweep_id", sweep_id), ("commit", commit)):
            if not _NAME.fullmatch(name) or name.startswith(COPY):
                raise ValueError(f"{field}: got {name!r}; allowed: letters, digits and ._=-, and no {COPY}…")
        data = encode_rows(table, rows)
        partition = Partition(table=table, sweep_id=sweep_id)
        if self._compacted.holds(partition, commit):
            return False
        written = self.store.put_if_absent(partition.commit_key(commit), data)
        if not written or not self._compacted.holds(partition, commit):
            return written
        is_first = unless_replaced(lambda: self._is_first(partition, commit))
        if not is_first:
            # Where nobody may delete results but who tidies them, it stays until then; `read` does not count it.
            with contextlib.suppress(StorageError):
                self.store.delete(partition.commit_key(commit))
        return is_first

    def _is_first(self, partition: Partition, commit: str) -> bool:
        """Whether a compacted commit is what this process has just written, and not one that was deleted before.

        A commit's object is deleted long after its generation was written. So if no generation from before our write
        holds the name, it was free, and it is our row that was compacted since. Both times are the store's.
        """
        key = partition.commit_key(commit)
        own = next((info for info in self.store.list(key) if info.key == key), None)
        if own is None:
            return False  # tidied up, whosever it was
        before = newest_generation(self.store, partition, written_before=own.modified_at)
        return commit not in read_names(self.store, partition, before.segments)

    def read(self, table: str, *, sweep_id: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Every committed row of a table once, of one sweep or of all; empty when there is none.

        Args:
            sweep_id: one that no sweep can have, for example with a `/`, has no rows.
            columns: those wanted, in this order; None for all. Of large objects no others are fetched.

        Raises:
            InvalidInput: there is no such table or column.
            StorageError: an object is damaged or does not fit the table.
        """
        schema = chosen_columns(table, columns)
        if sweep_id is not None and not _NAME.fullmatch(sweep_id):
            return schema.empty_table()  # a prefix with a `/` would lead elsewhere in the store
        return unless_replaced(lambda: self._read_snapshot(table, sweep_id, schema))

    def commits(self, table: str, *, sweep_id: str) -> set[str]:
        """The names of a sweep's commits to a table, compacted or not; no rows are read."""
        partition = Partition(table=table, sweep_id=sweep_id)
        own = list_commits(self.store, table, sweep_id).get(partition, {})
        return own.keys() | self._compacted.names(partition)

    def _read_snapshot(self, table: str, sweep_id: str | None, schema: pa.Schema) -> pa.Table:
        objects = snapshot(self.store, table, sweep_id=sweep_id)

        def read(info: ObjectInfo) -> pa.Table:
            with segment_damage_told(self.store, info.key):
                return read_rows(self.store, info.key, schema, size_bytes=info.size_bytes)

        return pa.concat_tables([schema.empty_table(), *(rows for _, rows in read_in_batches(objects, read))])


class _CompactedNames:
    """Names of compacted commits, asked for again once they are older than `_TRUSTED_S`.

    A commit's object is deleted long after its generation was written. So if the names are younger than that, a key
    that is free was never taken, and a writer need not ask before each of its writes.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[Partition, tuple[float, tuple[Segment, ...], frozenset[str]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_store": self._store, "_known": {}}  # another machine has another clock

    def holds(self, partition: Partition, commit: str) -> bool:
        read_at, _, names = self._known.get(partition, (float("-inf"), (), frozenset[str]()))
        return commit in (names if time.clock_gettime(_CLOCK) - read_at < _TRUSTED_S else self.names(partition))

    def names(self, partition: Partition) -> frozenset[str]:
        """As they are now."""
        return unless_replaced(lambda: self._ask(partition))

    def _ask(self, partition: Partition) -> frozenset[str]:
        asked_at = time.clock_gettime(_CLOCK)
        generation = newest_generation(self._store, partition)
        _, segments, names = self._known.get(partition, (0.0, (), frozenset[str]()))
        if generation.segments != segments:
            names = frozenset(read_names(self._store, partition, generation.segments))
        self._known[partition] = asked_at, generation.segments, names
        return names
