"""The pipeline on a real Ray: every clip ends as a row or a reason, and nothing half-done is taken for complete."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from numpy.typing import NDArray

from cluster.session import cluster_resources
from pipelines import featurize as featurize_module
from pipelines.backends import create_backend
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import FeaturizeResult, PipelineSettings, featurize
from pipelines.manifest import Manifest
from pipelines.sources import read_manifest
from storage.errors import InvalidInput, StorageError
from storage.feature_store import FeatureStore
from storage.object_store import open_store
from storage.parquet import read_parquet, to_parquet

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz
SETTINGS = PipelineSettings(clips_per_shard=3, num_actors=1)

_ON_ONE_CORE = """
import sys
from cluster.session import ray_session
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, featurize
from pipelines.sources import read_manifest
from storage.object_store import open_store

manifest = read_manifest("csv", root=sys.argv[1], name="corpus")
with ray_session(num_cpus=1):
    store, settings = open_store(sys.argv[2]), PipelineSettings(clips_per_shard=1)
    print(featurize(manifest, FeatureSpec(), store, settings).num_rows)
"""

HEALTHY = ("a_healthy", "e_healthy", "k_healthy", "z_healthy")
UNUSUAL = ("bits_24", "eight_khz", "float", "linked", "seven_s", "short", "silence", "stereo")
QUARANTINED = {
    "missing": "missing_file",
    "text": "not_audio",
    "truncated": "truncated",
    "zero_bytes": "empty_file",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Complete:
    """One run over the whole corpus, shared by the tests that only look at it."""

    result: FeaturizeResult
    progress: list[tuple[int, int]]
    store_folder: Path

    @property
    def folder(self) -> Path:
        return self.store_folder / self.result.features.prefix


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Good, unusual and bad files in one table; bad ones stand between healthy neighbours of the same shard."""
    folder = tmp_path_factory.mktemp("corpus")
    for seed, name in enumerate(HEALTHY):
        _write(folder / f"{name}.wav", _noise(5.0, seed=seed))
    _write(folder / "bits_24.wav", _noise(5.0), subtype="PCM_24")
    _write(folder / "eight_khz.wav", _noise(5.0)[: 5 * 8_000], rate_hz=8_000)
    _write(folder / "float.wav", _noise(5.0), subtype="FLOAT")
    _write(folder / "seven_s.wav", _noise(7.0))
    _write(folder / "short.wav", _noise(0.3))
    _write(folder / "silence.wav", np.zeros(5 * RATE_HZ))
    _write(folder / "stereo.wav", np.stack([_noise(5.0, seed=1), _noise(5.0, seed=2)], axis=1))
    outside = tmp_path_factory.mktemp("elsewhere") / "target.wav"
    _write(outside, _noise(5.0, seed=9))
    (folder / "linked.wav").symlink_to(outside)
    whole = (folder / "a_healthy.wav").read_bytes()
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "zero_bytes.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no audio\n" * 100)
    return _manifest(folder, [*HEALTHY, *UNUSUAL, *QUARANTINED])


