"""The results tables: append-only, immutable Parquet objects, one conditional PUT per commit.

    results/<table>/sweep=<sweep_id>/<commit>.parquet

`commit` is deterministic (`<trial_id>-seed42-epoch0007`), so a retry, a resumed process or a second process that does
the same work finds its key taken and changes nothing: no duplicate, no loss, no lock. The folders are hive partitions;
pandas, polars, DuckDB and pyarrow read them as they are.
"""

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from storage.errors import InvalidInput, StorageError, nearest
from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet
from storage.schemas import TABLES

_NAME = re.compile(r"[A-Za-z0-9._=-]+")
_READ_THREADS = 16


class ResultsTable:
    """All results tables of one store. Commits are atomic and idempotent, from any thread and process."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def commit(self, table: str, *, sweep_id: str, commit: str, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Appends rows as one object.

        Args:
            commit: the deterministic name of this piece of work; letters, digits and `._=-`.
            rows: one mapping per row with the table's columns; those that may be null may be left out.

        Returns:
            True if this call wrote them, False if this commit was there already.

        Raises:
            ValueError: a row lacks a column or has one too many, a value does not fit its type, or a name has other
                characters.
        """
        schema = _schema(table)
        for field, name in (("sweep_id", sweep_id), ("commit", commit)):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{field}: got {name!r}; allowed: letters, digits and ._=-")
        data = _encode(table, list(rows), schema)
        return self.store.put_if_absent(f"results/{table}/sweep={sweep_id}/{commit}.parquet", data)

    def read(self, table: str, *, sweep_id: str | None = None) -> pa.Table:
        """Every committed row of a table, of one sweep or of all; empty when there is none."""
        schema = _schema(table)
        prefix = f"results/{table}/" + (f"sweep={sweep_id}/" if sweep_id is not None else "")
        keys = [info.key for info in self.store.list(prefix) if info.key.endswith(".parquet")]
        with ThreadPoolExecutor(_READ_THREADS) as pool:
            tables = list(pool.map(lambda key: self._read_commit(key, schema), keys))
        return pa.concat_tables([schema.empty_table(), *tables])

    def commits(self, table: str, *, sweep_id: str) -> set[str]:
        """The names of a sweep's commits to a table; nothing is read but the listing."""
        prefix = f"results/{table}/sweep={sweep_id}/"
        return {info.key.removeprefix(prefix).removesuffix(".parquet") for info in self.store.list(prefix)}

    def _read_commit(self, key: str, schema: pa.Schema) -> pa.Table:
        found = read_parquet(self.store, key)
        for field in schema:
            if field.name not in found.column_names and field.nullable:  # added to the schema after this commit
                found = found.append_column(field, pa.nulls(found.num_rows, field.type))
        try:
            return found.select(schema.names).cast(schema)
        except (KeyError, ValueError) as e:
            raise StorageError(
                f"{self.store.uri}: {key!r} does not fit the table's schema ({e}). "
                "Read it with the version of melsweep that wrote it."
            ) from e


def _encode(table: str, rows: list[Mapping[str, Any]], schema: pa.Schema) -> bytes:
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


def _schema(table: str) -> pa.Schema:
    if table not in TABLES:
        raise InvalidInput(
            "results table", given=table, allowed=", ".join(TABLES), remedy=nearest(table, TABLES) or "Choose one."
        )
    return TABLES[table]
