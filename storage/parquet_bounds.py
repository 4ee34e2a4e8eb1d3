"""Parquet from somebody else: what a file may bring along, and how much memory its rows may take.

Enters: an open file. Leaves: a table, or a ValueError. A schema can name types of Python whose values are unpickled
when they are looked at, and a file of 460 bytes can decode to gigabytes (one long value, a million times).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.parquet_footer import Chunk, read_chunks

# What rows may take in memory: this much, or so many times what the file holds of them. Features and results take one
# to twenty times as much; beyond 200 is only what is the same in nearly all rows.
MAX_BYTES = 1 << 30
MAX_RATIO = 200
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8, "BYTE_ARRAY": 4}
# Encodings with which every value stands in the file by itself; with others one may stand for many.
_ONE_BY_ONE = {"PLAIN", "RLE", "BIT_PACKED", "DELTA_LENGTH_BYTE_ARRAY"}


class BoundedFile(pq.ParquetFile):  # type: ignore[misc]  # pyarrow has no types
    """An open file without types of Python; its pages are held against their checksums.

    Use `chunks`, never `metadata.row_group(…).column(…)`, which can end the process (parquet_footer.py).

    Raises:
        ValueError: a column is of a type that is defined in Python.
    """

    def __init__(self, source: Any, *, pre_buffer: bool = False) -> None:
        super().__init__(source, pre_buffer=pre_buffer, page_checksum_verification=True)
        refuse_python_types(self.schema_arrow)

    @cached_property
    def chunks(self) -> list[list[Chunk]]:
        """Those of all leaf columns, for each row group."""
        return read_chunks(self)


def refuse_python_types(schema: pa.Schema) -> None:
    """Refuses columns of a type that is defined in Python: Ray's `arrow_pickled_object` unpickles what it holds.

    Arrow makes such types of a file's metadata wherever the library that defines them was imported.

    Raises:
        ValueError: naming the column and the type.
    """
    for index, kind in enumerate(schema.types):
        name = _python_type(kind)
        if name:
            column = schema.names[index]
            raise ValueError(f"its column {column!r} is of the type {name!r}, which code outside of Arrow decodes")


def read_bounded(
    file: BoundedFile, columns: Sequence[str] | None = None, *, group: int | None = None, use_threads: bool = True
) -> pa.Table:
    """Columns of a file or of one of its row groups, where they fit into the memory that they may take.

    A footer tells what most columns will take. Where one value may stand for many, rows are read a few at a time and
    counted. A footer that was forged is not found out: its rows may take more.

    Args:
        columns: names that the file has; None for all.

    Raises:
        ValueError: they take more.
    """
    wanted = None if columns is None else list(columns)
    groups = list(range(file.metadata.num_row_groups)) if group is None else [group]
    leaves = _leaves(file, wanted)
    if not _are_few(file, leaves, groups):
        chunks = [(file.chunks[number][index], width) for number in groups for index, width in leaves.items()]
        allowed = _allowed_bytes([chunk for chunk, _ in chunks])
        told = _bytes_of_empty_rows(file, wanted, groups) + sum(_told_bytes(chunk, width) for chunk, width in chunks)
        refuse_above(allowed, told)
        repeating = [chunk for chunk, _ in chunks if _may_repeat(chunk)]
        if told + sum(chunk.num_values * chunk.total_uncompressed_bytes for chunk in repeating) > allowed:
            longest = sum(chunk.total_uncompressed_bytes for chunk in repeating)  # no value is longer than its chunk
            return _read_counted(file, wanted, groups, allowed, rows_at_once=max(allowed // (8 * longest), 1))
    if group is None:
        return file.read(columns=wanted, use_threads=use_threads)
    return file.read_row_group(group, columns=wanted, use_threads=use_threads)


def allowed_bytes(file: BoundedFile) -> int:
    """What all rows of a file may take, for who reads one row group after the other."""
    return _allowed_bytes([chunk for chunks in file.chunks for chunk in chunks])


def _allowed_bytes(chunks: Sequence[Chunk]) -> int:
    return max(MAX_BYTES, MAX_RATIO * sum(chunk.total_compressed_bytes for chunk in chunks))


def _read_counted(
    file: pq.ParquetFile, wanted: list[str] | None, groups: list[int], allowed: int, *, rows_at_once: int
) -> pa.Table:
    batches, num_bytes = [], 0
    for batch in file.iter_batches(batch_size=rows_at_once, row_groups=groups, columns=wanted):
        num_bytes += batch.nbytes
        refuse_above(allowed, num_bytes)
        batches.append(batch)
    return pa.Table.from_batches(batches).replace_schema_metadata(file.schema_arrow.metadata)


def _leaves(file: pq.ParquetFile, wanted: Sequence[str] | None) -> dict[int, int]:
    """The wanted columns, and the bytes of a value of each; of a text, those of its place."""
    paths = None if wanted is None else tuple(f"{name}." for name in wanted)
    leaves = {}
    for index in range(file.metadata.num_columns):
        column = file.schema.column(index)
        if paths is None or f"{column.path}.".startswith(paths):
            leaves[index] = column.length or _WIDTHS.get(column.physical_type, 8)
    return leaves


def _are_few(file: pq.ParquetFile, leaves: Mapping[int, int], groups: Sequence[int]) -> bool:
    """Whether all would fit even if each row had the longest text; without lists, and without looking at chunks.

    For the small objects of the results table, where that look would take longer than their reading.
    """
    if any(file.schema.column(index).max_repetition_level for index in leaves):
        return False
    row_groups = [file.metadata.row_group(group) for group in groups]
    width = sum(leaves.values())
    return sum(group.num_rows * (width + max(group.total_byte_size, 0)) for group in row_groups) <= MAX_BYTES


def _told_bytes(chunk: Chunk, width: int) -> int:
    """What the values of a chunk take at least, and where none stands for many at most."""
    is_text = chunk.kind == "BYTE_ARRAY" and not _may_repeat(chunk)
    return chunk.num_values * width + (chunk.total_uncompressed_bytes if is_text else 0)


def _may_repeat(chunk: Chunk) -> bool:
    return chunk.kind == "BYTE_ARRAY" and not _ONE_BY_ONE.issuperset(chunk.encodings)


def _bytes_of_empty_rows(file: pq.ParquetFile, wanted: Sequence[str] | None, groups: Sequence[int]) -> int:
    """What lists of a fixed size take even where all of them are null and the file holds nothing of them."""
    schema = file.schema_arrow
    lists = {name: _list_bytes(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    row_bytes = sum(num_bytes for name, num_bytes in lists.items() if wanted is None or name in wanted)
    return row_bytes * sum(file.metadata.row_group(group).num_rows for group in groups)


def _list_bytes(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        return _list_bytes(kind.storage_type)
    inside = sum(_list_bytes(kind.field(index).type) for index in range(kind.num_fields))
    if not isinstance(kind, pa.FixedSizeListType):
        return inside
    return int(kind.list_size) * (inside or _value_bytes(kind.value_type))


def _value_bytes(kind: pa.DataType) -> int:
    try:
        return -(-int(kind.bit_width) // 8)
    except ValueError:  # of texts and lists
        return _WIDTHS["BYTE_ARRAY"]


def refuse_above(allowed: int, num_bytes: int) -> None:
    """Refuses rows of so many bytes in memory.

    Raises:
        ValueError: that is more than is allowed.
    """
    if num_bytes > allowed:
        raise ValueError(
            f"its rows take {num_bytes / 2**30:.1f} GiB of memory or more, "
            f"{allowed / 2**30:.1f} GiB are allowed for so few bytes"
        )


def _python_type(kind: pa.DataType) -> str:
    """The name of the type where it, or one inside it, is defined in Python; else nothing."""
    if isinstance(kind, pa.ExtensionType):
        return str(kind.extension_name)
    if isinstance(kind, pa.BaseExtensionType):
        return _python_type(kind.storage_type)
    if isinstance(kind, pa.DictionaryType):
        return _python_type(kind.value_type)
    inside = (_python_type(kind.field(index).type) for index in range(kind.num_fields))
    return next((name for name in inside if name), "")
