"""Embeddings at rest: what a backbone makes of stored features, beside them, row for row.

    embeddings/<dataset>/<fingerprint>/<embedding_id>/
        part-00003-<hash>-<rows>.parquet    rows of the features' part of that index and hash, in its order; <rows> is
                                            the hash of their keys, so that other rows have another name
        _MANIFEST.json                      written last: the parts, the counts, what the embeddings were made with

Enters: arrays with the keys of a part's rows, from any process. Leaves: one array, and only once the marker says
that the parts are complete.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import ObjectNotFound, StorageError
from storage.feature_store import FeatureStore
from storage.features import allocate, decode_into, loaded_type
from storage.object_store import ObjectStore
from storage.parquet import open_parquet, read_parquet, to_parquet
from storage.part_rows import ROW_KEY, PartRows, rows_hash
from storage.parts import Parts

_MARKER_FIELDS = ("dataset", "fingerprint", "embedding_id", "num_rows", "embedding_size", "parts", "spec", "versions")


def embedding_schema(embedding_size: int) -> pa.Schema:
    """Columns of an embedding's row; `embedding` is a fixed-shape tensor of float32."""
    return pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("variant", pa.string(), nullable=False),
            pa.field("window", pa.int32(), nullable=False),
            pa.field("embedding", pa.fixed_shape_tensor(pa.float32(), (embedding_size,)), nullable=False),
        ]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """Embeddings in memory, in the order of the features' rows.

    Attributes:
        embedding: float32 (rows, embedding_size).
        clip_ids, variants, windows: one entry per row.
    """

    embedding: NDArray[np.float32]
    clip_ids: tuple[str, ...]
    variants: tuple[str, ...]
    windows: tuple[int, ...]


