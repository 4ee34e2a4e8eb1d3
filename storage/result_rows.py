"""Rows of the results tables as Parquet bytes, and back in the columns of today.

Enters: mappings, or an object that some version of melsweep wrote. Leaves: bytes; an Arrow table with the columns of
`storage/schemas.py`, null where the object is older than the column.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from storage.errors import InvalidInput, StorageError, nearest
from storage.object_store import ObjectInfo, ObjectStore
from storage.parquet import open_parquet, read_small_parquet, select_columns, to_parquet
from storage.schemas import TABLES

READ_THREADS = 16
# Kept as tables of their own at once: this many objects, or fewer that are this large together.
_OBJECTS_AT_ONCE = 512
_BYTES_AT_ONCE = 16 << 20
# Below this, one request for the whole object is faster than three or four for its footer and some columns.
_READ_WHOLE_BYTES = 1 << 20


def schema_of(table: str) -> pa.Schema:
    """The columns of a table. Raises `InvalidInput` when there is no such table."""
    if table not in TABLES:
        raise InvalidInput(
            "results table", given=table, allowed=", ".join(TABLES), remedy=nearest(table, TABLES) or "Choose one."
        )
    return TABLES[table]


def chosen_columns(table: str, columns: Sequence[str] | None) -> pa.Schema:
    """The schema of some columns, in the order asked for; None for all.

    Raises:
        InvalidInput: there is no such table, or it has no such column.
    """
    schema = schema_of(table)
    if columns is None:
        return schema
    for name in columns:
        if name not in schema.names:
            raise InvalidInput(
                f"column of {table}",
                given=name,
                allowed=", ".join(schema.names),
                remedy=nearest(name, schema.names) or "Choose one of these.",
            )
    return pa.schema([schema.field(name) for name in columns])


def encode_rows(table: str, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Parquet bytes of rows.

    Raises:
        ValueError: a row lacks a column or has one too many, or a value does not fit its type.
    """
    rows, schema = list(rows), schema_of(table)
    integers = [field.name for field in schema if pa.types.is_integer(field.type)]
    required = {field.name for field in schema if not field.nullable}
    for row in rows:
        if not required <= row.keys() <= set(schema.names):
            wrong = (required - row.keys()) | (row.keys() - set(schema.names))
            raise ValueError(f"{table}: columns differ from the schema: {sorted(wrong)}")
        for name in integers:
            if isinstance(row.get(name), float):  # Arrow would cut the fraction off
                raise ValueError(f"{table}.{name}: got {row[name]!r}; allowed: an integer")
    try:
        return to_parquet(pa.Table.from_pylist(rows, schema=schema))
    except (pa.ArrowException, OverflowError) as e:
        raise ValueError(f"{table}: a value does not fit its column: {e}") from e


def read_rows(store: ObjectStore, key: str, schema: pa.Schema, *, size_bytes: int = 0) -> pa.Table:
    """The rows of one object in the columns of `schema`, which may be some of its table's.

    Args:
        size_bytes: of the object; of a large one only the columns are fetched.

    Raises:
        ObjectNotFound: there is no such object.
        StorageError: it is damaged, or lacks a column that may not be null.
    """
    if size_bytes <= _READ_WHOLE_BYTES:
        return _fitted(store, key, read_small_parquet(store, key, columns=schema.names), schema)
    with open_parquet(store, key) as file:
        there = file.schema_arrow.names
        found = select_columns(file, [name for name in schema.names if name in there] or there[:1])
    return _fitted(store, key, found, schema)


def read_all_rows(store: ObjectStore, key: str, schema: pa.Schema) -> pa.Table:
    """As `read_rows`, for who writes the rows again: a column that this version does not know would be lost.

    Raises:
        StorageError: as `read_rows`, and when there is such a column.
    """
    found = read_small_parquet(store, key)
    unknown = sorted(set(found.column_names) - set(schema.names))
    if unknown:
        raise StorageError(
            f"{store.uri}: {key!r} has a column {unknown[0]!r} that this version of melsweep does not know. "
            "Compact with the newest version that writes to this store."
        )
    return _fitted(store, key, found, schema)


def read_in_batches(
    objects: Iterable[ObjectInfo], read: Callable[[ObjectInfo], pa.Table]
) -> Iterator[tuple[list[ObjectInfo], pa.Table]]:
    """Some objects at a time, with their rows in one table of few pieces; many are read at once.

    A table of one row takes some 100 times the memory of its row, so that 100,000 of them are not to be kept.
    """
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for some in _batches(objects):
            yield some, pa.concat_tables(list(pool.map(read, some))).combine_chunks()


def _batches(objects: Iterable[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    some: list[ObjectInfo] = []
    size_bytes = 0
    for info in objects:
        some.append(info)
        size_bytes += info.size_bytes
        if len(some) == _OBJECTS_AT_ONCE or size_bytes >= _BYTES_AT_ONCE:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some


def _fitted(store: ObjectStore, key: str, found: pa.Table, schema: pa.Schema) -> pa.Table:
    if found.schema.equals(schema):
        return found
    for field in schema:
        if field.name not in found.column_names and field.nullable:  # added to the schema after this object
            found = found.append_column(field, pa.nulls(found.num_rows, field.type))
    try:
        return found.select(schema.names).cast(schema)
    except (KeyError, ValueError) as e:
        raise StorageError(
            f"{store.uri}: {key!r} does not fit the table's schema ({e}). "
            "Read it with the version of melsweep that wrote it."
        ) from e
