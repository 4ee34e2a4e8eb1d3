"""Some of the rows and columns of one part: row groups are skipped by their statistics, rows by their own columns.

Enters: an open part, names of columns and a `Where`. Leaves: tables of one row group each. Log-mels are
fetched only of row groups that hold a wanted row.
"""

import bisect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.parquet import select_columns
from storage.parquet_bounds import BoundedFile, allowed_bytes, refuse_above
from storage.parquet_footer import Chunk

# A row group holds at most this many numbers of log-mels (4 MiB as float16): what a reader has in memory at once.
_VALUES_PER_GROUP = 2**21


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Which rows: those that fulfil every condition given; None is no condition.

    Attributes:
        clip_ids, groups, variants, folds: the row's value is among these.
        labels: at least one of the row's labels is among these.
        expression: `pyarrow.compute` expression over any columns but log_mel.
    """

    clip_ids: Collection[str] | None = None
    groups: Collection[str] | None = None
    variants: Collection[str] | None = None
    folds: Collection[int] | None = None
    labels: Collection[str] | None = None
    expression: pc.Expression | None = None

    def __post_init__(self) -> None:
        for name in ("clip_ids", "groups", "variants", "folds", "labels"):
            values = getattr(self, name)
            if values is not None:  # sorted once, so that a million ids are not looked through for each row group
                object.__setattr__(self, name, tuple(sorted(set(values))))

    def columns(self, names: Sequence[str]) -> list[str]:
        """The columns that decide, of those with these names."""
        if self.expression is not None:  # pyarrow does not tell which columns an expression names
            return [name for name in names if name != "log_mel"]
        return [*self._wanted(), *(["labels"] if self.labels is not None else [])]

    def may_hold(self, group: Sequence[Chunk]) -> bool:
        """False where the statistics of a row group rule out that it has such a row."""
        wanted = self._wanted()
        for chunk in group:
            values = wanted.get(chunk.path)
            if values is None or chunk.bounds is None:
                continue
            least, greatest = map(chunk.value_of, chunk.bounds)
            if least is not None and not _between(values, least, greatest):
                return False
        return True

    def mask(self, table: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a table with the columns of `columns` fulfil the conditions: bool (rows,)."""
        mask = np.ones(table.num_rows, dtype=np.bool_)
        for name, values in self._wanted().items():
            column = table.column(name)
            bounds = pc.min_max(column).as_py()
            near = _between(values, bounds["min"], bounds["max"]) if bounds["min"] is not None else ()
            found = pc.is_in(column, value_set=pa.array(near, column.type))
            mask &= found.to_numpy(zero_copy_only=False).astype(np.bool_)
        if self.labels is not None:
            mask &= _has_any(table.column("labels").combine_chunks(), self.labels)
        if self.expression is not None:
            numbered = table.append_column(_ROW_NUMBER, pa.array(np.arange(table.num_rows)))
            kept = np.zeros(table.num_rows, dtype=np.bool_)
            kept[numbered.filter(self.expression).column(_ROW_NUMBER).to_numpy()] = True
            mask &= kept
        return mask

    def _wanted(self) -> dict[str, Sequence[Any]]:
        conditions = {"clip_id": self.clip_ids, "group": self.groups, "variant": self.variants, "fold": self.folds}
        return {name: cast(Sequence[Any], values) for name, values in conditions.items() if values is not None}


_ROW_NUMBER = "__row_number__"


def _between(values: Sequence[Any], least: Any, most: Any) -> Sequence[Any]:
    """Those of sorted values that lie between two, both included.

    Raises:
        ValueError: the two are of another kind, a text for numbers.
    """
    try:
        return values[bisect.bisect_left(values, least) : bisect.bisect_right(values, most)]
    except TypeError as e:
        raise ValueError(f"a column that is looked at has other values than it is asked for ({e})") from e


def rows_per_group(log_mel: pa.DataType) -> int:
    """Rows of a row group for log-mels of this type; a fixed rule, so that equal rows are equal bytes."""
    return max(1, _VALUES_PER_GROUP // int(np.prod(log_mel.shape)))


def iterate_rows(file: BoundedFile, columns: Sequence[str] | None, where: Where | None) -> Iterator[pa.Table]:
    """The wanted columns of the wanted rows, one table per row group that has any, without schema metadata.

    Raises:
        ValueError: the file has no such column, or its rows take far more memory than its bytes.
    """
    allowed, num_bytes = allowed_bytes(file), 0
    deciding = where.columns(file.schema_arrow.names) if where else []
    for group in range(file.num_row_groups):
        mask = None
        if where is not None and deciding:
            if not where.may_hold(file.chunks[group]):
                continue
            mask = where.mask(select_columns(file, deciding, group=group))
            if not mask.any():
                continue
        table = select_columns(file, columns, group=group).replace_schema_metadata(None)
        num_bytes += table.nbytes
        refuse_above(allowed, num_bytes)
        yield table if mask is None or mask.all() else table.filter(pa.array(mask))


def _has_any(lists: pa.ListArray, wanted: Collection[str]) -> NDArray[np.bool_]:
    flat = pc.list_flatten(lists)
    found = pc.is_in(flat, value_set=pa.array(list(wanted), flat.type)).to_numpy(zero_copy_only=False)
    mask = np.zeros(len(lists), dtype=np.bool_)
    mask[pc.list_parent_indices(lists).to_numpy()[found.astype(np.bool_)]] = True
    return mask
