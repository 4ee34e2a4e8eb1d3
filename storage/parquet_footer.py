"""What a Parquet footer tells of its column chunks, read without the classes of pyarrow that end the process.

Enters: an open file. Leaves: one `Chunk` per row group and leaf column, or a ValueError. pyarrow 26 makes a
`ColumnChunkMetaData` by C++ code whose exceptions nobody catches: a footer with one wrong byte, in a histogram of
levels for example, ends the whole process ("Definition level histogram size mismatch"). So pyarrow parses the footer
and writes it again, which is safe, and its few fields that are wanted here are picked out of that.

Source: parquet.thrift of the Parquet format, in the compact protocol of Apache Thrift.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

_KINDS = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_ENCODINGS = {0: "PLAIN", 3: "RLE", 4: "BIT_PACKED", 6: "DELTA_LENGTH_BYTE_ARRAY"}  # others are told by their number
# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(1, 14)
_INTEGERS = (_I16, _I32, _I64)
_MOST_DEPTH = 20  # FileMetaData, row groups, chunks, their metadata, statistics: six


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A leaf column in a row group.

    Attributes:
        path: of the leaf, its parts joined by dots.
        kind: physical type, as parquet.thrift spells it.
        bounds: least and greatest value as they are stored (`value_of`), where the footer tells them.
    """

    path: str
    kind: str
    encodings: frozenset[str]
    num_values: int
    total_uncompressed_bytes: int
    total_compressed_bytes: int
    bounds: tuple[bytes, bytes] | None

    def value_of(self, stored: bytes) -> int | str | None:
        """A bound as a whole number or a text; None for other kinds of values."""
        if self.kind in ("INT32", "INT64"):
            return int.from_bytes(stored, "little", signed=True)
        return stored.decode() if self.kind == "BYTE_ARRAY" else None


def read_chunks(file: pq.ParquetFile) -> list[list[Chunk]]:
    """The chunks of all leaf columns in their order, for each row group.

    Raises:
        ValueError: the footer lacks what every footer has.
    """
    written = io.BytesIO()
    file.metadata.write_metadata_file(written)
    data = written.getvalue()
    num_bytes = int.from_bytes(data[-8:-4], "little")
    try:
        footer = _Compact(data[-8 - num_bytes : -8]).struct()
        found = [[_chunk(column[3]) for column in group[1]] for group in footer[4]]
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as e:
        raise ValueError(f"its footer tells nothing of its columns ({type(e).__name__}: {e})") from e
    if any(len(chunks) != file.metadata.num_columns for chunks in found):
        raise ValueError("its footer tells of other columns than its schema")
    return found


def _chunk(fields: Mapping[int, Any]) -> Chunk:
    statistics = fields.get(12, {})
    least, greatest = statistics.get(6), statistics.get(5)
    return Chunk(
        path=".".join(part.decode() for part in fields[3]),
        kind=_KINDS[fields[1]],
        encodings=frozenset(_ENCODINGS.get(number, str(number)) for number in fields[2]),
        num_values=fields[5],
        total_uncompressed_bytes=fields[6],
        total_compressed_bytes=fields[7],
        bounds=None if least is None or greatest is None else (least, greatest),
    )


class _Compact:
    """Reads values one after the other: a struct as its fields by their numbers."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MOST_DEPTH:
            raise ValueError("its footer is nested without end")
        fields: dict[int, Any] = {}
        number = 0
        for head in iter(self._byte, 0):
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        return self._in_full(kind, depth)

    def _in_full(self, kind: int, depth: int) -> Any:
        """As in lists, whose booleans have bytes of their own."""
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._bytes(self._number())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return list(self._elements(depth))
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind in (_DOUBLE, _UUID):
            return self._bytes(8 if kind == _DOUBLE else 16)
        raise ValueError(f"its footer has a value of the unknown type {kind}")  # maps among them: Parquet has none

    def _elements(self, depth: int) -> Iterator[Any]:
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._number()
        for _ in range(size):
            yield self._in_full(head & 15, depth + 1)

    def _integer(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _bytes(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError("its footer ends in a text")
        self._at += size
        return self._data[self._at - size : self._at]
