"""IQ samples on their way through a worker: the right example, one opening of the file, no clip loses another."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import pytest
from radioml_files import tiny_2016, write_2016, write_2018

from pipelines.backends import create_backend
from pipelines.feature_spec import FeatureSpec
from pipelines.files.content_marks import mark_contents
from pipelines.files.recordings import Recordings
from pipelines.iq import examples as iq_module
from pipelines.iq.pickle_file import IqArrays
from pipelines.iq.uri import example_of, file_of
from pipelines.manifest import Manifest
from pipelines.shards import worker
from pipelines.shards.plan import plan_shards
from pipelines.shards.worker import ShardWorker
from pipelines.sources import read_manifest
from storage.errors import InvalidInput, StorageError
from storage.feature_store import FeatureStore, Shard
from storage.object_store import open_store

SPEC = FeatureSpec(
    representation="iq_channels",
    sample_rate_hz=1_000_000,
    window_s=128e-6,
    min_duration_s=0.0,
    n_fft=32,
    hop_samples=16,
    dtype="float32",
)
ARRAYS = tiny_2016()


@pytest.fixture(autouse=True)
def fresh_worker_process() -> None:
    """Open files are kept by root for the life of a process."""
    worker._iq_files.cache_clear()


@pytest.fixture
def compute(tmp_path: Path) -> Callable[..., tuple[Shard, FeatureStore]]:
    def compute(manifest: Manifest, spec: FeatureSpec = SPEC) -> tuple[Shard, FeatureStore]:
        features = FeatureStore(open_store(str(tmp_path / "store")), dataset="radio", fingerprint=spec.fingerprint)
        (request,) = plan_shards(manifest, spec, shard_bytes=0, clips_per_shard=100)
        shard = ShardWorker(spec, features, backend="cpu").compute(request)
        features.commit([shard], spec={}, versions={})
        return shard, features

    return compute


class TestUri:
    @pytest.mark.parametrize(
        ("uri", "parts"),
        [
            ("RML2016.10a_dict.pkl#AM-DSB/-20/17", ("RML2016.10a_dict.pkl", "AM-DSB/-20/17")),
            ("s3://b/x/GOLD.hdf5#0", ("s3://b/x/GOLD.hdf5", "0")),
            ("a#b.h5#12", ("a#b.h5", "12")),
            ("track #3.wav", ("track #3.wav", "")),
            ("x.pkl#3.wav", ("x.pkl#3.wav", "")),
            ("x.wav#3", ("x.wav#3", "")),
            ("x.pkl", ("x.pkl", "")),
        ],
    )
    def test_only_uris_of_examples_have_two_parts(self, uri: str, parts: tuple[str, str]) -> None:
        assert (file_of(uri), example_of(uri)) == parts


class TestRows:
    def test_every_row_is_that_of_its_example_of_the_pickle(self, compute: Any, tmp_path: Path) -> None:
        write_2016(tmp_path / "radio.pkl", ARRAYS)
        shard, store = compute(_manifest(tmp_path / "radio.pkl"))
        features = store.load()
        assert (shard.num_rows, shard.num_reasons) == (12, 0)
        assert features.log_mel.shape == (12, 2, 32, 9)
        for (modulation, snr_db), array in ARRAYS.items():
            for number, (i, q) in enumerate(array):
                row = features.clip_ids.index(f"{modulation}/{snr_db}/{number}")
                expected = create_backend("cpu", SPEC).log_mel((i + 1j * q).astype(np.complex64)[None, :])[0]
                np.testing.assert_array_equal(features.log_mel[row], expected)
                assert features.labels[row] == (modulation,)

    def test_every_row_is_that_of_its_row_of_the_hdf5_file(self, compute: Any, tmp_path: Path) -> None:
        path = write_2018(tmp_path / "radio.hdf5", num_rows=26)
        spec = dataclasses.replace(SPEC, window_s=1024e-6)
        _, store = compute(_manifest(path), spec)
        features = store.load()
        with h5py.File(path) as file:
            samples = file["X"][25, :, 0] + 1j * file["X"][25, :, 1]
        expected = create_backend("cpu", spec).log_mel(samples.astype(np.complex64)[None, :])[0]
        np.testing.assert_array_equal(features.log_mel[25], expected)
        assert (features.clip_ids[25], features.labels[25]) == ("0000025", ("4ASK",))

    def test_provenance_tells_no_rate_that_the_file_does_not(self, compute: Any, tmp_path: Path) -> None:
        write_2016(tmp_path / "radio.pkl", ARRAYS)
        _, store = compute(_manifest(tmp_path / "radio.pkl"))
        provenance = json.loads(store.read(columns=["provenance"]).column(0)[0].as_py())
        assert provenance["sample_rate_hz"] is None
        assert provenance["uri"] == "radio.pkl#AM-DSB/-2/0"

    @pytest.mark.parametrize("form", ["pkl", "hdf5"])
    def test_a_file_on_s3_gives_the_same_rows(self, form: str, compute: Any, tmp_path: Path, s3_uri: str) -> None:
        path = tmp_path / f"radio.{form}"
        _ = write_2016(path, ARRAYS) if form == "pkl" else write_2018(path)
        open_store(s3_uri).put(path.name, path.read_bytes())
        here, there = (compute(_manifest(root))[1].load() for root in (path, s3_uri))
        np.testing.assert_array_equal(here.log_mel, there.log_mel)

    def test_the_file_is_opened_once_for_all_clips_and_shards(
        self, compute: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_2016(tmp_path / "radio.pkl", ARRAYS)
        manifest = _manifest(tmp_path / "radio.pkl")
        opened: list[str] = []
        load = iq_module.load_iq_pickle

        def counted(file: BinaryIO) -> IqArrays:
            opened.append("once")
            return load(file)

        monkeypatch.setattr(iq_module, "load_iq_pickle", counted)
        compute(manifest)
        compute(manifest)
        assert opened == ["once"]


class TestWhatIsAmiss:
    def test_examples_that_are_not_there_or_not_finite_lose_only_themselves(self, compute: Any, tmp_path: Path) -> None:
        arrays = tiny_2016()
        arrays["QPSK", 10][1, 0, 5] = np.nan
        write_2016(tmp_path / "radio.pkl", arrays)
        manifest = _manifest(tmp_path / "radio.pkl")
        strange = dataclasses.replace(manifest.clips[0], clip_id="x", uri="radio.pkl#QPSK/10/99")
        shard, store = compute(dataclasses.replace(manifest, clips=(*manifest.clips, strange)))
        assert (shard.num_rows, shard.num_quarantined) == (11, 2)
        quarantine = store.quarantine().to_pandas().set_index("clip_id")
        assert quarantine["reason"].to_dict() == {"QPSK/10/1": "not_finite", "x": "no_samples"}

    def test_short_examples_are_told_by_the_spec_s_rate(self, compute: Any, tmp_path: Path) -> None:
        write_2016(tmp_path / "radio.pkl", ARRAYS)
        shard, store = compute(_manifest(tmp_path / "radio.pkl"), dataclasses.replace(SPEC, min_duration_s=0.1))
        assert (shard.num_rows, shard.num_quarantined) == (0, 12)
        assert set(store.quarantine().column("reason").to_pylist()) == {"too_short"}

    def test_a_file_that_is_another_than_the_manifest_saw_ends_the_job(self, compute: Any, tmp_path: Path) -> None:
        write_2016(tmp_path / "radio.pkl", ARRAYS)
        manifest = _manifest(tmp_path / "radio.pkl")
        write_2016(tmp_path / "radio.pkl", tiny_2016(num_examples=2))
        with pytest.raises(StorageError, match="the manifest saw"):
            compute(manifest)

    def test_a_spec_for_sound_is_refused(self, compute: Any, tmp_path: Path) -> None:
        write_2016(tmp_path / "radio.pkl", ARRAYS)
        said = r"features\.representation: got 'log_mel'; allowed: iq_magnitude or iq_channels for IQ samples"
        with pytest.raises(InvalidInput, match=said):
            compute(_manifest(tmp_path / "radio.pkl"), FeatureSpec())


def test_the_content_of_the_file_is_marked_once_and_for_every_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_2016(tmp_path / "radio.pkl", ARRAYS)
    manifest = _manifest(tmp_path / "radio.pkl")
    assert len({clip.content for clip in manifest.clips}) == 1
    assert manifest.clips[0].content
    progress: list[tuple[int, int]] = []
    mark_contents(manifest, Recordings(str(tmp_path)), on_progress=lambda done, total: progress.append((done, total)))
    assert progress == [(1, 1)]
    other = tiny_2016()
    other["QPSK", 10][0, 0, 0] += 1
    (tmp_path / "other").mkdir()
    write_2016(tmp_path / "other" / "radio.pkl", other)
    assert _manifest(tmp_path / "other" / "radio.pkl").dataset != manifest.dataset


def _manifest(root: Path | str) -> Manifest:
    return read_manifest("radioml", root=str(root), name="radio")
