"""Features at rest: `features/<dataset>/<fingerprint>/`, immutable Parquet shards, a quarantine and a commit marker.

Enters: tables of feature rows, shard by shard, from any process. Leaves: one table, or arrays, and only once
`_MANIFEST.json` says that the shards are complete: without that object a reader sees nothing.

    part-00003-<hash>.parquet         feature rows of one shard of clips
    quarantine-00003-<hash>.parquet   the clips and variants of that shard that have none, with the reason (absent if
                                      there are none)
    _MANIFEST.json                    written last: the shards, the counts, the spec
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import ObjectNotFound, StorageError
from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet

_MARKER = "_MANIFEST.json"
_COUNTS = ("num_clips", "num_rows", "num_quarantined", "num_variants_quarantined")
_MARKER_FIELDS = ("dataset", "fingerprint", *_COUNTS, "shards", "spec", "versions")

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),  # `original`: the clip has no rows, of no variant
        pa.field("uri", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


def feature_schema(shape: Sequence[int], dtype: str) -> pa.Schema:
    """Columns of a feature row.

    `log_mel` is an Arrow fixed-shape tensor of `shape`: (num_mels, num_frames) in dB, or whatever the spec's
    representation makes, (2, bins, frames) too; readers without that extension type see a fixed-size list. `provenance`
    is JSON: what the file had and who computed the row.
    """
    value_type = {"float16": pa.float16(), "float32": pa.float32()}[dtype]
    return pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("recording_id", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("variant", pa.string(), nullable=False),
            pa.field("window", pa.int32(), nullable=False),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
            pa.field("fold", pa.int32()),
            pa.field("log_mel", pa.fixed_shape_tensor(value_type, tuple(shape)), nullable=False),
            pa.field("provenance", pa.string(), nullable=False),
        ]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One finished shard: its place in the data set, the hash of the clips it was made from, and its counts.

    Attributes:
        num_quarantined: clips without any row.
        num_variants_quarantined: variants without rows of clips whose original has some.
    """

    index: int
    clips_hash: str
    num_clips: int
    num_rows: int
    num_quarantined: int
    num_variants_quarantined: int = 0

    @property
    def num_reasons(self) -> int:
        """Rows of the shard's quarantine."""
        return self.num_quarantined + self.num_variants_quarantined


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardContent:
    """What a finished shard accounts for, as stored: (clip_id, variant) pairs, and its number of rows."""

    with_rows: frozenset[tuple[str, str]]
    quarantined: frozenset[tuple[str, str]]
    num_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Feature rows in memory, in the order of (clip_id, variant, window), the original before its variants.

    Attributes:
        log_mel: float16 or float32 (rows, num_mels, num_frames), dB; (rows, 2, bins, frames) for two channels.
        clip_ids, groups, variants, windows, labels: one entry per row.
    """

    log_mel: NDArray[np.floating[Any]]
    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    variants: tuple[str, ...]
    windows: tuple[int, ...]
    labels: tuple[tuple[str, ...], ...]


class FeatureStore:
    """The features of one data set under one fingerprint. Writing a shard is atomic and idempotent; any process may."""

    def __init__(self, store: ObjectStore, *, dataset: str, fingerprint: str) -> None:
        self.store, self.dataset, self.fingerprint = store, dataset, fingerprint
        self.prefix = f"features/{dataset}/{fingerprint}/"

    @property
    def uri(self) -> str:
        return f"{self.store.uri}/{self.prefix}"

    def write_shard(self, shard: Shard, rows: pa.Table, quarantine: pa.Table) -> None:
        """Stores a shard; its part comes last, so that a part is never without its quarantine."""
        if rows.num_rows != shard.num_rows or quarantine.num_rows != shard.num_reasons:
            raise AssertionError(f"{shard} does not describe {rows.num_rows} rows, {quarantine.num_rows} quarantined")
        if shard.num_reasons:
            self.store.put(self._key("quarantine", shard.index, shard.clips_hash), to_parquet(quarantine))
        counts = {name: str(getattr(shard, name)) for name in _COUNTS}
        rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), **counts})
        self.store.put(self._key("part", shard.index, shard.clips_hash), to_parquet(rows))

    def find_shard(self, index: int, clips_hash: str) -> Shard | None:
        """The finished shard made from just these clips, or None; a part whose quarantine is lost is not finished."""
        try:
            metadata = read_parquet(
                self.store, self._key("part", index, clips_hash), columns=["clip_id"]
            ).schema.metadata
        except ObjectNotFound:
            return None
        counts = {name: int(metadata.get(name.encode(), 0)) for name in _COUNTS}
        shard = Shard(index=index, clips_hash=clips_hash, **counts)
        quarantine = self._key("quarantine", index, clips_hash)
        if shard.num_reasons and not any(info.key == quarantine for info in self.store.list(quarantine)):
            return None
        return shard

    def read_back(self, shard: Shard) -> ShardContent:
        """The clips and variants that a finished shard accounts for, by rows or by quarantine."""
        part_key = self._key("part", shard.index, shard.clips_hash)
        part = read_parquet(self.store, part_key, columns=["clip_id", "variant"])
        quarantine = QUARANTINE_SCHEMA.empty_table()
        if shard.num_reasons:
            quarantine = self._read_quarantine(self._key("quarantine", shard.index, shard.clips_hash))
        return ShardContent(with_rows=_pairs(part), quarantined=_pairs(quarantine), num_rows=part.num_rows)

    def finished_shards(self) -> set[tuple[int, str]]:
        """(index, clips_hash) of every part that is there; one listing."""
        keys = (info.key.removeprefix(self.prefix) for info in self.store.list(self.prefix + "part-"))
        names = (key.removeprefix("part-").removesuffix(".parquet").partition("-") for key in keys)
        return {(int(index), clips_hash) for index, _, clips_hash in names}

    def commit(self, shards: Sequence[Shard], *, spec: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
        """Writes the commit marker; the caller has reconciled the counts. A second commit changes nothing.

        Returns:
            The marker that is stored: the first one, whoever wrote it.
        """
        marker = {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            **{name: sum(getattr(shard, name) for shard in shards) for name in _COUNTS},
            "shards": [[shard.index, shard.clips_hash, shard.num_reasons] for shard in shards],
            "spec": spec,
            "versions": versions,
        }
        data = json.dumps(marker, indent=1, sort_keys=True).encode()
        return marker if self.store.put_if_absent(self.prefix + _MARKER, data) else self.marker() or marker

    def marker(self) -> dict[str, Any] | None:
        """What the commit marker says, or None while the features are not complete.

        Raises:
            StorageError: the marker is damaged.
        """
        try:
            marker = json.loads(self.store.get(self.prefix + _MARKER))
            marker.setdefault("num_variants_quarantined", 0)  # absent where there were no variants yet
            return {name: marker[name] for name in _MARKER_FIELDS}
        except ObjectNotFound:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise StorageError(
                f"{self.uri}{_MARKER} is damaged ({e!r}). Delete it and run again; nothing is recomputed."
            ) from e

    def withdraw(self) -> None:
        """Takes the commit marker away: the features are no longer complete, their shards stay."""
        self.store.delete(self.prefix + _MARKER)

    def has_all_objects(self, marker: dict[str, Any]) -> bool:
        """Whether every object that a commit marker names is there; one listing."""
        there = {info.key for info in self.store.list(self.prefix)}
        return all(
            self._key(kind, index, clips_hash) in there
            for index, clips_hash, num_quarantined in marker["shards"]
            for kind in (("part", "quarantine") if num_quarantined else ("part",))
        )

    def read(self, *, columns: list[str] | None = None) -> pa.Table:
        """All feature rows, in the order of the manifest.

        Raises:
            StorageError: the features are not complete.
        """
        return pa.concat_tables(list(self.parts(columns=columns)))

    def parts(self, *, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The same rows shard by shard, for readers that need not hold them all.

        Raises:
            StorageError: the features are not complete.
        """
        for key in self._keys("part"):
            yield read_parquet(self.store, key, columns=columns).replace_schema_metadata(None)

    def quarantine(self) -> pa.Table:
        """The clips and variants without features and why, as QUARANTINE_SCHEMA.

        Raises:
            StorageError: the features are not complete.
        """
        tables = [self._read_quarantine(key) for key in self._keys("quarantine")]
        return pa.concat_tables(tables) if tables else QUARANTINE_SCHEMA.empty_table()

    def load(self) -> Features:
        """Reads log-mels and what a split needs into contiguous memory."""
        table = self.read(columns=["clip_id", "group", "variant", "window", "labels", "log_mel"]).combine_chunks()
        tensor = table.column("log_mel").combine_chunks()
        log_mel = (
            tensor.to_numpy_ndarray()
            if isinstance(tensor, pa.FixedShapeTensorArray)
            else tensor.chunk(0).to_numpy_ndarray()
        )
        return Features(
            log_mel=np.ascontiguousarray(log_mel),
            clip_ids=tuple(table.column("clip_id").to_pylist()),
            groups=tuple(table.column("group").to_pylist()),
            variants=tuple(table.column("variant").to_pylist()),
            windows=tuple(table.column("window").to_pylist()),
            labels=tuple(tuple(labels) for labels in table.column("labels").to_pylist()),
        )

    def _read_quarantine(self, key: str) -> pa.Table:
        table = read_parquet(self.store, key)
        if "variant" not in table.schema.names:  # stored before there were variants other than the original
            table = table.append_column("variant", pa.array(["original"] * table.num_rows))
        return table.select(QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)

    def _keys(self, kind: str) -> list[str]:
        marker = self.marker()
        if marker is None:
            raise StorageError(f"{self.uri} holds no complete features. Run jobs/featurize.py with the same settings.")
        return [
            self._key(kind, index, clips_hash)
            for index, clips_hash, num_reasons in marker["shards"]
            if kind == "part" or num_reasons
        ]

    def _key(self, kind: str, index: int, clips_hash: str) -> str:
        return f"{self.prefix}{kind}-{index:05d}-{clips_hash}.parquet"


def _pairs(table: pa.Table) -> frozenset[tuple[str, str]]:
    clip_ids, variants = table.column("clip_id").to_pylist(), table.column("variant").to_pylist()
    return frozenset(zip(clip_ids, variants, strict=True))
