"""What may be deleted: nothing that a result refers to, nothing young, nothing that a marker names."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from feature_toys import commit_rows, make_quarantine, make_rows, store_as_before

from storage.embedding_store import EmbeddingStore
from storage.feature_store import FeatureStore, Shard
from storage.garbage import Garbage, delete_garbage, find_garbage
from storage.object_store import ObjectStore
from storage.part_rows import ROW_KEY, parts_with_rows

_LATER = time.time() + 3600.0  # everything that the tests write is older
_ROWS = make_rows(np.zeros((2, 2, 3), dtype=np.float16))


def _features(store: ObjectStore, dataset: str = "esc50-aa", fingerprint: str = "f00d") -> FeatureStore:
    features = FeatureStore(store, dataset=dataset, fingerprint=fingerprint)
    commit_rows(features, [_ROWS, _ROWS])
    return features


def _find(store: ObjectStore, *referred: FeatureStore, written_before: float = _LATER) -> list[tuple[str, str, int]]:
    names = {(features.dataset, features.fingerprint) for features in referred}
    found = find_garbage(store, referred=names, written_before=written_before).garbage
    return [(f"{item.dataset}/{item.fingerprint}", item.why, len(item.objects)) for item in found]


def _embedded(features: FeatureStore) -> EmbeddingStore:
    """Complete embeddings: two parts and a marker."""
    embeddings = EmbeddingStore(features, "beef")
    parts = parts_with_rows(features)
    for part in parts:
        keys = features.read_shard(part.index, part.clips_hash, columns=ROW_KEY)
        embeddings.write_part(part.index, part.clips_hash, keys, np.zeros((keys.num_rows, 4), dtype=np.float32))
    embeddings.commit(parts, spec={}, versions={})
    return embeddings


def test_features_without_a_result_are_garbage_and_those_with_one_are_not(store: ObjectStore) -> None:
    kept, old = _features(store), _features(store, fingerprint="beef")
    _features(store, dataset="esc50-bb")
    assert _find(store, kept, old) == [("esc50-bb/f00d", "no result refers to it", 3)]
    assert [name for name, _, _ in _find(store, kept)] == ["esc50-aa/beef", "esc50-bb/f00d"]


def test_what_is_young_stays(store: ObjectStore) -> None:
    features = _features(store)
    written = [info.modified_at for info in store.list(features.prefix)]
    assert max(written) == pytest.approx(time.time(), abs=120)
    assert _find(store, written_before=max(written)) == []
    features.withdraw()
    assert _find(store, written_before=min(written)) == []


def test_an_interrupted_run_is_garbage_unless_a_sweep_refers_to_it(store: ObjectStore) -> None:
    features = _features(store)
    features.withdraw()
    assert _find(store) == [("esc50-aa/f00d", "interrupted", 2)]
    assert _find(store, features) == []


def test_shards_beside_those_of_the_marker_are_garbage_and_strange_files_are_not(store: ObjectStore) -> None:
    features = _features(store)
    for name in ("part-00000-other.parquet", "quarantine-00007-x.parquet", "notes.txt", "deep/part-00000-0.parquet"):
        store.put(features.prefix + name, b"x")
    assert _find(store, features) == [("esc50-aa/f00d", "orphaned shards", 2)]
    (garbage,) = find_garbage(store, referred={("esc50-aa", "f00d")}, written_before=_LATER).garbage
    assert delete_garbage(store, garbage)
    assert len(features.load().clip_ids) == 4
    assert _find(store, features) == []


@pytest.mark.parametrize("is_old", [False, True], ids=["as now", "stored before keys had the reasons"])
def test_a_quarantine_that_no_part_names_is_garbage_and_the_parts_own_one_is_not(
    store: ObjectStore, is_old: bool
) -> None:
    features = FeatureStore(store, dataset="esc50-aa", fingerprint="f00d")
    shard = Shard(index=0, clips_hash="0000", num_clips=3, num_rows=2, num_quarantined=1)
    features.commit([features.write_shard(shard, _ROWS, make_quarantine("bad"))], spec={}, versions={})
    if is_old:
        store_as_before(features)
    assert _find(store, features) == []
    late = replace(shard, num_rows=1, num_quarantined=2)
    features.write_shard(late, _ROWS.slice(0, 1), make_quarantine("bad", "c00001"))
    assert _find(store, features) == [("esc50-aa/f00d", "orphaned shards", 1)]
    (garbage,) = find_garbage(store, referred={("esc50-aa", "f00d")}, written_before=_LATER).garbage
    assert delete_garbage(store, garbage)
    assert features.quarantine().equals(make_quarantine("bad"))
    assert _find(store, features) == []


def test_deleting_begins_with_the_marker_and_can_be_taken_up_again(store: ObjectStore) -> None:
    features = _features(store)
    (garbage,) = find_garbage(store, referred=(), written_before=_LATER).garbage
    assert garbage.objects[0].key.endswith("_MANIFEST.json")
    assert garbage.size_bytes == sum(info.size_bytes for info in store.list(features.prefix))
    store.delete(garbage.objects[0].key)
    store.delete(garbage.objects[1].key)
    assert delete_garbage(store, garbage)
    assert not list(store.list(features.prefix))


def test_a_folder_that_was_written_to_meanwhile_is_left_alone(store: ObjectStore) -> None:
    features = _features(store)
    (garbage,) = find_garbage(store, referred=(), written_before=_LATER).garbage
    store.put(features.prefix + "part-00002-new.parquet", b"x")
    assert not delete_garbage(store, garbage)
    assert features.marker() is not None


def test_a_damaged_marker_keeps_its_folder(store: ObjectStore) -> None:
    features = _features(store)
    store.put(f"{features.prefix}_MANIFEST.json", b"{")
    found = find_garbage(store, referred=(), written_before=_LATER)
    assert found.garbage == ()
    assert found.unreadable == (features.prefix,)


def test_an_empty_garbage_list_of_an_empty_store(store: ObjectStore) -> None:
    assert find_garbage(store, referred=(), written_before=_LATER).garbage == ()
    assert Garbage(dataset="a", fingerprint="f", why="interrupted", objects=()).size_bytes == 0


def test_what_lies_deeper_than_features_do_is_not_ours_to_delete(store: ObjectStore) -> None:
    store.put("features/esc/v2-6372/f00d/_MANIFEST.json", b"{}")
    store.put("embeddings/esc/v2-6372/f00d/beef/_MANIFEST.json", b"{}")
    assert _find(store) == []


def _clear(store: ObjectStore, prefix: str) -> None:
    for info in list(store.list(prefix)):
        store.delete(info.key)


def test_embeddings_of_features_that_are_gone_are_garbage(store: ObjectStore) -> None:
    features, other = _features(store), _features(store, fingerprint="cafe")
    _embedded(features)
    kept = _embedded(other)
    assert _find(store, features, other) == []
    _clear(store, features.prefix)
    assert _find(store, other) == [("esc50-aa/f00d", "embeddings without features", 3)]
    (garbage,) = find_garbage(store, referred={("esc50-aa", "cafe")}, written_before=_LATER).garbage
    assert garbage.objects[0].key.endswith("_MANIFEST.json")
    assert delete_garbage(store, garbage)
    assert not list(store.list("embeddings/esc50-aa/f00d/"))
    assert kept.is_complete(parts_with_rows(other))


def test_embeddings_go_after_their_features_and_stay_with_them(store: ObjectStore) -> None:
    features = _features(store)
    embeddings = _embedded(features)
    found = find_garbage(store, referred=(), written_before=_LATER).garbage
    assert [item.why for item in found] == ["no result refers to it", "embeddings without features"]
    assert not delete_garbage(store, found[1])  # the features are still there
    assert embeddings.is_complete(parts_with_rows(features))
    assert delete_garbage(store, found[0])
    assert delete_garbage(store, found[1])
    assert not list(store.list(""))


def test_embeddings_that_are_young_or_whose_features_a_sweep_refers_to_stay(store: ObjectStore) -> None:
    features = _features(store)
    _embedded(features)
    _clear(store, features.prefix)
    assert _find(store, features) == []
    newest = max(info.modified_at for info in store.list("embeddings/"))
    assert _find(store, written_before=newest) == []


def test_parts_beside_those_of_the_embeddings_marker_are_garbage_until_it_names_them(store: ObjectStore) -> None:
    features = _features(store)
    embeddings = _embedded(features)
    parts, prefix = parts_with_rows(features), "embeddings/esc50-aa/f00d/beef/"
    for name in ("part-00000-0000-other.parquet", "notes.txt"):
        store.put(prefix + name, b"x")
    assert _find(store, features) == [("esc50-aa/f00d", "orphaned embeddings", 1)]
    (garbage,) = find_garbage(store, referred={("esc50-aa", "f00d")}, written_before=_LATER).garbage
    marker = store.get(f"{prefix}_MANIFEST.json")
    store.delete(f"{prefix}_MANIFEST.json")
    assert not delete_garbage(store, garbage)  # nobody knows what will be named
    named = {**json.loads(marker), "parts": [[0, "0000-other"]]}
    store.put(f"{prefix}_MANIFEST.json", json.dumps(named).encode())
    assert not delete_garbage(store, garbage)
    store.put(f"{prefix}_MANIFEST.json", marker)
    assert delete_garbage(store, garbage)
    assert embeddings.is_complete(parts)
    store.put(f"{prefix}_MANIFEST.json", b"{")
    assert find_garbage(store, referred={("esc50-aa", "f00d")}, written_before=_LATER).unreadable == (prefix,)
