"""Triangular mel filters, the one matrix that all backends share, and a fast product with them.

Slaney's scale (Auditory Toolbox, 1998: linear below 1 kHz, logarithmic above) and O'Shaughnessy's as HTK uses it
(2595 log10(1 + f / 700)); `slaney` norm divides each triangle by its width so that bands have equal area. Kaldi's
filters are on O'Shaughnessy's scale without a norm, and their slopes are straight lines in mel, not in Hz.

Shapes: T = frames, F = FFT bins, M = mel bands.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.feature_spec import FeatureSpec

_BANDS_PER_PRODUCT = 8
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def mel_filters(spec: FeatureSpec) -> NDArray[np.float32]:
    """The filter bank, float32 of shape (num_mels, n_fft // 2 + 1)."""
    fft_hz = np.linspace(0, spec.sample_rate_hz / 2, spec.n_fft // 2 + 1)
    low, high = _to_mel(spec.f_min_hz, spec.mel_scale), _to_mel(spec.f_max_resolved_hz, spec.mel_scale)
    edges_hz = _to_hz(np.linspace(low, high, spec.num_mels + 2), spec.mel_scale)
    rising = (fft_hz[None, :] - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - fft_hz[None, :]) / np.diff(edges_hz)[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if spec.mel_norm == "slaney":
        filters *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters.astype(np.float32)


def kaldi_mel_filters(spec: FeatureSpec) -> NDArray[np.float32]:
    """Kaldi's filter bank, float32 of shape (num_mels, n_fft // 2 + 1); the bin at half the sample rate is not used."""
    fft_mel = 1127.0 * np.log1p(np.linspace(0, spec.sample_rate_hz / 2, spec.n_fft // 2 + 1) / 700.0)
    low, high = 1127.0 * np.log1p(np.array([spec.f_min_hz, spec.f_max_resolved_hz]) / 700.0)
    edges = np.linspace(low, high, spec.num_mels + 2)
    width = (high - low) / (spec.num_mels + 1)
    rising = (fft_mel[None, :] - edges[:-2, None]) / width
    falling = (edges[2:, None] - fft_mel[None, :]) / width
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[:, -1] = 0.0
    return filters.astype(np.float32)


class BandedProduct:
    """Mel bands of a spectrogram: the filter bank in groups of neighbouring bands, each with the bins that it uses.

    Triangles are narrow, so the groups leave out most of the zeros that one product of all bands and bins multiplies.
    """

    def __init__(self, filters_MF: NDArray[np.float32]) -> None:
        self._groups = []
        for first in range(0, len(filters_MF), _BANDS_PER_PRODUCT):
            bands = slice(first, min(first + _BANDS_PER_PRODUCT, len(filters_MF)))
            used = np.flatnonzero(filters_MF[bands].any(axis=0))
            bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
            self._groups.append((bands, bins, np.ascontiguousarray(filters_MF[bands, bins])))

    def __call__(self, power_TF: NDArray[np.float32], *, out: NDArray[np.float32]) -> None:
        """Writes (num_mels, frames) into `out`."""
        for bands, bins, filters_MF in self._groups:
            np.matmul(filters_MF, power_TF[:, bins].T, out=out[bands])


def _to_mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return float(2595.0 * np.log10(1.0 + hz / 700.0))
    if hz < _SLANEY_BREAK_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return float(_SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + np.log(hz / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP)


def _to_hz(mel: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    logarithmic = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - break_mel))
    return np.where(mel < break_mel, mel * _SLANEY_HZ_PER_MEL, logarithmic)
