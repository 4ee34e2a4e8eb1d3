"""Feature rows made by hand, and a store that remembers how many bytes were asked of it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.affine_scale import AffineScale
from storage.feature_schemas import QUARANTINE_SCHEMA, feature_schema
from storage.feature_store import MARKER, FeatureStore, Shard
from storage.object_store import ObjectInfo, ObjectStore
from storage.parquet import read_parquet, to_parquet


def make_rows(
    log_mel: NDArray[Any],
    *,
    first: int = 0,
    variants: Sequence[str] = ("original",),
    labels: Sequence[str] | None = None,
    scale: AffineScale | None = None,
) -> pa.Table:
    """One row per log-mel; clips c00000, c00001 …, each with its variants, fold n % 5 or none, label l<n % 3>."""
    numbers = [first + row // len(variants) for row in range(len(log_mel))]
    clip_ids = [f"c{number:05d}" for number in numbers]
    schema = feature_schema(log_mel.shape[1:], log_mel.dtype.name, scale=scale)
    columns = {
        "clip_id": clip_ids,
        "recording_id": clip_ids,
        "group": [f"g{number // 2}" for number in numbers],
        "variant": [variants[row % len(variants)] for row in range(len(log_mel))],
        "window": [0] * len(log_mel),
        "labels": [list(labels) if labels is not None else [f"l{number % 3}", "any"] for number in numbers],
        "fold": [number % 5 if number % 7 else None for number in numbers],
        "provenance": ["{}"] * len(log_mel),
    }
    arrays = {name: pa.array(values, type=schema.field(name).type) for name, values in columns.items()}
    arrays["log_mel"] = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(log_mel))
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def make_quarantine(*clip_ids: str, reason: str = "truncated") -> pa.Table:
    """One row of QUARANTINE_SCHEMA per clip."""
    plain = {"variant": "original", "uri": "x.wav", "reason": reason, "detail": ""}
    return pa.Table.from_pylist([{"clip_id": clip_id, **plain} for clip_id in clip_ids], schema=QUARANTINE_SCHEMA)


def store_as_before(features: FeatureStore) -> None:
    """Rewrites features as versions stored them whose quarantines had keys without the hash of their rows."""
    store = features.store
    for info in list(store.list(features.prefix + "part-")):
        part = read_parquet(store, info.key)
        metadata = {name: value for name, value in part.schema.metadata.items() if name != b"reasons_hash"}
        store.put(info.key, to_parquet(part.replace_schema_metadata(metadata)))
    for info in list(store.list(features.prefix + "quarantine-")):
        store.put(info.key.rpartition("-")[0] + ".parquet", store.get(info.key))
        store.delete(info.key)
    if features.marker() is not None:
        marker = json.loads(store.get(features.prefix + MARKER))
        del marker["quarantines"]
        store.put(features.prefix + MARKER, json.dumps(marker).encode())


def commit_rows(features: FeatureStore, tables: Sequence[pa.Table]) -> list[Shard]:
    """Stores one shard per table and commits them."""
    shards = [
        Shard(index=index, clips_hash=f"{index:04x}", num_clips=len(rows), num_rows=len(rows), num_quarantined=0)
        for index, rows in enumerate(tables)
    ]
    for shard, rows in zip(shards, tables, strict=True):
        features.write_shard(shard, rows, QUARANTINE_SCHEMA.empty_table())
    features.commit(shards, spec={}, versions={})
    return shards


class RecordingStore:
    """An `ObjectStore` around another one that counts the bytes it hands out, by key."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner, self.uri = inner, inner.uri
        self.bytes_read: dict[str, int] = {}

    def get(self, key: str) -> bytes:
        return self._counted(key, self._inner.get(key))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self._counted(key, self._inner.get_range(key, start, length))

    def size_bytes(self, key: str) -> int | None:
        return self._inner.size_bytes(key)

    def put(self, key: str, data: bytes) -> None:
        self._inner.put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._inner.put_if_absent(key, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def _counted(self, key: str, data: bytes) -> bytes:
        self.bytes_read[key] = self.bytes_read.get(key, 0) + len(data)
        return data
