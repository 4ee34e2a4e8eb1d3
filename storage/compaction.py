"""Brings the many small commits of a results table together in a few large objects, while others write and read.

Two steps, each of which may be killed at any moment and run again, by several processes at once:

`compact` copies commits into segments and then writes the next generation (`storage/generations.py`). From that one PUT
on, readers take the rows from the segments. The commits' own objects stay where they are.

`tidy` deletes, some time later, the objects of commits that an old enough generation holds, and puts copies of its
segments into the table's folder, for readers that know of no generations. Deletes come first, so that no row is in
that folder twice; until the copies are there, it lacks rows that `ResultsTable.read` finds. It also deletes
segments that no reader can ask for any more. Before it deletes anything it notes up to which generation: no other
tidying, however much longer its grace, goes by an earlier one, whose segments may be gone.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from storage.errors import ObjectNotFound
from storage.generations import (
    COPY,
    Generation,
    Partition,
    Segment,
    copied_for,
    encode_generation,
    encode_names,
    list_commits,
    listed_segments,
    newest_generation,
    read_names,
    segment_damage_told,
    tidied_generations,
    unless_replaced,
)
from storage.object_store import ObjectInfo, ObjectStore
from storage.parquet import to_parquet
from storage.result_rows import READ_THREADS, read_all_rows, read_in_batches, schema_of

# Writers trust what they know of the log for a tenth of this (`results_table._TRUSTED_S`).
MIN_GRACE_S = 600.0
# A segment ends when its rows take this much memory; one of less than half is merged into the next.
SEGMENT_BYTES = 64 << 20

Tell = Callable[[int, int], None]
"""Called with how many objects are done, and how many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compacted:
    """What `compact` did with one sweep's rows of one table.

    Attributes:
        outcome: `compacted`; `nothing new`; or `another process was faster`, in which case nothing has changed.
        num_commits, num_rows: newly compacted; 0 where the outcome is another.
        num_segments: of the generation that is now the newest, as far as this call knows.
    """

    partition: Partition
    outcome: Literal["compacted", "nothing new", "another process was faster"]
    num_commits: int = 0
    num_rows: int = 0
    num_segments: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidied:
    """What `tidy` did: objects of compacted commits and of old segments that it deleted, and copies that it made."""

    num_deleted: int = 0
    num_copied: int = 0


def uncompacted(store: ObjectStore, table: str, *, sweep_id: str | None = None) -> dict[Partition, list[ObjectInfo]]:
    """Partition → the objects of commits that no segment holds, for one sweep or all."""
    return unless_replaced(lambda: _uncompacted(store, table, sweep_id))


