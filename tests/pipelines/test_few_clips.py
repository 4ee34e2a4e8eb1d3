"""A few clips without Ray: every clip has rows or a reason, and nothing stays on the disk."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.few_clips import features_of_few
from pipelines.manifest import Manifest
from pipelines.sources.unlabelled import all_files

HERE = PipelineSettings(backend="cpu", device="cpu")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Two seconds of sound, and something that is none."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(3).normal(0, 0.1, 16_000), 8000)
    (tmp_path / "b.wav").write_text("not a sound")
    return all_files(str(tmp_path))


def test_every_clip_has_rows_or_a_reason(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    spec = FeatureSpec(sample_rate_hz=8000, window_s=0.5, windows="all", window_hop_s=0.5, n_fft=512, hop_samples=256)
    features, quarantine = features_of_few(manifest, spec, HERE)
    assert features.clip_ids == ("a.wav",) * 4
    assert features.windows == (0, 1, 2, 3)
    assert features.log_mel.shape == (4, *spec.feature_shape)
    assert [(row["clip_id"], row["reason"]) for row in quarantine] == [("b.wav", "not_audio")]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_first_window_is_the_same_however_many_follow(manifest: Manifest) -> None:
    """What lets a model be used on windows that its training did not cut."""
    spec = FeatureSpec(sample_rate_hz=6000, window_s=0.5, n_fft=512, hop_samples=256)
    every = FeatureSpec(sample_rate_hz=6000, window_s=0.5, n_fft=512, hop_samples=256, windows="all", window_hop_s=0.25)
    first, all_windows = (features_of_few(manifest, each, HERE)[0] for each in (spec, every))
    assert spec.fingerprint != every.fingerprint
    np.testing.assert_array_equal(first.log_mel[0], all_windows.log_mel[0])
    assert len(all_windows.log_mel) > 1