class EmbeddingStore:
    """The embeddings of one data set's features under one identity. Writing a part is atomic and idempotent."""

    def __init__(self, features: FeatureStore, embedding_id: str) -> None:
        self.features, self.embedding_id = features, embedding_id
        prefix = f"embeddings/{features.dataset}/{features.fingerprint}/{embedding_id}/"
        self._parts = Parts(features.store, prefix, fields=_MARKER_FIELDS)

    @property
    def store(self) -> ObjectStore:
        return self.features.store

    @property
    def uri(self) -> str:
        return self._parts.uri

    def read_features(self, index: int, clips_hash: str) -> tuple[pa.Table, NDArray[np.floating[Any]]]:
        """What one part is made from: the keys of the features' rows, for `write_part`, and their log-mels in dB.

        Raises:
            StorageError: the features' part is missing or damaged.
        """
        part = self.features.read_shard(index, clips_hash, columns=[*ROW_KEY, "log_mel"])
        field = part.schema.field("log_mel")
        log_mel = np.empty((part.num_rows, *field.type.shape), dtype=loaded_type(field))
        decode_into(log_mel, part.column("log_mel"), field)
        return part.select(list(ROW_KEY)), log_mel

    def write_part(self, index: int, clips_hash: str, keys: pa.Table, embedding: NDArray[np.float32]) -> None:
        """Stores the embeddings of one part of the features, under the name of just these rows.

        One that is there and not empty is never replaced.

        Args:
            keys: of the part's rows, with the columns ROW_KEY.
            embedding: (rows, embedding_size), all finite.
        """
        schema = embedding_schema(embedding.shape[1])
        tensor = schema.field("embedding").type
        flat = pa.array(np.ascontiguousarray(embedding).ravel(), pa.float32())
        # from_numpy_ndarray refuses an array without rows: those of a part all of whose clips are quarantined.
        values = pa.ExtensionArray.from_storage(tensor, pa.FixedSizeListArray.from_arrays(flat, embedding.shape[1]))
        columns = [*(keys.column(name).combine_chunks() for name in ROW_KEY), values]
        data = to_parquet(pa.Table.from_arrays(columns, schema=schema))
        part = PartRows(index=index, clips_hash=clips_hash, rows_hash=rows_hash(keys), num_rows=keys.num_rows)
        key = self._parts.key(*part.name)
        if not self.store.put_if_absent(key, data) and not self.store.size_bytes(key):
            self.store.put(key, data)  # an empty object: a disk that was full, or a hand

    def finished_parts(self) -> set[tuple[int, str]]:
        """`PartRows.name` of every part that is there; one listing."""
        return self._parts.finished()

    def check_part(self, part: PartRows) -> None:
        """Holds that the embeddings of a part have just its rows, in their order; reads the keys alone.

        Raises:
            StorageError: they have others, are missing or damaged.
        """
        key = self._parts.key(*part.name)
        try:
            found = read_parquet(self.store, key, columns=list(ROW_KEY))
        except ObjectNotFound as e:
            raise StorageError(
                f"{self.features.uri} changed while its embeddings were made. Run the same command again."
            ) from e
        if rows_hash(found) != part.rows_hash:
            raise StorageError(
                f"{self.store.uri}: {key!r} has {found.num_rows} rows that are not the {part.num_rows} of the "
                "features' part. Delete it and run the same command again."
            )

    def commit(self, parts: Sequence[PartRows], *, spec: dict[str, Any], versions: Any) -> None:
        """Writes the marker; the caller has checked the parts.

        A marker that names other parts is replaced, of rows that have changed since; any other one stays. None is ever
        taken away, so that two jobs that make the same embeddings do not undo each other's commit.
        """
        with open_parquet(self.store, self._parts.key(*parts[0].name)) as first:
            embedding_size = int(first.schema_arrow.field("embedding").type.shape[0])
        marker = {
            "dataset": self.features.dataset,
            "fingerprint": self.features.fingerprint,
            "embedding_id": self.embedding_id,
            "num_rows": sum(part.num_rows for part in parts),
            "embedding_size": embedding_size,
            "parts": _names(parts),
            "spec": spec,
            "versions": versions,
        }
        if self._parts.commit(marker)["parts"] != marker["parts"]:
            self._parts.replace(marker)

    def is_complete(self, parts: Sequence[PartRows]) -> bool:
        """Whether the marker names just the embeddings of these parts, and all are there.

        Raises:
            StorageError: the marker is damaged.
        """
        marker = self._parts.marker()
        if marker is None or marker["parts"] != _names(parts):
            return False
        return self._parts.has_all({self._parts.key(*part.name) for part in parts})

    def delete_parts(self, names: Collection[tuple[int, str]]) -> None:
        """Deletes embeddings that the marker does not name; may be repeated. Args: names: of `finished_parts`."""
        for name in names:
            self.store.delete(self._parts.key(*name))

    def committed_keys(self) -> set[str] | None:
        """The keys of the parts that the marker names; None while there is no marker.

        Raises:
            StorageError: the marker is damaged.
        """
        marker = self._parts.marker()
        return None if marker is None else {self._parts.key(*part) for part in marker["parts"]}

    def load(self) -> Embeddings:
        """Reads all rows into one array, part by part.

        Raises:
            StorageError: the embeddings are not complete, or a part is missing or damaged.
        """
        marker = self._parts.marker()
        if marker is None:
            raise StorageError(f"{self.uri} holds no complete embeddings. Run the same command again.")
        embedding = allocate((marker["num_rows"], marker["embedding_size"]), "float32")
        keys: dict[str, list[Any]] = {name: [] for name in ROW_KEY}
        position = 0
        for part in marker["parts"]:
            table = read_parquet(self.store, self._parts.key(*part))
            if not table.num_rows:
                continue
            values = table.column("embedding").combine_chunks().to_numpy_ndarray()
            if values.shape[1:] != embedding.shape[1:] or position + len(values) > len(embedding):
                raise StorageError(f"{self.uri}: parts do not agree. Delete the folder and run the same command again.")
            embedding[position : position + len(values)] = values
            position += len(values)
            for name in ROW_KEY:
                keys[name] += table.column(name).to_pylist()
        if position != len(embedding):
            raise StorageError(f"{self.uri} has {position} of {len(embedding)} rows. Delete it and run again.")
        return Embeddings(
            embedding=embedding,
            clip_ids=tuple(keys["clip_id"]),
            variants=tuple(keys["variant"]),
            windows=tuple(keys["window"]),
        )


def _names(parts: Sequence[PartRows]) -> list[list[Any]]:
    """As the marker has them."""
    return [list(part.name) for part in parts]
