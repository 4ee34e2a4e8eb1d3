"""--dry-run tells what a run would cost; it needs no Ray and leaves nothing behind."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs import featurize
from pipelines.estimate import estimate
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.manifest import Clip, Manifest
from pipelines.shards.plan import plan_shards
from pipelines.shards.worker import ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import open_store

NUM_CLIPS = 40
SPEC = FeatureSpec(window_s=0.5, variants=("original", "gain(db=-6)"))
SETTINGS = PipelineSettings(backend="cpu", device="cpu", clips_per_shard=10)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of forty clips."""
    names = [f"c{number:02d}" for number in range(NUM_CLIPS)]
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 11_025)
        soundfile.write(tmp_path / f"{name}.wav", noise, 22_050)
    path = tmp_path / "clips.csv"
    path.write_text("\n".join(["clip_id,uri,label", *(f"{name},{name}.wav,noise" for name in names)]) + "\n")
    return path


@pytest.fixture
def manifest(table: Path) -> Manifest:
    clips = (
        Clip(clip_id=path.stem, recording_id=path.stem, uri=path.name, labels=("noise",), duration_s=0.5)
        for path in sorted(table.parent.glob("*.wav"))
    )
    return Manifest(name="corpus", root=str(table.parent), clips=tuple(clips))


def test_it_prints_clips_rows_bytes_and_time_and_writes_nothing(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(featurize, "ray_session", None)
    before = sorted(tmp_path.rglob("*"))
    words = ["--dry-run", "data.source=csv", f"data.root={table}", f"storage.uri={tmp_path}/store"]
    assert featurize.main([*words, "pipeline.num_actors=2", "features.window_s=0.5"]) == 0
    printed = capsys.readouterr().out
    for line in (
        r"clips +40",
        r"to compute +40",
        r"rows, about +40",
        r"shards +3",
        r"time with 2 actors, about +\d+ s",
    ):
        assert re.search(line, printed), line
    assert re.search(r"size of all features, about +\d+\.\d [KM]B", printed)
    assert "free in " in printed
    assert "nothing was written" in printed
    assert sorted(tmp_path.rglob("*")) == before


def test_an_estimate_comes_near_what_a_run_stores_and_counts_what_is_there(manifest: Manifest, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    before = estimate(manifest, SPEC, store, SETTINGS, num_actors=3)
    assert (before.num_clips, before.num_finished, before.num_to_compute, before.num_rows) == (40, 0, 40, 80)
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=SPEC.fingerprint)
    requests = plan_shards(manifest, SPEC, shard_bytes=SETTINGS.shard_bytes, clips_per_shard=10)
    worker = ShardWorker(SPEC, features, backend="cpu")
    shards = [worker.compute(request) for request in requests[:3]]
    halfway = estimate(manifest, SPEC, store, SETTINGS, num_actors=3)
    assert (halfway.num_finished, halfway.num_to_compute, halfway.num_actors) == (30, 10, 1)
    assert halfway.missing_bytes == pytest.approx(before.size_bytes / 4, rel=0.02)
    features.commit([*shards, worker.compute(requests[3])], spec={}, versions={})
    stored_bytes = sum(info.size_bytes for info in store.list(features.prefix + "part-"))
    assert before.size_bytes == pytest.approx(stored_bytes, rel=0.25)
    after = estimate(manifest, SPEC, store, SETTINGS, num_actors=3)
    assert (after.num_to_compute, after.missing_bytes, after.seconds) == (0, 0, 0)


def test_clips_without_features_are_told(manifest: Manifest, tmp_path: Path) -> None:
    for path in sorted(Path(manifest.root).glob("*.wav"))[::2]:
        path.write_text("no audio")
    found = estimate(manifest, SPEC, open_store(str(tmp_path / "store")), SETTINGS, num_actors=1, num_sampled=40)
    assert (found.num_sampled, found.num_sampled_quarantined, found.num_rows) == (40, 20, 40)