@pytest.fixture(scope="module")
def complete(ray_local: None, corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Complete:
    store_folder = tmp_path_factory.mktemp("store")
    progress: list[tuple[int, int]] = []
    result = featurize(
        corpus,
        SPEC,
        open_store(str(store_folder)),
        SETTINGS,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    return Complete(result=result, progress=progress, store_folder=store_folder)


@pytest.fixture
def interrupted(complete: Complete, tmp_path: Path) -> FeatureStore:
    """A copy of the complete features as a run leaves them that was killed just before its commit."""
    shutil.copytree(complete.store_folder, tmp_path / "store")
    features = complete.result.features
    copy = FeatureStore(open_store(str(tmp_path / "store")), dataset=features.dataset, fingerprint=features.fingerprint)
    copy.store.delete(f"{copy.prefix}_MANIFEST.json")
    return copy


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes any use of Ray fail."""
    monkeypatch.setattr(featurize_module, "ray", None)
    monkeypatch.setattr(featurize_module, "cluster_resources", None)


class TestEveryClipHasAnEnd:
    def test_bad_files_are_quarantined_each_with_its_reason(self, complete: Complete) -> None:
        quarantine = complete.result.features.quarantine().to_pylist()
        assert {row["clip_id"]: row["reason"] for row in quarantine} == QUARANTINED
        assert all(row["detail"] and row["uri"] == f"{row['clip_id']}.wav" for row in quarantine)

    def test_all_other_files_become_one_row_each(self, complete: Complete) -> None:
        assert complete.result.features.read(columns=["clip_id"]).column("clip_id").to_pylist() == sorted(
            [*HEALTHY, *UNUSUAL]
        )

    def test_the_counts_close(self, complete: Complete) -> None:
        result = complete.result
        assert (result.num_clips, result.num_rows, result.num_quarantined) == (16, 12, 4)
        assert result.num_clips_computed == 16

    def test_progress_counts_clips_up_to_all_of_them(self, complete: Complete) -> None:
        done = [done for done, _ in complete.progress]
        assert done == sorted(done)
        assert (complete.progress[0], complete.progress[-1]) == ((0, 16), (16, 16))

    def test_rows_read_back_as_float16_of_the_specs_shape(self, complete: Complete) -> None:
        features = complete.result.features.load()
        assert features.log_mel.shape == (12, SPEC.num_mels, SPEC.num_frames)
        assert features.log_mel.dtype == np.float16
        assert np.isfinite(features.log_mel).all()

    def test_provenance_tells_what_the_file_had(self, complete: Complete) -> None:
        rows = complete.result.features.read(columns=["clip_id", "provenance"]).to_pylist()
        provenance = {row["clip_id"]: json.loads(row["provenance"]) for row in rows}
        assert provenance["stereo"]["num_channels"] == 2
        assert provenance["eight_khz"]["sample_rate_hz"] == 8_000

    def test_healthy_neighbours_of_bad_files_are_bitwise_those_of_a_run_without_them(
        self, complete: Complete, corpus: Manifest, tmp_path: Path
    ) -> None:
        alone = dataclasses.replace(corpus, clips=tuple(clip for clip in corpus.clips if clip.clip_id in HEALTHY))
        rows = featurize(alone, SPEC, open_store(str(tmp_path)), SETTINGS).features.read()
        assert _same_bits(rows, _rows_of(complete, HEALTHY))


class TestResuming:
    def test_only_missing_shards_are_computed_and_all_bytes_are_the_same(
        self, interrupted: FeatureStore, complete: Complete, corpus: Manifest
    ) -> None:
        for index in (1, 4):
            interrupted.store.delete(_part(interrupted, index))
        result = featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert result.num_clips_computed == 3 + 3
        assert _objects(interrupted) == _objects(complete.result.features)

    @pytest.mark.usefixtures("without_ray")
    def test_a_second_run_computes_nothing_and_needs_no_ray(self, complete: Complete, corpus: Manifest) -> None:
        before = _objects(complete.result.features)
        again = featurize(corpus, SPEC, complete.result.features.store, SETTINGS)
        assert (again.num_clips, again.num_rows, again.num_quarantined, again.num_clips_computed) == (16, 12, 4, 0)
        assert _objects(complete.result.features) == before

    @pytest.mark.usefixtures("without_ray")
    def test_a_run_killed_before_its_commit_is_only_committed(
        self, interrupted: FeatureStore, complete: Complete, corpus: Manifest
    ) -> None:
        assert featurize(corpus, SPEC, interrupted.store, SETTINGS).num_clips_computed == 0
        assert _objects(interrupted) == _objects(complete.result.features)

    @pytest.mark.parametrize("read", [FeatureStore.read, FeatureStore.load, FeatureStore.quarantine])
    def test_an_interrupted_run_cannot_be_read(
        self, interrupted: FeatureStore, read: Callable[[FeatureStore], Any]
    ) -> None:
        with pytest.raises(StorageError, match=r"holds no complete features\. Run jobs/featurize\.py"):
            read(interrupted)


@pytest.mark.usefixtures("without_ray")
class TestReconciliation:
    def test_a_lost_row_is_named_and_nothing_is_committed(self, interrupted: FeatureStore, corpus: Manifest) -> None:
        part = _part(interrupted, 0)  # a_healthy, bits_24, e_healthy … by clip id
        table = read_parquet(interrupted.store, part)
        interrupted.store.put(part, to_parquet(table.slice(1)))
        with pytest.raises(StorageError, match=r"of 16 clips 1 have neither .*'a_healthy'.*Nothing was committed"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None

    def test_a_row_of_an_unknown_clip_is_named(self, interrupted: FeatureStore, corpus: Manifest) -> None:
        part = _part(interrupted, 0)
        table = read_parquet(interrupted.store, part)
        renamed = pa.array(["stranger", *table.column("clip_id").to_pylist()[1:]])
        interrupted.store.put(part, to_parquet(table.set_column(0, table.schema.field("clip_id"), renamed)))
        with pytest.raises(StorageError, match=r"'a_healthy'.*1 are unknown \(first: \['stranger'\]\)"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None

    def test_a_shard_that_never_came_back_is_named(
        self, interrupted: FeatureStore, corpus: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupted.store.delete(_part(interrupted, 0))
        monkeypatch.setattr(featurize_module, "_compute", lambda *arguments: iter(()))
        with pytest.raises(StorageError, match=r"of 16 clips 3 have neither .*'a_healthy'"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None

    def test_a_damaged_part_is_reported(self, interrupted: FeatureStore, corpus: Manifest) -> None:
        interrupted.store.put(_part(interrupted, 0), b"PAR1 no more PAR1")
        with pytest.raises(StorageError, match=r"part-00000.* is damaged .*Delete it and run the same command again"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None


class TestSpreading:
    @pytest.mark.parametrize("num_actors", [pytest.param(2, marks=pytest.mark.slow), 4])
    def test_more_actors_and_other_orders_give_the_same_bytes(
        self, complete: Complete, corpus: Manifest, tmp_path: Path, num_actors: int
    ) -> None:
        shuffled = dataclasses.replace(corpus, clips=corpus.clips[::-1])
        settings = dataclasses.replace(SETTINGS, num_actors=num_actors)
        features = featurize(shuffled, SPEC, open_store(str(tmp_path)), settings).features
        assert _objects(features) == _objects(complete.result.features)

    def test_the_size_of_shards_does_not_change_rows(
        self, complete: Complete, corpus: Manifest, tmp_path: Path
    ) -> None:
        settings = dataclasses.replace(SETTINGS, clips_per_shard=100)
        features = featurize(corpus, SPEC, open_store(str(tmp_path)), settings).features
        assert len(_objects(features)) == 4  # part, quarantine, clips and marker
        assert _same_bits(features.read(), complete.result.features.read())
        assert features.quarantine().equals(complete.result.features.quarantine())

    @pytest.mark.slow
    def test_one_core_is_enough(self, corpus: Manifest, tmp_path: Path) -> None:
        table = _manifest(Path(corpus.root), [*HEALTHY, *UNUSUAL], file="good.csv").root + "/good.csv"
        finished = subprocess.run(
            [sys.executable, "-c", _ON_ONE_CORE, table, str(tmp_path / "store")],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        assert finished.stdout.split()[-1] == "12"


class TestStores:
    @pytest.mark.usefixtures("ray_local")
    def test_recordings_and_features_on_s3(self, complete: Complete, corpus: Manifest, s3_uri: str) -> None:
        store = open_store(s3_uri)
        for name in HEALTHY[:2]:
            store.put(f"audio/{name}.wav", (Path(corpus.root) / f"{name}.wav").read_bytes())
        names = {*HEALTHY[:2], "missing"}
        clips = (
            dataclasses.replace(clip, uri=f"{s3_uri}/audio/{clip.uri}")
            for clip in corpus.clips
            if clip.clip_id in names
        )
        result = featurize(dataclasses.replace(corpus, clips=tuple(clips)), SPEC, store, SETTINGS)
        assert result.features.quarantine().column("reason").to_pylist() == ["missing_file"]
        log_mel = result.features.read().drop_columns("provenance")
        assert _same_bits(log_mel, _rows_of(complete, HEALTHY[:2]).drop_columns("provenance"))

    def test_a_store_that_fails_midway_ends_the_job_without_a_commit(
        self, complete: Complete, corpus: Manifest, tmp_path: Path
    ) -> None:
        features = complete.result.features
        (tmp_path / _part(features, 3)).mkdir(parents=True)  # a file cannot take the place of a folder
        with pytest.raises(StorageError, match=r"^cannot write 'part-00003-\w+\.parquet' in .*Check that the folder"):
            featurize(corpus, SPEC, open_store(str(tmp_path)), SETTINGS)
        copy = FeatureStore(open_store(str(tmp_path)), dataset=features.dataset, fingerprint=features.fingerprint)
        assert copy.marker() is None
        whole = _objects(features)
        assert all(whole[name] == content for name, content in _objects(copy).items())


class TestBackends:
    @pytest.mark.skipif(importlib.util.find_spec("nvidia.dali") is None, reason="DALI is not installed")
    def test_dali_agrees_with_the_cpu_backend(self, complete: Complete, corpus: Manifest, tmp_path: Path) -> None:
        settings = dataclasses.replace(SETTINGS, backend="dali", clips_per_shard=100)
        features = featurize(corpus, SPEC, open_store(str(tmp_path)), settings).features
        ours, theirs = complete.result.features.load(), features.load()
        assert theirs.clip_ids == ours.clip_ids
        difference_db = np.abs(theirs.log_mel.astype(np.float32) - ours.log_mel.astype(np.float32)).mean(axis=(1, 2))
        assert difference_db.max() <= 0.05  # the tolerance both backends state
        assert features.quarantine().equals(complete.result.features.quarantine())

    @pytest.mark.usefixtures("without_ray")
    def test_an_unknown_backend_is_refused_before_any_actor_starts(self, corpus: Manifest, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"pipeline\.backend: got 'dalli'.*Did you mean 'dali'\?"):
            featurize(corpus, SPEC, open_store(str(tmp_path)), PipelineSettings(backend="dalli"))

    @pytest.mark.usefixtures("ray_local")
    def test_a_gpu_that_no_node_has_is_refused_rather_than_waited_for(self, corpus: Manifest, tmp_path: Path) -> None:
        if cluster_resources().num_gpus:
            pytest.skip("this machine has a GPU")
        with pytest.raises(InvalidInput, match=r"pipeline\.device: got 'cuda'; allowed: cpu, .*pipeline\.device=cpu"):
            featurize(corpus, SPEC, open_store(str(tmp_path)), PipelineSettings(backend="dali", device="cuda"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clips_per_shard": -1}, r"pipeline\.clips_per_shard: got -1; allowed: 0 or more"),
        ({"shard_bytes": 0}, r"pipeline\.shard_bytes: got 0; allowed: 1 or more"),
        ({"device": "tpu"}, r"pipeline\.device: got 'tpu'; allowed: auto, cpu or cuda"),
        ({"clip_time_limit_s": 0.0}, r"pipeline\.clip_time_limit_s: got 0\.0; allowed: above 0"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PipelineSettings(**given)


@pytest.mark.parametrize(
    ("backend", "device", "num_gpus", "chosen"),
    [
        ("auto", "auto", 0, ("cpu", "cpu")),
        ("auto", "auto", 2, ("dali", "cuda")),
        ("auto", "cpu", 2, ("cpu", "cpu")),
        ("auto", "cuda", 0, ("dali", "cuda")),
        ("torch", "auto", 0, ("torch", "cpu")),
        ("torch", "auto", 1, ("torch", "cuda")),
        ("cpu", "auto", 1, ("cpu", "cpu")),
    ],
)
def test_auto_takes_the_gpu_where_there_is_one(
    backend: str, device: str, num_gpus: int, chosen: tuple[str, str]
) -> None:
    settings = PipelineSettings(backend=backend, device=device).resolved(num_gpus, SPEC)
    assert (settings.backend, settings.device) == chosen


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        (FeatureSpec(power=1.5), ("torch", "cuda")),
        (FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40), ("torch", "cuda")),
        (FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40, frame_samples=200), ("cpu", "cpu")),
        (FeatureSpec(representation="iq_magnitude"), ("cpu", "cpu")),
    ],
)
def test_auto_takes_no_backend_that_cannot_express_the_spec(spec: FeatureSpec, chosen: tuple[str, str]) -> None:
    settings = PipelineSettings().resolved(1, spec)
    assert (settings.backend, settings.device) == chosen
    create_backend(settings.backend, spec)


def test_a_gpu_that_no_backend_could_use_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"pipeline\.device: got 'cuda'.*only the backend cpu computes iq_channels"):
        PipelineSettings(device="cuda").resolved(1, FeatureSpec(representation="iq_channels"))


def test_a_backend_that_cannot_express_the_spec_is_told_before_anything_starts(
    without_ray: None, corpus: Manifest, tmp_path: Path
) -> None:
    spec = FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40)
    with pytest.raises(InvalidInput, match=r"Set pipeline\.backend to cpu or torch"):
        featurize(corpus, spec, open_store(str(tmp_path)), PipelineSettings(backend="dali", device="cuda"))


def test_a_spec_for_radio_on_recordings_of_sound_is_told_before_anything_starts(
    without_ray: None, corpus: Manifest, tmp_path: Path
) -> None:
    spec = FeatureSpec(representation="iq_magnitude")
    with pytest.raises(InvalidInput, match=r"got 'iq_magnitude'; allowed: log_mel or kaldi_fbank for sound"):
        featurize(corpus, spec, open_store(str(tmp_path)), SETTINGS)


def _manifest(folder: Path, names: list[str], *, file: str = "clips.csv") -> Manifest:
    lines = ["clip_id,uri,label", *(f"{name},{name}.wav,noise" for name in names)]
    (folder / file).write_text("\n".join(lines) + "\n")
    return read_manifest("csv", root=str(folder / file), name="corpus")


def _write(path: Path, samples: NDArray[Any], *, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, rate_hz, subtype=subtype)


def _noise(duration_s: float, *, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, round(duration_s * RATE_HZ))


def _part(features: FeatureStore, index: int) -> str:
    (key,) = (info.key for info in features.store.list(f"{features.prefix}part-{index:05d}-"))
    return key


def _objects(features: FeatureStore) -> dict[str, bytes]:
    store, prefix = features.store, features.prefix
    return {info.key.removeprefix(prefix): store.get(info.key) for info in store.list(prefix)}


def _rows_of(complete: Complete, names: tuple[str, ...]) -> pa.Table:
    table = complete.result.features.read()
    return table.filter(pa.array([clip_id in names for clip_id in table.column("clip_id").to_pylist()]))


def _same_bits(first: pa.Table, second: pa.Table) -> bool:
    """Equal by bytes, so that NaN equals itself and -0.0 is not 0.0."""
    return bool(to_parquet(first.combine_chunks()) == to_parquet(second.combine_chunks()))
