"""The filter bank against two outside implementations."""

import numpy as np
import pytest
from librosa.filters import mel

from pipelines.backends.mel_filters import mel_filters
from pipelines.feature_spec import FeatureSpec

SPECS = [
    FeatureSpec(),
    FeatureSpec(num_mels=128, hop_samples=512),
    FeatureSpec(sample_rate_hz=32_000, n_fft=1024, num_mels=128, f_min_hz=50.0, f_max_hz=14_000.0),
    FeatureSpec(sample_rate_hz=16_000, n_fft=512, num_mels=40, mel_scale="htk", mel_norm="none"),
    FeatureSpec(mel_scale="htk"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.fingerprint)
def test_filters_equal_librosas(spec: FeatureSpec) -> None:
    reference = mel(
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        n_mels=spec.num_mels,
        fmin=spec.f_min_hz,
        fmax=spec.f_max_resolved_hz,
        htk=spec.mel_scale == "htk",
        norm=None if spec.mel_norm == "none" else spec.mel_norm,
    )
    np.testing.assert_allclose(mel_filters(spec), reference, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.fingerprint)
def test_filters_equal_torchaudios(spec: FeatureSpec) -> None:
    from torchaudio.functional import melscale_fbanks

    reference = melscale_fbanks(
        n_freqs=spec.n_fft // 2 + 1,
        f_min=spec.f_min_hz,
        f_max=spec.f_max_resolved_hz,
        n_mels=spec.num_mels,
        sample_rate=spec.sample_rate_hz,
        norm=None if spec.mel_norm == "none" else spec.mel_norm,
        mel_scale=spec.mel_scale,
    )
    # torchaudio computes the edges in single precision.
    np.testing.assert_allclose(mel_filters(spec), reference.numpy().T, rtol=2e-2, atol=2e-4)
