"""Exports: whole or going on, never mixed, and each value where the index says."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_toys import RecordingStore, commit_rows, make_rows
from PIL import Image
from store_toys import keys_of

from storage.affine_scale import AffineScale
from storage.errors import InvalidInput, StorageError
from storage.feature_export import encode_npy, export_array, export_rows, open_array
from storage.feature_images import encode_png
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.parquet import read_parquet

_ROOT = Path(__file__).parents[2]
_VARIANTS = ("original", "noise(snr_db=15)")

_MAPPED = """
import sys
from pathlib import Path
from storage.feature_export import open_array

log_mel = open_array(Path(sys.argv[1])).log_mel
total = float(log_mel.sum(dtype="float64"))
place = [line for line in open("/proc/self/maps") if "features.npy" in line][0]
print(total, place.split()[1])
"""


def _log_mel(num_rows: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(num_rows).uniform(-80, 0, (num_rows, 4, 6)).astype(np.float16)


@pytest.fixture
def features(local_uri: str) -> FeatureStore:
    """Three parts of ten rows: five clips in two variants each."""
    features = FeatureStore(RecordingStore(open_store(local_uri)), dataset="esc50", fingerprint="f00d")
    log_mel = _log_mel(30)
    tables = [make_rows(log_mel[10 * part : 10 * part + 10], first=5 * part, variants=_VARIANTS) for part in range(3)]
    commit_rows(features, tables)
    return features


@pytest.fixture(params=["local", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "out") if request.param == "local" else request.getfixturevalue("s3_uri"))


def _export(features: FeatureStore, out: ObjectStore, **more: Any) -> int:
    return export_rows(features, out, encode=encode_npy, suffix=".npy", about={"format": "npy"}, **more)


class TestFilesPerRow:
    def test_every_row_lies_where_the_index_says(self, features: FeatureStore, out: ObjectStore) -> None:
        progress: list[tuple[int, int]] = []
        assert _export(features, out, on_progress=lambda *state: progress.append(state)) == 30
        assert (progress[0], progress[-1]) == ((0, 30), (30, 30))
        loaded, index = features.load(), read_parquet(out, "index.parquet").to_pylist()
        for row, entry in enumerate(index):
            stored = np.load(io.BytesIO(out.get(entry["path"])))
            assert stored.tobytes() == loaded.log_mel[row].tobytes()
            assert (entry["clip_id"], entry["variant"]) == (loaded.clip_ids[row], loaded.variants[row])
        assert index[0]["path"] == "c00000/0.npy"
        assert index[1]["path"].startswith("c00000/noise_snr_db_15-")
        assert sum(info.key.endswith(".npy") for info in out.list("")) == 30

    def test_an_interrupted_export_goes_on_with_what_is_missing(self, features: FeatureStore, out: ObjectStore) -> None:
        _export(features, out)
        before = {info.key: out.get(info.key) for info in out.list("")}
        for lost in ("c00011/0.npy", "index.parquet"):
            out.delete(lost)
        assert isinstance(features.store, RecordingStore)
        features.store.bytes_read.clear()
        assert _export(features, out) == 1
        assert {info.key: out.get(info.key) for info in out.list("")} == before
        assert _export(features, out) == 0

    def test_a_place_with_anything_else_is_refused(self, features: FeatureStore, out: ObjectStore) -> None:
        _export(features, out)
        with pytest.raises(InvalidInput, match=r"out: .*_EXPORT\.json says what it holds"):
            _export(features, out, dtype="float32")
        for info in list(out.list("")):
            out.delete(info.key)
        out.put("thesis.tex", b"mine")
        with pytest.raises(InvalidInput, match=r"out: .*an empty folder"):
            _export(features, out)
        assert keys_of(out) == ["thesis.tex"]

    def test_bytes_are_exported_as_db(self, local_uri: str, tmp_path: Path) -> None:
        scale = AffineScale(low_db=-80.0, high_db=0.0)
        features = FeatureStore(open_store(local_uri), dataset="esc50", fingerprint="f00d")
        commit_rows(features, [make_rows(scale.encode(_log_mel(3)), scale=scale)])
        out = open_store(str(tmp_path / "out"))
        _export(features, out, dtype="float32")
        stored = np.load(io.BytesIO(out.get("c00001/0.npy")))
        assert stored.dtype == np.float32
        assert np.abs(stored - _log_mel(3)[1]).max() <= scale.step_db / 2 + 1e-5


class TestOneArray:
    def test_it_is_mapped_and_bit_for_bit_the_features(self, features: FeatureStore, tmp_path: Path) -> None:
        export_array(features, tmp_path / "out")
        mapped, loaded = open_array(tmp_path / "out"), features.load()
        assert isinstance(mapped.log_mel, np.memmap)
        assert not mapped.log_mel.flags.writeable
        assert mapped.log_mel.tobytes() == loaded.log_mel.tobytes()
        assert (mapped.clip_ids, mapped.variants, mapped.labels) == (loaded.clip_ids, loaded.variants, loaded.labels)
        names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file())
        assert names == ["_EXPORT.json", "features.npy", "index.parquet"]

    def test_processes_share_its_pages(self, features: FeatureStore, tmp_path: Path) -> None:
        export_array(features, tmp_path / "out")
        words = [sys.executable, "-c", _MAPPED, str(tmp_path / "out")]
        printed = subprocess.run(words, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
        total, permissions = printed.split()
        assert float(total) == pytest.approx(float(features.load().log_mel.sum(dtype=np.float64)))
        assert permissions == "r--s"  # shared, and not to be written

    def test_an_interrupted_export_goes_on_where_it_was(
        self, features: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, whole = tmp_path / "out", FeatureStore.log_mels

        def broken(self: FeatureStore, **given: Any) -> Iterator[Any]:
            batches = whole(self, **given)
            yield next(batches)
            yield next(batches)
            raise StorageError("the connection broke")

        monkeypatch.setattr(FeatureStore, "log_mels", broken)
        with pytest.raises(StorageError, match="the connection broke"):
            export_array(features, folder)
        with pytest.raises(StorageError, match="no complete export"):
            open_array(folder)
        monkeypatch.setattr(FeatureStore, "log_mels", whole)
        seen: list[int] = []
        export_array(features, folder, on_progress=lambda done, in_all: seen.append(done))
        assert seen == [30]
        assert open_array(folder).log_mel.tobytes() == features.load().log_mel.tobytes()


class TestImages:
    def test_low_bands_are_at_the_bottom_and_loud_ones_bright(self) -> None:
        log_mel = np.full((4, 6), -80.0, dtype=np.float16)
        log_mel[0, 2] = 0.0
        image = np.asarray(Image.open(io.BytesIO(encode_png(log_mel, range_db=(-80.0, 0.0), colours="grey"))))
        assert image.shape == (4, 6)
        assert image[3, 2] == 255
        assert image.sum() == 255

    def test_viridis_goes_from_dark_blue_to_yellow(self) -> None:
        log_mel = np.array([[-200.0, -40.0, 30.0]], dtype=np.float32)
        png = encode_png(log_mel, range_db=(-80.0, 0.0), colours="viridis")
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[0].tolist()
        assert pixels[0] == [0x44, 0x01, 0x54]
        assert pixels[2] == [0xFD, 0xE7, 0x25]
        assert pixels[1][1] > pixels[1][0]

    def test_channels_stand_one_below_the_other(self) -> None:
        channels = np.stack([np.full((4, 6), -80.0), np.zeros((4, 6))])
        image = np.asarray(Image.open(io.BytesIO(encode_png(channels, range_db=(-80.0, 0.0), colours="grey"))))
        assert image.shape == (8, 6)
        assert (image[:4].max(), image[4:].min()) == (0, 255)
