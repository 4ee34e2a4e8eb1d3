"""Kaldi's mel filter bank with numpy and scipy.fft, for the backend `cpu`.

Enters: one window. Leaves: its fbank. Numbers as torchaudio.compliance.kaldi.fbank gives them without dither and
energy, and, with fixed_frames, as transformers' ASTFeatureExtractor before it normalises (Gong et al., "AST: Audio
Spectrogram Transformer", arXiv:2104.01778). Shapes: T = frames, N = samples of a frame, F = FFT bins, M = mel bands.
"""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.backends.mel_filters import BandedProduct, kaldi_mel_filters
from pipelines.backends.tapers import hann
from pipelines.feature_spec import FeatureSpec

_PRE_EMPHASIS = np.float32(0.97)
_POVEY_EXPONENT = 0.85
_FLOOR = np.finfo(np.float32).eps  # Kaldi's own, whatever the scale of the samples


class KaldiFbank:
    """Of one window after another, each by operations of the same shapes: a window's numbers depend on it alone."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        taper = hann(spec.frame_samples_resolved, periodic=False)
        self._taper = (taper**_POVEY_EXPONENT if spec.frame_taper == "povey" else taper).astype(np.float32)
        self._mel_product = BandedProduct(kaldi_mel_filters(spec))
        num_frames = spec.num_frames_inside
        self._frames_TN = np.empty((num_frames, spec.frame_samples_resolved), dtype=np.float32)
        self._padded_TN = np.zeros((num_frames, spec.n_fft), dtype=np.float32)
        self._mel_MT = np.empty((spec.num_mels, num_frames), dtype=np.float32)

    def __call__(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (window_samples,) → float32 (num_mels, num_frames), natural logarithm."""
        spectrum_TF = scipy.fft.rfft(self._tapered(window), axis=1)
        power_TF = np.square(spectrum_TF.real) + np.square(spectrum_TF.imag)
        if self._spec.power == 1.0:
            power_TF = np.sqrt(power_TF)
        self._mel_product(power_TF, out=self._mel_MT)
        fbank = np.log(np.maximum(self._mel_MT, _FLOOR))
        return fbank if self._spec.fixed_frames is None else _with_frames(fbank, self._spec.fixed_frames)

    def _tapered(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        frames_TN, length = self._frames_TN, self._spec.frame_samples_resolved
        frames_TN[:] = sliding_window_view(window, length)[:: self._spec.hop_samples]
        frames_TN -= frames_TN.mean(axis=1, keepdims=True)
        emphasised_TN = self._padded_TN[:, :length]
        emphasised_TN[:, 1:] = frames_TN[:, 1:] - _PRE_EMPHASIS * frames_TN[:, :-1]
        emphasised_TN[:, 0] = frames_TN[:, 0] - _PRE_EMPHASIS * frames_TN[:, 0]  # its own predecessor, as in Kaldi
        emphasised_TN *= self._taper
        return self._padded_TN


def _with_frames(fbank_MT: NDArray[np.float32], num_frames: int) -> NDArray[np.float32]:
    """Cut, or padded with zeros after the logarithm, as ASTFeatureExtractor pads."""
    fixed = np.zeros((len(fbank_MT), num_frames), dtype=np.float32)
    kept = min(num_frames, fbank_MT.shape[1])
    fixed[:, :kept] = fbank_MT[:, :kept]
    return fixed
