"""Features as files for other programs: one file per row, or one large array, each with an index.

Enters: complete features and an empty place. Leaves there:

    _EXPORT.json                 what this is; written first, so that nothing else is ever mixed in
    <clip>/<slice>.npy or .png   one per row (`export_rows`)
    features.npy                 all rows (`export_array`), which processes of a machine may map into memory together
    index.parquet                which row is where, written last: with it the export is complete

Run again after an interruption, it goes on.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import InvalidInput, StorageError
from storage.feature_store import FeatureStore, Where
from storage.features import Features, LoadedType, decode_into, loaded_type
from storage.local import LocalObjectStore
from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet
from storage.safe_names import safe_names

OnProgress = Callable[[int, int], None]
Encode = Callable[[NDArray[np.floating[Any]]], bytes]

_ABOUT, _INDEX, _ARRAY = "_EXPORT.json", "index.parquet", "features.npy"
_UNFINISHED, _ROWS_DONE = "features.npy.unfinished", "rows_done"
_INDEX_COLUMNS = ("clip_id", "recording_id", "group", "variant", "window", "labels", "fold")
_WRITE_THREADS = 8


def encode_npy(log_mel: NDArray[Any]) -> bytes:
    """The bytes of a .npy file, version 1.0."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(log_mel), allow_pickle=False)
    return buffer.getvalue()


def export_rows(
    features: FeatureStore,
    out: ObjectStore,
    *,
    encode: Encode,
    suffix: str,
    about: Mapping[str, Any],
    dtype: LoadedType | None = None,
    on_progress: OnProgress = lambda done, in_all: None,
) -> int:
    """Writes one file per row; those that are there already are left as they are.

    The folder is the clip's id and the file the number of the window, `<variant>-<window>` for changed copies, both
    made safe (`safe_names`); `path` of index.parquet says which is which.

    Args:
        encode: from dB, (*shape of a row), to the bytes of the file.
        about: what else decides the bytes; an export of another kind in the same place is refused.
        dtype: of what `encode` gets; None as `FeatureStore.load`.

    Returns:
        How many files were written now.

    Raises:
        InvalidInput: `out` holds other files, or another export.
        StorageError: the features are not complete or damaged, or `out` cannot be written.
    """
    _claim(out, features, {**about, "dtype": dtype, "suffix": suffix})
    keys = features.read(columns=_INDEX_COLUMNS)
    paths = _paths(keys, suffix)
    there = {info.key for info in out.list("")}
    missing = {place for place, path in paths.items() if path not in there}
    done = len(paths) - len(missing)
    on_progress(done, len(paths))
    with ThreadPoolExecutor(_WRITE_THREADS) as pool:
        for batch in _missing_rows(features, missing, dtype):
            files = [(paths[place], encode(log_mel)) for place, log_mel in batch]
            list(pool.map(lambda file: out.put(*file), files))
            done += len(files)
            on_progress(done, len(paths))
    if _INDEX not in there:
        out.put(_INDEX, to_parquet(keys.append_column("path", pa.array(list(paths.values())))))
    return len(missing)


def export_array(
    features: FeatureStore,
    folder: Path,
    *,
    dtype: LoadedType | None = None,
    on_progress: OnProgress = lambda done, in_all: None,
) -> None:
    """Writes all log-mels as one .npy file, in the order of the features, for `open_array`.

    Raises:
        InvalidInput: `folder` holds other files, or another export.
        StorageError: the features are not complete or damaged, or `folder` cannot be written.
    """
    out = LocalObjectStore(folder)
    _claim(out, features, {"format": "array", "dtype": dtype})
    keys = features.read(columns=_INDEX_COLUMNS)
    if out.size_bytes(_ARRAY) is None:
        try:
            _write_array(features, out, keys.num_rows, dtype, on_progress)
        except OSError as e:
            raise StorageError(f"cannot write {out.uri}/{_ARRAY}: {e.strerror}. Is the disk full?") from e
    if out.size_bytes(_INDEX) is None:
        out.put(_INDEX, to_parquet(keys))
    out.delete(_ROWS_DONE)


