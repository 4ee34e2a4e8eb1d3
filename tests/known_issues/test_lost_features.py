"""A part deleted after the commit, a damaged one perhaps, could not be brought back: the marker said complete."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, featurize
from pipelines.manifest import Clip, Manifest
from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.object_store import open_store

SPEC = FeatureSpec(window_s=0.5)
SETTINGS = PipelineSettings(clips_per_shard=2, num_actors=1)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("corpus")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 11_025)
    for name in "abc":
        soundfile.write(root / f"{name}.wav", noise, 22_050)
    (root / "d.wav").write_text("no audio")
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=("noise",)) for name in "abcd")
    return Manifest(name="corpus", root=str(root), clips=clips)


@pytest.fixture(scope="module")
def once(ray_local: None, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features that no test changes."""
    folder = tmp_path_factory.mktemp("features")
    featurize(manifest, SPEC, open_store(str(folder)), SETTINGS)
    return folder


@pytest.fixture
def features(once: Path, manifest: Manifest, tmp_path: Path) -> FeatureStore:
    store = open_store(str(shutil.copytree(once, tmp_path / "store")))
    return FeatureStore(store, dataset=manifest.dataset, fingerprint=SPEC.fingerprint)


@pytest.mark.parametrize("kind", ["part", "quarantine"])
def test_a_lost_object_is_made_again_and_nothing_else(manifest: Manifest, features: FeatureStore, kind: str) -> None:
    before = _objects(features)
    lost = max(key for key in before if f"/{kind}-" in key)
    features.store.delete(lost)
    again = featurize(manifest, SPEC, features.store, SETTINGS)
    assert again.num_clips_computed == 2
    assert _objects(features) == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"num_clips": 4'])
def test_a_damaged_marker_is_told_with_a_remedy_that_helps(
    manifest: Manifest, features: FeatureStore, content: bytes
) -> None:
    before = _objects(features)
    marker = f"{features.prefix}_MANIFEST.json"
    features.store.put(marker, content)
    with pytest.raises(StorageError, match=r"_MANIFEST\.json is damaged .*Delete it and run again"):
        featurize(manifest, SPEC, features.store, SETTINGS)
    features.store.delete(marker)
    assert featurize(manifest, SPEC, features.store, SETTINGS).num_clips_computed == 0
    assert json.loads(_objects(features)[marker]) == json.loads(before[marker])


def _objects(features: FeatureStore) -> dict[str, bytes]:
    return {info.key: features.store.get(info.key) for info in features.store.list(features.prefix)}