def compact(store: ObjectStore, partition: Partition, *, min_commits: int = 2, tell: Tell | None = None) -> Compacted:
    """Makes one generation of all commits there are; nothing is deleted.

    Args:
        min_commits: with fewer new ones nothing is done.
        tell: hears of progress.

    Raises:
        ObjectNotFound: a commit or segment is lost.
        StorageError: the store fails, a commit is damaged, or it has columns that this version does not know.
    """
    own = list_commits(store, partition.table, partition.sweep_id).get(partition, {})
    newest = newest_generation(store, partition)
    unchanged = Compacted(partition=partition, outcome="nothing new", num_segments=len(newest.segments))
    beaten = replace(unchanged, outcome="another process was faster")
    merged = [segment for segment in newest.segments if segment.memory_bytes < SEGMENT_BYTES // 2]
    kept = [segment for segment in newest.segments if segment not in merged]
    try:
        taken = set(read_names(store, partition, newest.segments))
        fresh = [info for commit, info in own.items() if commit not in taken]
        if len(fresh) < max(min_commits, 1):
            return unchanged
        new = _write_segments(store, partition, newest.number + 1, merged, fresh, tell)
    except ObjectNotFound:
        if newest_generation(store, partition).number == newest.number:
            raise  # nobody has compacted and tidied: something is lost
        return beaten
    if not _publish(store, partition, Generation(number=newest.number + 1, segments=(*kept, *new))):
        return beaten
    return Compacted(
        partition=partition,
        outcome="compacted",
        num_commits=len(fresh),
        num_rows=sum(segment.num_rows for segment in new) - sum(segment.num_rows for segment in merged),
        num_segments=len(kept) + len(new),
    )


def tidy(store: ObjectStore, partition: Partition, *, settled_before: float, tell: Tell | None = None) -> Tidied:
    """Deletes what the newest generation written before a moment has made needless, and copies its segments.

    A later generation counts instead where the partition was tidied up to that one already.

    Args:
        settled_before: seconds since 1970, at least `MIN_GRACE_S` ago. Readers stay right whatever it is; a writer
            that tries a deleted commit again could otherwise be told that it was the first.
    """
    done = Tidied()
    while True:
        settled, some = unless_replaced(lambda: _tidy(store, partition, settled_before, tell))
        done = Tidied(num_deleted=done.num_deleted + some.num_deleted, num_copied=done.num_copied + some.num_copied)
        # Who was overtaken by a tidying of a shorter grace may have copied a segment that it had just cleared away.
        if not some.num_copied or max(tidied_generations(store, partition), default=0) <= settled:
            return done


def _uncompacted(store: ObjectStore, table: str, sweep_id: str | None) -> dict[Partition, list[ObjectInfo]]:
    found = {}
    for partition, own in sorted(list_commits(store, table, sweep_id).items()):
        taken = set(read_names(store, partition, newest_generation(store, partition).segments))
        found[partition] = [info for commit, info in own.items() if commit not in taken]
    return found


def _tidy(store: ObjectStore, partition: Partition, settled_before: float, tell: Tell | None) -> tuple[int, Tidied]:
    """The number of the generation that counted, 0 for none, and what was done."""
    noted = tidied_generations(store, partition)
    least = max(noted, default=0)
    settled = newest_generation(store, partition, written_before=settled_before, least=least)
    if not settled.number:
        return 0, Tidied()
    if settled.number > least:
        store.put(partition.tidied_key(settled.number), b"")
    copies = {f"{COPY}{segment.name}": segment for segment in settled.segments}
    there = {partition.commit_of(info.key): info.key for info in store.list(partition.commits_prefix)}
    needless = _needless(store, partition, settled, there)
    needless += _superseded(store, partition, settled)
    needless += [partition.tidied_key(number) for number in noted if number < settled.number]
    _delete(store, needless, tell)
    missing = [segment for name, segment in copies.items() if name not in there]
    for segment in missing:
        store.put(partition.commit_key(f"{COPY}{segment.name}"), store.get(partition.rows_key(segment.name)))
    return settled.number, Tidied(num_deleted=len(needless), num_copied=len(missing))


def _needless(store: ObjectStore, partition: Partition, settled: Generation, there: Mapping[str, str]) -> list[str]:
    """Objects in the table's folder: of commits that `settled` holds, and copies of segments that are superseded.

    Args:
        there: commit or name of a copy → its object.
    """
    taken = set(read_names(store, partition, settled.segments))
    named = {f"{COPY}{segment.name}" for segment in settled.segments}

    def is_superseded(name: str) -> bool:  # as in `_superseded`: those of later generations are not ours to judge
        number = copied_for(name)
        return number is not None and number <= settled.number and name not in named

    return [key for name, key in there.items() if name in taken or is_superseded(name)]


def _publish(store: ObjectStore, partition: Partition, generation: Generation) -> bool:
    """The switch. False if another process has taken the number."""
    key, data = partition.generation_key(generation.number), encode_generation(generation)
    # After a lost answer a retry finds its own object there: the random names of the segments tell whose it is.
    return store.put_if_absent(key, data) or store.get(key) == data


def _superseded(store: ObjectStore, partition: Partition, settled: Generation) -> list[str]:
    """Objects of segments that no generation from `settled` on names, or ever will.

    A segment of an earlier or the same number that `settled` does not name was merged, or its writer came too late:
    the number was taken. Later generations name segments of their predecessor and new ones only.
    """
    named = {segment.name for segment in settled.segments}
    found = listed_segments(store, partition)
    return [info.key for info, number, name in found if number <= settled.number and name not in named]


def _delete(store: ObjectStore, keys: Sequence[str], tell: Tell | None) -> None:
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for done, _ in enumerate(pool.map(store.delete, keys)):
            if tell:
                tell(done + 1, len(keys))


def _write_segments(
    store: ObjectStore,
    partition: Partition,
    number: int,
    merged: Sequence[Segment],
    fresh: Sequence[ObjectInfo],
    tell: Tell | None,
) -> list[Segment]:
    """Segments for a generation: the rows of segments that are merged, then those of commits."""
    writer, schema, done = _SegmentWriter(store, partition, number), schema_of(partition.table), 0
    for segment in merged:
        with segment_damage_told(store, partition.rows_key(segment.name)):
            rows = read_all_rows(store, partition.rows_key(segment.name), schema)
        writer.add(read_names(store, partition, [segment]), rows)
    for some, rows in read_in_batches(fresh, lambda info: read_all_rows(store, info.key, schema)):
        writer.add([partition.commit_of(info.key) for info in some], rows)
        done += len(some)
        if tell:
            tell(done, len(fresh))
    writer.close()
    return writer.segments


@dataclass(slots=True)
class _SegmentWriter:
    """Gathers rows and writes a segment whenever there are enough."""

    store: ObjectStore
    partition: Partition
    number: int
    segments: list[Segment] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)
    _memory_bytes: int = 0

    def add(self, names: Sequence[str], rows: pa.Table) -> None:
        self._names += names
        self._tables.append(rows)
        self._memory_bytes += rows.nbytes
        if self._memory_bytes >= SEGMENT_BYTES:
            self.close()

    def close(self) -> None:
        """Writes what has been gathered, if anything."""
        if not self._names:
            return
        name = f"{self.number:08d}-{uuid.uuid4().hex}"
        rows = pa.concat_tables(self._tables)
        data = to_parquet(rows)
        self.store.put(self.partition.names_key(name), encode_names(self._names))
        self.store.put(self.partition.rows_key(name), data)
        segment = Segment(
            name=name,
            num_commits=len(self._names),
            num_rows=rows.num_rows,
            size_bytes=len(data),
            memory_bytes=self._memory_bytes,
        )
        self.segments.append(segment)
        self._names, self._tables, self._memory_bytes = [], [], 0
