"""Embeddings at rest: nothing is seen before the marker, rows are those of the features, and parts stay as they are."""

import numpy as np
import pyarrow as pa
import pytest
from feature_toys import commit_rows, make_rows
from numpy.typing import NDArray

from storage.embedding_store import ROW_KEY, EmbeddingStore
from storage.errors import StorageError
from storage.feature_store import FeatureStore, Shard
from storage.object_store import ObjectStore

_ROWS = [
    make_rows(np.full((4, 2, 3), level, dtype=np.float16), first=2 * level, variants=("original", "noise"))
    for level in range(2)
]


def _features(store: ObjectStore) -> tuple[FeatureStore, list[Shard]]:
    features = FeatureStore(store, dataset="toy-aa", fingerprint="f00d")
    return features, commit_rows(features, _ROWS)


def _values(index: int) -> NDArray[np.float32]:
    return np.random.default_rng(index).normal(size=(4, 400)).astype(np.float32)


def _keys(index: int) -> pa.Table:
    return _ROWS[index].select(list(ROW_KEY))


def _written(store: ObjectStore) -> tuple[EmbeddingStore, list[tuple[int, str]]]:
    features, shards = _features(store)
    embeddings = EmbeddingStore(features, "beef")
    parts = [(shard.index, shard.clips_hash) for shard in shards]
    for index, clips_hash in parts:
        embeddings.write_part(index, clips_hash, _keys(index), _values(index))
    return embeddings, parts


def test_every_bit_of_every_row_comes_back_in_the_order_of_the_features(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    assert sum(embeddings.check_part(*part) for part in parts) == 8
    embeddings.commit(parts, num_rows=8, spec={}, versions={})
    assert embeddings.is_complete()
    found, features = embeddings.load(), embeddings.features.load()
    assert np.array_equal(found.embedding, np.concatenate([_values(0), _values(1)]))
    assert (found.clip_ids, found.variants, found.windows) == (features.clip_ids, features.variants, features.windows)


def test_without_the_marker_a_reader_sees_nothing(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    assert embeddings.finished_parts() == set(parts)
    assert not embeddings.is_complete()
    with pytest.raises(StorageError, match="no complete embeddings"):
        embeddings.load()


def test_a_part_with_other_rows_than_the_features_is_told(store: ObjectStore) -> None:
    features, shards = _features(store)
    embeddings = EmbeddingStore(features, "beef")
    embeddings.write_part(0, shards[0].clips_hash, _keys(1), _values(0))
    with pytest.raises(StorageError, match=r"part-00000-0000\.parquet' has 4 rows that are not the 4"):
        embeddings.check_part(0, shards[0].clips_hash)


def test_a_part_is_never_replaced_unless_it_is_empty(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    key = embeddings.uri.removeprefix(store.uri + "/") + "part-00000-0000.parquet"
    before = store.get(key)
    embeddings.write_part(*parts[0], _keys(0), _values(9))
    assert store.get(key) == before
    store.put(key, b"")
    assert embeddings.finished_parts() == {parts[1]}
    embeddings.write_part(*parts[0], _keys(0), _values(0))
    assert store.get(key) == before


def test_a_part_of_features_without_rows_has_none(store: ObjectStore) -> None:
    features = FeatureStore(store, dataset="toy-aa", fingerprint="f00d")
    shards = commit_rows(features, [_ROWS[0][:0], _ROWS[0]])
    embeddings = EmbeddingStore(features, "beef")
    for shard, values in zip(shards, (_values(0)[:0], _values(0)), strict=True):
        rows = features.read_shard(shard.index, shard.clips_hash)
        embeddings.write_part(shard.index, shard.clips_hash, rows, values)
    parts = [(shard.index, shard.clips_hash) for shard in shards]
    assert [embeddings.check_part(*part) for part in parts] == [0, 4]
    embeddings.commit(parts, num_rows=4, spec={}, versions={})
    assert np.array_equal(embeddings.load().embedding, _values(0))


def test_a_lost_part_makes_them_incomplete_and_a_damaged_one_is_named(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    embeddings.commit(parts, num_rows=8, spec={}, versions={})
    key = embeddings.uri.removeprefix(store.uri + "/") + "part-00001-0001.parquet"
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 0xFF
    store.put(key, bytes(data))
    with pytest.raises(StorageError, match=r"part-00001-0001\.parquet' is damaged"):
        embeddings.load()
    store.delete(key)
    assert not embeddings.is_complete()
