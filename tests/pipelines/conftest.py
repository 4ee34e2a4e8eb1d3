"""One run of the pipeline over a corpus of every kind of file, shared by the tests that look at what it made."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from corpus_toys import HEALTHY, QUARANTINED, SETTINGS, SPEC, UNUSUAL, Complete, write_table
from numpy.typing import NDArray

from pipelines import featurize as featurize_module
from pipelines.featurize import featurize
from pipelines.manifest import Manifest
from storage.feature_store import FeatureStore
from storage.object_store import open_store

RATE_HZ = SPEC.sample_rate_hz


@pytest.fixture(scope="session")
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
    return write_table(folder, [*HEALTHY, *UNUSUAL, *QUARANTINED])


@pytest.fixture(scope="session")
def complete(ray_local: None, corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Complete:
    """The features of the corpus; nothing may change them."""
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
    monkeypatch.setattr(featurize_module, "map_by_actors", None)
    monkeypatch.setattr(featurize_module, "cluster_resources", None)


def _write(path: Path, samples: NDArray[Any], *, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> None:
    soundfile.write(path, samples, rate_hz, subtype=subtype)


def _noise(duration_s: float, *, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, round(duration_s * RATE_HZ))
