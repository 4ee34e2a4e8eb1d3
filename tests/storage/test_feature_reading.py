"""What is read of the features is what was asked for, in bytes and in memory."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from feature_toys import RecordingStore, commit_rows, make_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from storage.affine_scale import AffineScale
from storage.errors import InvalidInput, StorageError
from storage.feature_rows import _between, rows_per_group
from storage.feature_schemas import FEATURE_COLUMNS
from storage.feature_store import FeatureStore, Where
from storage.object_store import ObjectStore, open_store

_ROOT = Path(__file__).parents[2]
_CLIPS_A_SHARD = 160
_VARIANTS = ("original", "noise(snr_db=15)")

_PEAK_OF_LOAD = """
import re, sys
from storage.feature_store import FeatureStore
from storage.object_store import open_store

def peak_kib():  # of this program: ru_maxrss would begin with that of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

small = FeatureStore(open_store(sys.argv[1]), dataset="small", fingerprint="f")
small.load()  # what the libraries take for themselves
before = peak_kib()
loaded = FeatureStore(open_store(sys.argv[1]), dataset="large", fingerprint="f").load()
print((peak_kib() - before) * 1024 / loaded.log_mel.nbytes, loaded.log_mel.nbytes)
"""


def _log_mel(num_rows: int, seed: int = 0, shape: tuple[int, int] = (64, 108)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(-40, 20, (num_rows, *shape)).astype(np.float16)


@pytest.fixture
def recording(store: ObjectStore) -> RecordingStore:
    return RecordingStore(store)


@pytest.fixture
def features(recording: RecordingStore) -> FeatureStore:
    """Two parts of 160 clips in two variants, about 4 MB each, in two row groups."""
    features = FeatureStore(recording, dataset="esc50", fingerprint="f00d")
    num_rows = _CLIPS_A_SHARD * len(_VARIANTS)
    tables = [make_rows(_log_mel(num_rows, seed), first=seed * 160, variants=_VARIANTS) for seed in range(2)]
    commit_rows(features, tables)
    recording.bytes_read.clear()
    return features


def _share_read(recording: RecordingStore, features: FeatureStore) -> float:
    sizes = {info.key: info.size_bytes for info in recording.list(features.prefix) if "/part-" in info.key}
    return sum(recording.bytes_read.get(key, 0) for key in sizes) / sum(sizes.values())


class TestBytes:
    def test_finding_a_shard_and_reading_its_ids_back_fetch_no_log_mel(
        self, recording: RecordingStore, features: FeatureStore
    ) -> None:
        shard = features.find_shard(0, "0000")
        assert shard is not None
        assert shard.num_rows == 320
        assert len(features.read_back(shard).with_rows) == 320
        assert 0 < _share_read(recording, features) < 0.04

    def test_a_few_columns_cost_a_few_bytes(self, recording: RecordingStore, features: FeatureStore) -> None:
        table = features.read(columns=["variant", "clip_id"])
        assert table.column_names == ["variant", "clip_id"]
        assert table.num_rows == 640
        assert _share_read(recording, features) < 0.04

    def test_row_groups_without_wanted_rows_are_not_fetched(
        self, recording: RecordingStore, features: FeatureStore
    ) -> None:
        table = features.read(where=Where(clip_ids={"c00003"}))
        assert table.column("variant").to_pylist() == list(_VARIANTS)
        assert _share_read(recording, features) < 0.6  # one of two parts: its first row group of 303 rows
        recording.bytes_read.clear()
        assert features.read(columns=["log_mel"], where=Where(variants={"pitch"})).num_rows == 0
        assert _share_read(recording, features) < 0.04

    def test_batches_are_fetched_as_they_are_asked_for(self, recording: RecordingStore, features: FeatureStore) -> None:
        batches = features.batches()
        assert next(batches).num_rows == 303
        assert _share_read(recording, features) < 0.55
        assert [batch.num_rows for batch in batches] == [17, 303, 17]

    def test_a_server_that_fails_within_a_read_is_told_as_itself(
        self, recording: RecordingStore, features: FeatureStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(key: str, start: int, length: int) -> bytes:
            raise StorageError("the connection broke")

        monkeypatch.setattr(recording, "get_range", fail)
        with pytest.raises(StorageError, match=r"^the connection broke$"):
            features.read(columns=["clip_id"])


class TestWhere:
    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (Where(), lambda row: True),
            (Where(folds={1, 4}), lambda row: row["fold"] in (1, 4)),
            (Where(folds=set()), lambda row: False),
            (Where(labels={"l1"}), lambda row: "l1" in row["labels"]),
            (Where(labels=["l1", "l2", "none"]), lambda row: {"l1", "l2"} & set(row["labels"])),
            (Where(groups=("g3",)), lambda row: row["group"] == "g3"),
            (Where(clip_ids={"c00002", "c00019", "no"}), lambda row: row["clip_id"] in ("c00002", "c00019")),
            (
                Where(variants={"original"}, folds={2}, labels={"l0"}),
                lambda row: row["variant"] == "original" and row["fold"] == 2 and "l0" in row["labels"],
            ),
            (Where(expression=pc.field("fold").is_null()), lambda row: row["fold"] is None),
            (
                Where(expression=pc.field("clip_id") > "c00010", variants={"original"}),
                lambda row: row["clip_id"] > "c00010" and row["variant"] == "original",
            ),
        ],
    )
    def test_it_keeps_just_the_rows_that_fulfil_it(self, local_uri: str, where: Where, expected: Any) -> None:
        features = FeatureStore(open_store(local_uri), dataset="toy", fingerprint="f")
        tables = [make_rows(_log_mel(22, shape=(2, 3)), first=11 * part, variants=_VARIANTS) for part in range(2)]
        commit_rows(features, tables)
        rows = features.read().to_pylist()
        wanted = [row for row in rows if expected(row)]
        assert [row["clip_id"] for row in wanted] == features.read(columns=["clip_id"], where=where)[0].to_pylist()
        assert features.read(where=where).to_pylist() == wanted
        loaded = features.load(where=where)
        assert [log_mel.ravel().tolist() for log_mel in loaded.log_mel] == [row["log_mel"] for row in wanted]
        assert loaded.log_mel.shape == (len(wanted), 2, 3)

    def test_a_column_that_is_not_there_is_named(self, local_uri: str) -> None:
        features = FeatureStore(open_store(local_uri), dataset="toy", fingerprint="f")
        commit_rows(features, [make_rows(_log_mel(2, shape=(2, 3)))])
        with pytest.raises(InvalidInput, match=r"columns: got 'fould'; .*Did you mean 'fold'\?"):
            features.read(columns=["fould"])
        assert tuple(features.schema().names) == FEATURE_COLUMNS

    def test_a_million_ids_are_not_compared_with_each_row_group(self, features: FeatureStore) -> None:
        where = Where(clip_ids={f"x{number}" for number in range(100_000)} | {"c00005"})
        assert where.clip_ids is not None
        compared = [len(_between(tuple(where.clip_ids), least, most)) for least, most in (("c0", "c1"), ("a", "b"))]
        assert compared == [1, 0]
        assert features.read(columns=["clip_id"], where=where).num_rows == 2


class TestLoading:
    def test_memory_is_that_of_the_array_and_a_fixed_rest(self, tmp_path: Path) -> None:
        store = open_store(str(tmp_path))
        commit_rows(FeatureStore(store, dataset="small", fingerprint="f"), [make_rows(_log_mel(700))])
        shards = [make_rows(_log_mel(3000, seed), first=3000 * seed) for seed in range(3)]
        commit_rows(FeatureStore(store, dataset="large", fingerprint="f"), shards)
        words = [sys.executable, "-c", _PEAK_OF_LOAD, str(tmp_path)]
        printed = subprocess.run(words, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=120).stdout
        ratio, num_bytes = map(float, printed.split())
        assert num_bytes == 9_000 * 64 * 108 * 2
        assert 0.9 < ratio < 1.2

    def test_the_array_can_be_had_as_float32(self, features: FeatureStore) -> None:
        ours, as_stored = features.load(dtype="float32").log_mel, features.load().log_mel
        assert (ours.dtype, as_stored.dtype) == (np.float32, np.float16)
        assert np.array_equal(ours, as_stored.astype(np.float32))

    def test_a_part_that_lost_rows_is_told(self, local_uri: str) -> None:
        features = FeatureStore(open_store(local_uri), dataset="toy", fingerprint="f")
        (shard,) = commit_rows(features, [make_rows(_log_mel(4, shape=(2, 3)))])
        shorter = make_rows(_log_mel(3, shape=(2, 3)))
        features.store.delete(f"{features.prefix}_MANIFEST.json")
        other = FeatureStore(features.store, dataset="other", fingerprint="f")
        commit_rows(other, [shorter])
        key = f"part-{shard.index:05d}-{shard.clips_hash}.parquet"
        features.commit([shard], spec={}, versions={})
        features.store.put(features.prefix + key, features.store.get(other.prefix + key))
        with pytest.raises(StorageError, match="has 3 of 4 rows"):
            features.load()


class TestBytesADecibel:
    SCALE = AffineScale(low_db=-80.0, high_db=0.0)

    @settings(deadline=None)
    @given(values=npst.arrays(np.float32, st.integers(1, 50), elements=st.floats(-80, 0, width=32)))
    def test_values_within_the_range_come_back_within_half_a_step(self, values: np.ndarray[Any, Any]) -> None:
        decoded = np.empty(values.shape, dtype=np.float32)
        self.SCALE.decode(self.SCALE.encode(values), decoded)
        assert np.abs(decoded - values).max() <= self.SCALE.step_db / 2 + 1e-5

    def test_values_outside_are_clipped_to_the_ends(self) -> None:
        decoded = np.empty(3, dtype=np.float16)
        self.SCALE.decode(self.SCALE.encode(np.array([-200.0, 30.0, 1e30], dtype=np.float32)), decoded)
        assert decoded.tolist() == [-80.0, 0.0, 0.0]

    def test_stored_bytes_are_loaded_as_db(self, store: ObjectStore) -> None:
        values = np.random.default_rng(1).uniform(-80, 0, (30, 4, 6)).astype(np.float32)
        features = FeatureStore(store, dataset="toy", fingerprint="f")
        stored = [self.SCALE.encode(values[:20]), self.SCALE.encode(values[20:])]
        tables = [make_rows(part, first=20 * index, scale=self.SCALE) for index, part in enumerate(stored)]
        commit_rows(features, tables)
        half_step_db = self.SCALE.step_db / 2
        assert features.load().log_mel.dtype == np.float16
        assert np.abs(features.load().log_mel - values).max() <= half_step_db + 2**-5  # half of float16's step there
        assert np.abs(features.load(dtype="float32").log_mel - values).max() <= half_step_db + 1e-5
        field = features.read(columns=["log_mel"]).schema.field("log_mel")
        assert AffineScale.from_metadata(field.metadata) == self.SCALE

    def test_bytes_without_their_scale_are_refused(self, local_uri: str) -> None:
        features = FeatureStore(open_store(local_uri), dataset="toy", fingerprint="f")
        commit_rows(features, [make_rows(np.zeros((2, 4, 6), dtype=np.uint8))])
        with pytest.raises(StorageError, match="the column log_mel is damaged"):
            features.load()


def test_a_row_group_follows_from_the_shape_alone() -> None:
    log_mel = make_rows(_log_mel(1)).schema.field("log_mel").type
    assert rows_per_group(log_mel) == 2**21 // (64 * 108) == 303
