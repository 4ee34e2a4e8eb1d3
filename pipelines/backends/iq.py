"""Spectrograms of IQ samples with scipy.fft, for the backend `cpu`.

Enters: one window of complex samples I + jQ. Leaves: the magnitude of its two-sided short-time Fourier transform in dB,
or its real and imaginary part. Numbers as scipy.signal.stft gives them with `boundary="zeros"`, `padded=False` and
`scaling="spectrum"`, frequencies in ascending order. Shapes: T = frames, N = samples of a frame, F = FFT bins.
"""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.backends.decibels import power_to_db
from pipelines.backends.tapers import hann
from pipelines.feature_spec import FeatureSpec


class IqSpectrogram:
    """Of one window after another; a window's numbers depend on it alone."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        taper = hann(spec.n_fft)
        self._taper = (taper / taper.sum()).astype(np.float32)
        self._padded = np.zeros(spec.window_samples + spec.n_fft, dtype=np.complex64)
        self._frames_TN = sliding_window_view(self._padded, spec.n_fft)[:: spec.hop_samples]

    def __call__(self, window: NDArray[np.complex64]) -> NDArray[np.float32]:
        """complex64 (window_samples,) → float32 of the spec's feature_shape."""
        start = self._spec.n_fft // 2
        self._padded[start : start + len(window)] = window
        spectrum_TF = scipy.fft.fft(self._frames_TN * self._taper, axis=1)
        spectrum_FT = scipy.fft.fftshift(spectrum_TF, axes=1).T
        if self._spec.representation == "iq_channels":
            return np.stack([spectrum_FT.real, spectrum_FT.imag])
        power_FT = np.square(spectrum_FT.real) + np.square(spectrum_FT.imag)
        if self._spec.power != 2.0:
            power_FT **= self._spec.power / 2.0
        return power_to_db(power_FT, self._spec)
