"""The feature store: nothing is seen before the marker, and then every bit of every row."""

import math
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feature_toys import store_as_before
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from storage.errors import StorageError
from storage.feature_schemas import QUARANTINE_SCHEMA, feature_schema
from storage.feature_store import FeatureStore, Shard
from storage.object_store import ObjectStore, open_store

_SPEC = {"num_mels": 4, "sample_rate_hz": 22_050}
_VERSIONS = {"numpy": "2.0"}


def _rows(log_mel: NDArray[Any], *, first: int = 0, labels: tuple[str, ...] = ("dog",)) -> pa.Table:
    num_rows, *shape = log_mel.shape
    clip_ids = [f"c{first + number}" for number in range(num_rows)]
    schema = feature_schema(shape, log_mel.dtype.name)
    tensor = schema.field("log_mel").type
    values = pa.array(log_mel.ravel(), type=tensor.value_type)
    columns = [
        pa.array(clip_ids, pa.string()),
        pa.array(clip_ids, pa.string()),
        pa.array([f"speaker-{number % 2}" for number in range(num_rows)], pa.string()),
        pa.array(["plain"] * num_rows, pa.string()),
        pa.array([0] * num_rows, pa.int32()),
        pa.array([list(labels)] * num_rows, pa.list_(pa.string())),
        pa.array([None] * num_rows, pa.int32()),
        pa.ExtensionArray.from_storage(tensor, pa.FixedSizeListArray.from_arrays(values, math.prod(shape))),
        pa.array(["{}"] * num_rows, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _log_mel(num_rows: int, seed: int = 0) -> NDArray[np.float16]:
    return np.random.default_rng(seed).normal(-40, 20, (num_rows, 4, 6)).astype(np.float16)


def _quarantine(*clip_ids: str) -> pa.Table:
    reason = {"variant": "original", "uri": "x.wav", "reason": "truncated", "detail": "at 3 s"}
    rows = [{"clip_id": clip_id, **reason} for clip_id in clip_ids]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def _write(features: FeatureStore, index: int, rows: pa.Table, *bad: str, clips_hash: str = "aa") -> Shard:
    shard = Shard(
        index=index,
        clips_hash=clips_hash,
        num_clips=rows.num_rows + len(bad),
        num_rows=rows.num_rows,
        num_quarantined=len(bad),
    )
    return features.write_shard(shard, rows, _quarantine(*bad))


def _open(store: ObjectStore) -> FeatureStore:
    return FeatureStore(store, dataset="esc50", fingerprint="f00d")


def _objects(features: FeatureStore) -> dict[str, bytes]:
    return {info.key: features.store.get(info.key) for info in features.store.list(features.prefix)}


@pytest.fixture
def features(store: ObjectStore) -> FeatureStore:
    return _open(store)


class TestBeforeTheMarker:
    def test_shards_without_a_marker_cannot_be_read(self, features: FeatureStore) -> None:
        _write(features, 0, _rows(_log_mel(2)))
        assert features.marker() is None
        for read in (features.read, features.load, features.quarantine):
            with pytest.raises(StorageError, match=f"{features.uri} holds no complete features. Run jobs/featurize.py"):
                read()

    def test_finished_shards_are_found_by_the_clips_they_were_made_from(self, features: FeatureStore) -> None:
        shards = [
            _write(features, 0, _rows(_log_mel(2)), "bad"),
            _write(features, 12, _rows(_log_mel(3)), clips_hash="b-b"),
        ]
        assert features.find_shard(0, "aa") == shards[0]
        assert features.find_shard(12, "b-b") == shards[1]
        assert features.find_shard(0, "bb") is None
        assert features.find_shard(1, "aa") is None
        assert features.finished_shards() == {(0, "aa"), (12, "b-b")}

    def test_quarantined_variants_are_counted_beside_quarantined_clips(self, features: FeatureStore) -> None:
        shard = Shard(index=0, clips_hash="aa", num_clips=3, num_rows=2, num_quarantined=1, num_variants_quarantined=1)
        lone = _quarantine("c1").set_column(1, QUARANTINE_SCHEMA.field("variant"), pa.array(["noise"]))
        shard = features.write_shard(shard, _rows(_log_mel(2)), pa.concat_tables([_quarantine("bad"), lone]))
        assert features.find_shard(0, "aa") == shard
        content = features.read_back(shard)
        assert content.with_rows == {("c0", "plain"), ("c1", "plain")}
        assert content.quarantined == {("bad", "original"), ("c1", "noise")}
        marker = features.commit([shard], spec=_SPEC, versions=_VERSIONS)
        assert (marker["num_quarantined"], marker["num_variants_quarantined"]) == (1, 1)
        assert features.quarantine().num_rows == 2

    def test_a_quarantine_alone_is_no_finished_shard(self, features: FeatureStore) -> None:
        _write(features, 0, _rows(_log_mel(1)), "bad")
        features.store.delete(features.prefix + "part-00000-aa.parquet")
        assert features.finished_shards() == set()
        assert features.find_shard(0, "aa") is None

    def test_of_two_jobs_that_write_a_shard_the_first_one_counts(self, features: FeatureStore) -> None:
        first = _write(features, 0, _rows(_log_mel(2)), "bad")
        second = Shard(index=0, clips_hash="aa", num_clips=3, num_rows=3, num_quarantined=0)
        assert features.write_shard(second, _rows(_log_mel(3)), _quarantine()) == first
        features.commit([first], spec=_SPEC, versions=_VERSIONS)
        assert len(features.load().clip_ids) == 2
        assert features.quarantine().column("clip_id").to_pylist() == ["bad"]

    def test_a_shard_whose_quarantine_is_lost_is_written_anew(self, features: FeatureStore) -> None:
        _write(features, 0, _rows(_log_mel(2)), "bad")
        (quarantine,) = (info.key for info in features.store.list(features.prefix + "quarantine-"))
        features.store.delete(quarantine)
        whole = Shard(index=0, clips_hash="aa", num_clips=3, num_rows=3, num_quarantined=0)
        assert features.write_shard(whole, _rows(_log_mel(3)), _quarantine()) == whole
        assert features.find_shard(0, "aa") == whole

    def test_an_empty_quarantine_is_as_good_as_none_and_the_same_outcome_brings_it_back(
        self, features: FeatureStore
    ) -> None:
        shard = _write(features, 0, _rows(_log_mel(2)), "bad")
        before = _objects(features)
        (quarantine,) = (info.key for info in features.store.list(features.prefix + "quarantine-"))
        features.store.put(quarantine, b"")
        assert features.find_shard(0, "aa") is None
        assert _write(features, 0, _rows(_log_mel(2)), "bad") == shard
        assert _objects(features) == before

    def test_two_jobs_with_the_same_outcome_write_the_same_objects(self, features: FeatureStore) -> None:
        shard = _write(features, 0, _rows(_log_mel(2)), "bad", "worse")
        before = _objects(features)
        assert len(before) == 2
        assert _write(features, 0, _rows(_log_mel(2)), "bad", "worse") == shard
        assert _objects(features) == before

    def test_a_shard_that_was_replaced_since_it_was_found_is_told(self, features: FeatureStore) -> None:
        shard = _write(features, 0, _rows(_log_mel(2)), "bad")
        features.forget(["truncated"])
        again = _write(features, 0, _rows(_log_mel(2)), "worse")
        with pytest.raises(StorageError, match=r"another job has replaced shard 0\. Run the same command again"):
            features.read_back(shard)
        assert features.read_back(again).quarantined == {("worse", "original")}

    def test_an_empty_part_is_as_good_as_none(self, features: FeatureStore) -> None:
        shard = _write(features, 0, _rows(_log_mel(2)))
        marker = features.commit([shard], spec=_SPEC, versions=_VERSIONS)
        assert features.has_all_objects(marker)
        features.store.put(features.prefix + "part-00000-aa.parquet", b"")
        assert not features.has_all_objects(marker)
        assert features.finished_shards() == set()
        assert _write(features, 0, _rows(_log_mel(2))) == shard
        assert features.has_all_objects(marker)

    def test_shards_with_a_reason_are_forgotten_and_the_others_stay(self, features: FeatureStore) -> None:
        shards = [
            _write(features, 0, _rows(_log_mel(2)), "bad"),
            _write(features, 1, _rows(_log_mel(2)), clips_hash="bb"),
        ]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        assert features.forget(["timed_out"]) == 0
        assert features.marker() is not None
        assert features.forget(["timed_out", "truncated"]) == 1
        assert features.marker() is None
        assert features.finished_shards() == {(1, "bb")}
        assert not list(features.store.list(features.prefix + "quarantine-"))

    def test_counts_that_do_not_close_are_refused(self, features: FeatureStore) -> None:
        shard = Shard(index=0, clips_hash="aa", num_clips=3, num_rows=3, num_quarantined=0)
        with pytest.raises(AssertionError, match="does not describe 2 rows"):
            features.write_shard(shard, _rows(_log_mel(2)), _quarantine())


class TestStoredBeforeKeysHadTheReasons:
    """Parts and markers that do not tell which quarantine is theirs."""

    @pytest.fixture
    def old(self, features: FeatureStore) -> FeatureStore:
        """Not committed; shards 0 and 1, both with a quarantine."""
        _write(features, 0, _rows(_log_mel(2)), "bad")
        _write(features, 1, _rows(_log_mel(2), first=2), "worse")
        store_as_before(features)
        return features

    def test_they_are_read(self, features: FeatureStore) -> None:
        shards = [_write(features, 0, _rows(_log_mel(2)), "bad"), _write(features, 1, _rows(_log_mel(2), first=2))]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        before = features.quarantine_hash()
        store_as_before(features)
        marker = features.marker()
        assert marker is not None
        assert features.has_all_objects(marker)
        assert len(features.load().clip_ids) == 4
        assert features.quarantine().equals(_quarantine("bad"))
        assert features.reasons_so_far().equals(_quarantine("bad"))
        assert features.quarantine_hash() == before

    def test_shards_are_found_and_committed_with_new_ones(self, old: FeatureStore) -> None:
        found = [old.find_shard(index, "aa") for index in (0, 1)]
        shards = [shard for shard in found if shard is not None]
        quarantined = [clip_id for shard in shards for clip_id, _ in old.read_back(shard).quarantined]
        assert quarantined == ["bad", "worse"]
        new = _write(old, 2, _rows(_log_mel(2), first=4), "worst")
        marker = old.commit([*shards, new], spec=_SPEC, versions=_VERSIONS)
        assert old.has_all_objects(marker)
        assert old.quarantine().equals(_quarantine("bad", "worse", "worst"))
        assert old.reasons_so_far().equals(_quarantine("bad", "worse", "worst"))

    def test_a_late_writer_leaves_them_their_quarantine(self, old: FeatureStore) -> None:
        kept = old.find_shard(0, "aa")
        assert kept is not None
        assert _write(old, 0, _rows(_log_mel(1)), "bad", "c1") == kept
        assert old.find_shard(0, "aa") == kept
        assert old.read_back(kept).quarantined == {("bad", "original")}
        assert old.reasons_so_far().equals(_quarantine("bad", "worse"))

    def test_one_without_its_quarantine_is_not_finished(self, old: FeatureStore) -> None:
        old.store.delete(old.prefix + "quarantine-00000-aa.parquet")
        assert old.find_shard(0, "aa") is None
        assert old.find_shard(1, "aa") is not None

    def test_they_are_forgotten(self, old: FeatureStore) -> None:
        assert old.forget(["truncated"]) == 2
        assert not list(old.store.list(old.prefix))


class TestCommitted:
    def test_rows_come_back_in_the_order_of_the_shards(self, features: FeatureStore) -> None:
        log_mel = _log_mel(5)
        shards = [_write(features, 0, _rows(log_mel[:2])), _write(features, 1, _rows(log_mel[2:], first=2))]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        loaded = features.load()
        assert loaded.log_mel.tobytes() == log_mel.tobytes()
        assert loaded.log_mel.dtype == np.float16
        assert loaded.clip_ids == ("c0", "c1", "c2", "c3", "c4")
        assert loaded.groups == ("speaker-0", "speaker-1", "speaker-0", "speaker-1", "speaker-0")
        assert (set(loaded.variants), set(loaded.windows)) == ({"plain"}, {0})
        assert features.read(columns=["clip_id"]).column_names == ["clip_id"]

    def test_a_list_of_labels_survives(self, features: FeatureStore) -> None:
        shards = [
            _write(features, 0, _rows(_log_mel(2), labels=("dog", "rain"))),
            _write(features, 1, _rows(_log_mel(1), first=2, labels=())),
        ]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        assert features.load().labels == (("dog", "rain"), ("dog", "rain"), ())

    def test_the_marker_holds_the_counts_and_the_spec(self, features: FeatureStore) -> None:
        shards = [_write(features, 0, _rows(_log_mel(2)), "bad"), _write(features, 1, _rows(_log_mel(3)))]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        marker = features.marker()
        assert marker is not None
        assert (marker["num_clips"], marker["num_rows"], marker["num_quarantined"]) == (6, 5, 1)
        assert (marker["spec"], marker["versions"]) == (_SPEC, _VERSIONS)

    def test_a_second_commit_changes_nothing(self, features: FeatureStore) -> None:
        shard = _write(features, 0, _rows(_log_mel(2)))
        first = features.commit([shard], spec=_SPEC, versions=_VERSIONS)
        assert features.commit([shard], spec=_SPEC, versions={"numpy": "3.0"}) == first
        assert features.marker() == first

    def test_an_orphan_shard_is_ignored(self, features: FeatureStore) -> None:
        shard = _write(features, 0, _rows(_log_mel(2)), "bad")
        _write(features, 0, _rows(_log_mel(4), first=10), "orphan", clips_hash="other")
        _write(features, 1, _rows(_log_mel(4), first=20), "orphan")
        features.commit([shard], spec=_SPEC, versions=_VERSIONS)
        assert features.load().clip_ids == ("c0", "c1")
        assert features.quarantine().column("clip_id").to_pylist() == ["bad"]

    def test_an_empty_quarantine_has_its_columns(self, features: FeatureStore) -> None:
        features.commit([_write(features, 0, _rows(_log_mel(2)))], spec=_SPEC, versions=_VERSIONS)
        assert features.quarantine().equals(_quarantine())
        assert not list(features.store.list(features.prefix + "quarantine"))

    def test_quarantined_clips_come_back_with_their_reasons(self, features: FeatureStore) -> None:
        shards = [
            _write(features, 0, _rows(_log_mel(1)), "bad-0", "bad-1"),
            _write(features, 1, _rows(_log_mel(2))),
            _write(features, 2, _rows(_log_mel(1)), "bad-2"),
        ]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        assert features.quarantine().equals(_quarantine("bad-0", "bad-1", "bad-2"))

    def test_a_shard_of_quarantined_clips_only_loads(self, features: FeatureStore) -> None:
        shards = [_write(features, 0, _rows(_log_mel(0)), "bad"), _write(features, 1, _rows(_log_mel(2)))]
        features.commit(shards, spec=_SPEC, versions=_VERSIONS)
        assert features.load().log_mel.tobytes() == _log_mel(2).tobytes()

    def test_a_data_set_of_quarantined_clips_only_loads_empty(self, features: FeatureStore) -> None:
        features.commit([_write(features, 0, _rows(_log_mel(0)), "bad")], spec=_SPEC, versions=_VERSIONS)
        assert features.load().log_mel.shape == (0, 4, 6)

    @pytest.mark.parametrize("damage", ["cut", "middle", "footer", "empty"])
    def test_a_damaged_part_is_named(self, local_uri: str, damage: str) -> None:
        features = _open(open_store(local_uri))
        features.commit([_write(features, 0, _rows(_log_mel(200)))], spec=_SPEC, versions=_VERSIONS)
        key = features.prefix + "part-00000-aa.parquet"
        data = bytearray(features.store.get(key))
        position = {"middle": data.index(b"\x28\xb5\x2f\xfd", len(data) // 8) + 200, "footer": len(data) - 6}
        if damage in position:
            data[position[damage]] ^= 0xFF
        features.store.put(key, {"cut": bytes(data[:-9]), "empty": b""}.get(damage, bytes(data)))
        with pytest.raises(StorageError, match=f"{key}' is damaged"):
            features.load()

    def test_no_flipped_byte_of_the_features_goes_unseen(self, local_uri: str) -> None:
        log_mel = _log_mel(30)
        features = _open(open_store(local_uri))
        features.commit([_write(features, 0, _rows(log_mel))], spec=_SPEC, versions=_VERSIONS)
        key = features.prefix + "part-00000-aa.parquet"
        data = features.store.get(key)
        for position in range(4, len(data) * 2 // 3, 37):
            features.store.put(key, data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
            try:
                assert features.load().log_mel.tobytes() == log_mel.tobytes()
            except StorageError:
                continue

    def test_a_wrong_letter_in_the_name_of_a_column_is_damage(self, local_uri: str) -> None:
        features = _open(open_store(local_uri))
        features.commit([_write(features, 0, _rows(_log_mel(2)))], spec=_SPEC, versions=_VERSIONS)
        key = features.prefix + "part-00000-aa.parquet"
        features.store.put(key, features.store.get(key).replace(b"log_mel", b"log_mem"))
        with pytest.raises(StorageError, match=f"{key}' is damaged"):
            features.load()

    def test_a_missing_part_is_named(self, features: FeatureStore) -> None:
        features.commit([_write(features, 0, _rows(_log_mel(2)))], spec=_SPEC, versions=_VERSIONS)
        features.store.delete(features.prefix + "part-00000-aa.parquet")
        with pytest.raises(StorageError, match="part-00000-aa"):
            features.load()


class TestWhichClipsAreMissing:
    """Experiments and sweeps are other ones where other clips are missing."""

    def _of(self, uri: str, *shards: tuple[int, tuple[str, ...]]) -> str:
        """quarantine_hash of features cut into shards of so many rows and these quarantined clips."""
        features = _open(open_store(uri))
        first, written = 0, []
        for index, (num_rows, bad) in enumerate(shards):
            written.append(_write(features, index, _rows(_log_mel(num_rows), first=first), *bad))
            first += num_rows
        features.commit(written, spec=_SPEC, versions=_VERSIONS)
        return features.quarantine_hash()

    def test_where_none_is_the_hash_is_empty(self, local_uri: str) -> None:
        assert self._of(local_uri, (2, ()), (3, ())) == ""

    def test_it_depends_on_them_alone_and_not_on_shards_or_stores(self, local_uri: str, s3_uri: str) -> None:
        assert self._of(local_uri, (2, ("x",)), (3, ("y",))) == self._of(s3_uri, (5, ("y", "x")))

    def test_a_clip_that_is_found_at_the_second_try_changes_it(self, features: FeatureStore) -> None:
        features.commit([_write(features, 0, _rows(_log_mel(2)), "x", "y")], spec=_SPEC, versions=_VERSIONS)
        before = features.quarantine_hash()
        features.forget(["truncated"])
        features.commit([_write(features, 0, _rows(_log_mel(3)), "y")], spec=_SPEC, versions=_VERSIONS)
        assert len({before, features.quarantine_hash(), ""}) == 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_log_mels_come_back_bit_for_bit(dtype: type[np.floating[Any]], data: st.DataObject) -> None:
    shape = data.draw(npst.array_shapes(min_dims=3, max_dims=3, max_side=6))
    log_mel = data.draw(npst.arrays(dtype, shape))  # NaN, infinities and subnormal numbers among them
    with tempfile.TemporaryDirectory() as folder:
        features = _open(open_store(folder))
        features.commit([_write(features, 0, _rows(log_mel))], spec=_SPEC, versions=_VERSIONS)
        loaded = features.load().log_mel
    assert (loaded.dtype, loaded.shape) == (log_mel.dtype, log_mel.shape)
    assert loaded.flags.c_contiguous
    assert loaded.tobytes() == log_mel.tobytes()
