"""The rows of a few trials out of a sweep's many: predictions are by far the largest table, and a page shows few.

Enters: a results table and trial ids. Leaves: their rows. Commits of these tables begin with the trial's id, so that no
object of another trial is fetched; a segment of compacted commits is read whole where it holds a wanted one.
"""

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import InvalidInput
from storage.generations import (
    Partition,
    Segment,
    list_commits,
    newest_generation,
    read_names,
    segment_damage_told,
    unless_replaced,
)
from storage.object_store import ObjectInfo, ObjectStore
from storage.result_rows import chosen_columns, read_in_batches, read_rows
from storage.results_table import ResultsTable

NAMED_BY_TRIAL = ("trials", "seeds", "epochs", "predictions", "failures")


def read_trials(
    results: ResultsTable,
    table: str,
    *,
    sweep_id: str,
    trial_ids: Collection[str],
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Every committed row of these trials once; trials without rows are no error.

    Args:
        table: one of NAMED_BY_TRIAL.
        columns: those wanted, `trial_id` among them; None for all.

    Raises:
        InvalidInput: the table's commits are named otherwise, or there is no such column.
        StorageError: an object is damaged or does not fit the table.
    """
    if table not in NAMED_BY_TRIAL:
        raise InvalidInput(
            "results table", given=table, allowed=", ".join(NAMED_BY_TRIAL), remedy="Read the whole table."
        )
    schema, partition = chosen_columns(table, columns), Partition(table=table, sweep_id=sweep_id)
    wanted = pa.array(sorted(set(trial_ids)), pa.string())

    def of_trials(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.is_in(rows.column("trial_id"), value_set=wanted))

    def look() -> pa.Table:
        own, segments = _objects(results.store, partition, trial_ids)
        found = [of_trials(_read(results.store, info, schema)) for info in segments]
        pieces = read_in_batches(own, lambda info: _read(results.store, info, schema))
        return pa.concat_tables([schema.empty_table(), *found, *(of_trials(rows) for _, rows in pieces)])

    return unless_replaced(look)


def _objects(
    store: ObjectStore, partition: Partition, trial_ids: Collection[str]
) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
    """(commits of their own, segments) that hold rows of these trials."""
    own = list_commits(store, partition.table, partition.sweep_id).get(partition, {})
    segments = newest_generation(store, partition).segments  # asked for after the listing, see `list_commits`
    names = {segment: read_names(store, partition, [segment]) for segment in segments}
    taken = {name for of_segment in names.values() for name in of_segment}
    begins = tuple(f"{trial_id}-" for trial_id in trial_ids)

    def is_wanted(commit: str) -> bool:
        return f"{commit}-".startswith(begins)

    commits = [info for commit, info in own.items() if is_wanted(commit) and commit not in taken]
    return commits, _segments(partition, {segment: any(map(is_wanted, names[segment])) for segment in segments})


def _segments(partition: Partition, is_wanted: Mapping[Segment, bool]) -> list[ObjectInfo]:
    return [
        ObjectInfo(key=partition.rows_key(segment.name), size_bytes=segment.size_bytes)
        for segment, wanted in is_wanted.items()
        if wanted
    ]


def _read(store: ObjectStore, info: ObjectInfo, schema: pa.Schema) -> pa.Table:
    with segment_damage_told(store, info.key):
        return read_rows(store, info.key, schema, size_bytes=info.size_bytes)