def _write_array(
    features: FeatureStore, out: LocalObjectStore, num_rows: int, dtype: LoadedType | None, on_progress: OnProgress
) -> None:
    field = features.schema().field("log_mel")
    shape = (num_rows, *field.type.shape)
    array, done = _open_unfinished(out.root, np.dtype(dtype or loaded_type(field)), shape)
    for column in features.log_mels(skip_rows=done):
        decode_into(array[done : done + len(column)], column, field)
        array.flush()
        done += len(column)
        out.put(_ROWS_DONE, str(done).encode())
        on_progress(done, num_rows)
    if done != num_rows:
        raise StorageError(f"{features.uri} has {done} of {num_rows} rows; was it written meanwhile?")
    os.replace(out.root / _UNFINISHED, out.root / _ARRAY)


def open_array(folder: Path) -> Features:
    """What `export_array` wrote, mapped into memory: pages are read when touched and shared by all processes of a node.

    Returns:
        Features whose log_mel is a read-only `numpy.memmap`.

    Raises:
        StorageError: the export is not complete.
    """
    out = LocalObjectStore(folder)
    if out.size_bytes(_INDEX) is None or out.size_bytes(_ARRAY) is None:
        raise StorageError(f"{out.uri} holds no complete export. Run jobs/export_features.py format=array again.")
    try:
        # Not np.load, which would give the members of a .npz where one lies under this name.
        array = np.lib.format.open_memmap(out.root / _ARRAY, mode="r")
    except (OSError, ValueError, MemoryError) as e:  # the last where its header claims to be of gigabytes
        raise StorageError(f"{out.uri}/{_ARRAY} is damaged ({e}). Delete the folder and export again.") from e
    return Features.of(read_parquet(out, _INDEX), array)


def _open_unfinished(folder: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[Any, int]:
    """The array on its way, and how many of its rows are known to be on the disk."""
    path, rows_done = folder / _UNFINISHED, folder / _ROWS_DONE
    if path.is_file() and rows_done.is_file():
        array = np.lib.format.open_memmap(path, mode="r+")
        if array.shape == shape and array.dtype == dtype:
            return array, int(rows_done.read_text())
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:  # a disk that is full shows now, and not as a SIGBUS in the middle of a write
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array, 0


def _claim(out: ObjectStore, features: FeatureStore, about: Mapping[str, Any]) -> None:
    """Makes `out` the place of this export, or refuses it."""
    about = {**about, "dataset": features.dataset, "fingerprint": features.fingerprint}
    data = json.dumps(about, indent=1, sort_keys=True).encode()
    if out.size_bytes(_ABOUT) is None and next(out.list(""), None) is not None:
        raise InvalidInput("out", given=out.uri, allowed="an empty folder", remedy="Choose another one.")
    if not out.put_if_absent(_ABOUT, data) and out.get(_ABOUT) != data:
        raise InvalidInput(
            "out",
            given=out.uri,
            allowed="an empty folder, or one with a part of the same export",
            remedy=f"Its {_ABOUT} says what it holds. Choose another one.",
        )


def _paths(keys: pa.Table, suffix: str) -> dict[tuple[str, str, int], str]:
    """(clip_id, variant, window) → path, in the order of the rows."""
    places = list(zip(*(keys.column(name).to_pylist() for name in ("clip_id", "variant", "window")), strict=True))
    folders = safe_names(clip_id for clip_id, _, _ in places)
    variants = safe_names(variant for _, variant, _ in places)
    paths = {
        (clip_id, variant, window): f"{folders[clip_id]}/"
        + (f"{window}{suffix}" if variant == "original" else f"{variants[variant]}-{window}{suffix}")
        for clip_id, variant, window in places
    }
    if len(set(paths.values())) != len(places):
        raise StorageError(
            "two rows would have one file; this takes a collision of hashes, or a row that is twice there"
        )
    return paths


def _missing_rows(
    features: FeatureStore, missing: set[tuple[str, str, int]], dtype: LoadedType | None
) -> Iterator[list[tuple[tuple[str, str, int], NDArray[Any]]]]:
    """Batches of rows in dB with their places; only clips that lack a file are fetched."""
    if not missing:
        return
    field = features.schema().field("log_mel")
    where = Where(clip_ids={clip_id for clip_id, _, _ in missing})
    for batch in features.batches(columns=["clip_id", "variant", "window", "log_mel"], where=where):
        log_mels = np.empty((batch.num_rows, *field.type.shape), dtype=dtype or loaded_type(field))
        decode_into(log_mels, batch.column("log_mel"), field)
        columns = (batch.column(name).to_pylist() for name in ("clip_id", "variant", "window"))
        places = zip(*columns, strict=True)
        yield [(place, log_mel) for place, log_mel in zip(places, log_mels, strict=True) if place in missing]
