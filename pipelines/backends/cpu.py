"""Log-mel with numpy and scipy.fft on one core: the default without a GPU, and the reference for the other backends.

Single precision throughout, one real FFT over all frames of a window, and one small matrix product per group of
neighbouring mel bands. Shapes: T = frames, N = samples of a frame, F = FFT bins, M = mel bands.
"""

import numpy as np
import scipy.fft
import scipy.signal
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.backends.mel_filters import mel_filters
from pipelines.feature_spec import FeatureSpec

_BANDS_PER_PRODUCT = 8


class CpuBackend:
    """`LogMelBackend` without any device. Mean difference to librosa on real audio is below 0.001 dB."""

    name = "cpu"
    tolerance_db = 0.05

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._hann = scipy.signal.get_window("hann", spec.n_fft, fftbins=True).astype(np.float32)
        self._band_groups = _band_groups(mel_filters(spec))
        # The buffers live as long as the backend. Fresh ones for every window made glibc give their pages back and
        # fault them in again each time: 1.9 ms instead of 0.4 ms for a window of the default spec (2026-11).
        self._padded = np.zeros(spec.window_samples + 2 * (spec.n_fft // 2), dtype=np.float32)
        self._frames_TN = sliding_window_view(self._padded, spec.n_fft)[:: spec.hop_samples]
        num_frames, num_bins = len(self._frames_TN), spec.n_fft // 2 + 1
        self._tapered_TN = np.empty((num_frames, spec.n_fft), dtype=np.float32)
        self._power_TF = np.empty((num_frames, num_bins), dtype=np.float32)
        self._imaginary_TF = np.empty((num_frames, num_bins), dtype=np.float32)
        self._mel_MT = np.empty((spec.num_mels, num_frames), dtype=np.float32)

    def log_mel(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        # Window by window: every product has the same shape, so the numbers do not depend on the batch.
        log_mels = np.empty((len(windows), *self._mel_MT.shape), dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller finds what is not finite and says so
            for window, log_mel in zip(windows, log_mels, strict=True):
                log_mel[:] = power_to_db(self._mel(window), self._spec)
        return log_mels

    def _mel(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mel bands of one window, in a buffer that the next call overwrites."""
        start = self._spec.n_fft // 2
        self._padded[start : start + len(window)] = window
        np.multiply(self._frames_TN, self._hann, out=self._tapered_TN)
        spectrum_TF = scipy.fft.rfft(self._tapered_TN, axis=1, overwrite_x=True)
        np.square(spectrum_TF.real, out=self._power_TF)
        np.square(spectrum_TF.imag, out=self._imaginary_TF)
        self._power_TF += self._imaginary_TF
        if self._spec.power != 2.0:
            self._power_TF **= self._spec.power / 2.0
        for bands, bins, filters_MF in self._band_groups:
            np.matmul(filters_MF, self._power_TF[:, bins].T, out=self._mel_MT[bands])
        return self._mel_MT


def _band_groups(filters_MF: NDArray[np.float32]) -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """Cuts the filter bank into groups of neighbouring bands: bands, the FFT bins that any of them uses, weights.

    Triangles are narrow, so the groups leave out most of the zeros that one product of all bands and bins multiplies.
    """
    groups = []
    for first in range(0, len(filters_MF), _BANDS_PER_PRODUCT):
        bands = slice(first, min(first + _BANDS_PER_PRODUCT, len(filters_MF)))
        used = np.flatnonzero(filters_MF[bands].any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        groups.append((bands, bins, np.ascontiguousarray(filters_MF[bands, bins])))
    return groups


def power_to_db(mel: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
    """Decibels over the spec's reference, floored at top_db below the maximum of this one window; same shape."""
    amin = np.float32(spec.amin)
    reference = np.float32(mel.max()) if spec.db_reference == "max" else np.float32(spec.db_reference)
    decibels = 10.0 * np.log10(np.maximum(mel, amin)) - 10.0 * np.log10(np.maximum(reference, amin))
    if spec.top_db is not None:
        decibels = np.maximum(decibels, decibels.max() - np.float32(spec.top_db))
    return decibels.astype(np.float32, copy=False)
