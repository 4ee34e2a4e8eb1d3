"""Embeddings at rest: nothing is seen before the marker, rows are those of the features, and parts stay as they are."""

import numpy as np
import pyarrow as pa
import pytest
from feature_toys import RecordingStore, commit_rows, make_rows
from numpy.typing import NDArray

from storage.embedding_store import EmbeddingStore
from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore
from storage.part_rows import ROW_KEY, PartRows, parts_with_rows

_ROWS = [
    make_rows(np.full((4, 2, 3), level, dtype=np.float16), first=2 * level, variants=("original", "noise"))
    for level in range(2)
]


def _features(store: ObjectStore, tables: list[pa.Table] = _ROWS) -> FeatureStore:
    features = FeatureStore(store, dataset="toy-aa", fingerprint="f00d")
    commit_rows(features, tables)
    return features


def _values(index: int) -> NDArray[np.float32]:
    return np.random.default_rng(index).normal(size=(4, 400)).astype(np.float32)


def _write(embeddings: EmbeddingStore, index: int, values: NDArray[np.float32]) -> None:
    keys = embeddings.features.read_shard(index, f"{index:04x}", columns=ROW_KEY)
    embeddings.write_part(index, f"{index:04x}", keys, values[: keys.num_rows])


def _written(store: ObjectStore) -> tuple[EmbeddingStore, list[PartRows]]:
    embeddings = EmbeddingStore(_features(store), "beef")
    for index in range(2):
        _write(embeddings, index, _values(index))
    return embeddings, parts_with_rows(embeddings.features)


def _key(embeddings: EmbeddingStore, index: int) -> str:
    return next(info.key for info in embeddings.store.list("embeddings/") if f"/part-{index:05d}" in info.key)


def test_every_bit_of_every_row_comes_back_in_the_order_of_the_features(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    assert [part.num_rows for part in parts] == [4, 4]
    for part in parts:
        embeddings.check_part(part)
    embeddings.commit(parts, spec={}, versions={})
    assert embeddings.is_complete(parts)
    found, features = embeddings.load(), embeddings.features.load()
    assert np.array_equal(found.embedding, np.concatenate([_values(0), _values(1)]))
    assert (found.clip_ids, found.variants, found.windows) == (features.clip_ids, features.variants, features.windows)


def test_without_the_marker_a_reader_sees_nothing(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    assert embeddings.finished_parts() == {part.name for part in parts}
    assert not embeddings.is_complete(parts)
    with pytest.raises(StorageError, match="no complete embeddings"):
        embeddings.load()


def test_a_part_with_other_rows_than_its_name_says_is_told(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    store.put(_key(embeddings, 0), store.get(_key(embeddings, 1)))
    with pytest.raises(StorageError, match=r"part-00000-0000-\w{12}\.parquet' has 4 rows that are not the 4"):
        embeddings.check_part(parts[0])


def test_a_part_that_is_not_there_is_told_as_rows_that_changed(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    store.delete(_key(embeddings, 0))
    with pytest.raises(StorageError, match=r"changed while its embeddings were made\. Run the same command again"):
        embeddings.check_part(parts[0])


def test_a_part_is_never_replaced_unless_it_is_empty(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    key = _key(embeddings, 0)
    before = store.get(key)
    _write(embeddings, 0, _values(9))
    assert store.get(key) == before
    store.put(key, b"")
    assert embeddings.finished_parts() == {parts[1].name}
    _write(embeddings, 0, _values(0))
    assert store.get(key) == before


def test_a_part_of_features_without_rows_has_none(store: ObjectStore) -> None:
    embeddings = EmbeddingStore(_features(store, [_ROWS[0][:0], _ROWS[0]]), "beef")
    for index in range(2):
        _write(embeddings, index, _values(0))
    parts = parts_with_rows(embeddings.features)
    assert [part.num_rows for part in parts] == [0, 4]
    for part in parts:
        embeddings.check_part(part)
    embeddings.commit(parts, spec={}, versions={})
    assert np.array_equal(embeddings.load().embedding, _values(0))


def test_a_lost_part_makes_them_incomplete_and_a_damaged_one_is_named(store: ObjectStore) -> None:
    embeddings, parts = _written(store)
    embeddings.commit(parts, spec={}, versions={})
    key = _key(embeddings, 1)
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 0xFF
    store.put(key, bytes(data))
    with pytest.raises(StorageError, match=r"part-00001-0001-\w{12}\.parquet' is damaged"):
        embeddings.load()
    store.delete(key)
    assert not embeddings.is_complete(parts)


@pytest.mark.parametrize("rows", [slice(0, 4), slice(2, 4)], ids=["more", "as many, but others"])
def test_other_rows_in_a_part_of_the_same_name_have_no_embeddings_yet(store: ObjectStore, rows: slice) -> None:
    embeddings = EmbeddingStore(_features(store, [_ROWS[0][:2], _ROWS[1]]), "beef")
    for index in range(2):
        _write(embeddings, index, _values(index))
    before = parts_with_rows(embeddings.features)
    embeddings.commit(before, spec={}, versions={})
    assert embeddings.is_complete(before)
    for info in list(store.list("features/")):
        store.delete(info.key)
    now = parts_with_rows(_features(store, [_ROWS[0][rows], _ROWS[1]]))
    assert not embeddings.is_complete(now)
    assert [part.name in embeddings.finished_parts() for part in now] == [False, True]


def test_a_marker_that_names_other_parts_is_replaced_without_a_moment_in_which_there_is_none(
    store: ObjectStore,
) -> None:
    embeddings, parts = _written(store)
    keeping = EmbeddingStore(FeatureStore(_Keeping(store), dataset="toy-aa", fingerprint="f00d"), "beef")
    keeping.commit(parts[:1], spec={}, versions={})
    keeping.commit(parts, spec={}, versions={})
    assert embeddings.is_complete(parts)
    embeddings.commit(parts, spec={"made": "by another job"}, versions={})
    assert b"another job" not in store.get("embeddings/toy-aa/f00d/beef/_MANIFEST.json")


class _Keeping(RecordingStore):
    """A store from which nobody may take anything away."""

    def delete(self, key: str) -> None:
        raise AssertionError(f"{key} was deleted")
