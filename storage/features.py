"""Feature rows in memory: one contiguous array of log-mels, allocated once and filled piece by piece.

Enters: a table of keys and log-mels in pieces. Leaves: `Features`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.affine_scale import AffineScale
from storage.errors import StorageError

LoadedType = Literal["float16", "float32"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Feature rows in memory, in the order of (clip_id, variant, window), the original before its variants.

    Attributes:
        log_mel: float16 or float32 (rows, *shape of a row), dB.
        clip_ids, groups, variants, windows, labels: one entry per row.
    """

    log_mel: NDArray[np.floating[Any]]
    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    variants: tuple[str, ...]
    windows: tuple[int, ...]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def of_rows(cls, rows: pa.Table) -> "Features":
        """From a table with KEY_COLUMNS and log_mel, as stored.

        Raises:
            StorageError: log_mel does not tell what it is.
        """
        return gather(rows, [rows.column("log_mel")], field=rows.schema.field("log_mel"))

    @classmethod
    def of(cls, keys: pa.Table, log_mel: NDArray[np.floating[Any]]) -> "Features":
        """From an array and a table with KEY_COLUMNS, row for row."""
        return cls(
            log_mel=log_mel,
            clip_ids=tuple(keys.column("clip_id").to_pylist()),
            groups=tuple(keys.column("group").to_pylist()),
            variants=tuple(keys.column("variant").to_pylist()),
            windows=tuple(keys.column("window").to_pylist()),
            labels=tuple(tuple(labels) for labels in keys.column("labels").to_pylist()),
        )


def gather(
    keys: pa.Table, log_mels: Iterable[pa.ChunkedArray], *, field: pa.Field, dtype: LoadedType | None = None
) -> Features:
    """Fills one array with the log-mels of `keys`, which come in its order.

    Args:
        field: of the column log_mel, as stored.
        dtype: of the array; None for the stored one, and float16 for uint8.

    Raises:
        StorageError: there are more or fewer log-mels than keys, or `field` does not tell what they are.
    """
    if not isinstance(field.type, pa.FixedShapeTensorType) or (
        field.type.value_type == pa.uint8() and AffineScale.from_metadata(field.metadata) is None
    ):
        raise StorageError(f"the column log_mel is damaged: {field}. Delete the first part and run again.")
    log_mel = allocate((keys.num_rows, *field.type.shape), dtype or loaded_type(field))
    position = 0
    for column in log_mels:
        if position + len(column) > len(log_mel):
            raise StorageError(f"more log-mels than the {keys.num_rows} rows; were they written meanwhile?")
        decode_into(log_mel[position : position + len(column)], column, field)
        position += len(column)
    if position != len(log_mel):
        raise StorageError(f"{position} log-mels for {keys.num_rows} rows; were they written meanwhile?")
    return Features.of(keys, log_mel)


def allocate(shape: Sequence[int], dtype: LoadedType) -> NDArray[np.floating[Any]]:
    """An array to be filled.

    Raises:
        StorageError: there is not so much memory; what is stored may be damaged.
    """
    try:
        return np.empty(shape, dtype=dtype)
    except (MemoryError, ValueError) as e:  # the latter of sizes that no machine has
        raise StorageError(f"{' × '.join(map(str, shape))} values of {dtype} do not fit into memory ({e})") from e


def loaded_type(field: pa.Field) -> LoadedType:
    """What log-mels stored as `field` are loaded as where nothing else is asked for."""
    return "float32" if field.type.value_type == pa.float32() else "float16"


def decode_into(out: NDArray[np.floating[Any]], column: pa.ChunkedArray, field: pa.Field) -> None:
    """Writes the dB of stored log-mels into `out`: (rows, *shape of a row), float16 or float32."""
    scale = AffineScale.from_metadata(field.metadata)
    position = 0
    for chunk in column.chunks:
        stored = chunk.to_numpy_ndarray()
        place = out[position : position + len(stored)]
        if scale is None:
            place[...] = stored
        else:
            scale.decode(stored, place)
        position += len(stored)
