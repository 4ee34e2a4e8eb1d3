"""A few seconds of a clip to look at and listen to: envelope, log-mel and a small MP3.

Enters: a waveform at the rate of its file. Leaves: an `Excerpt`. soundfile is imported here for writing only.
"""

import functools
import io
import math
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipelines.backends import LogMelBackend, create_backend
from pipelines.backends.mel_filters import mel_filters
from pipelines.decoding.decode import Waveform
from pipelines.feature_spec import FeatureSpec

_PLAYER_RATE_HZ = 22_050
_MP3_COMPRESSION = 0.7  # of libsndfile's scale from 0 to 1; about 4 kB a second
_FRAME_S = 0.046
_MAX_MELS = 96
_MAX_FRAMES = 260
_NUM_COLUMNS = 320


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """The beginning of a clip.

    Attributes:
        excerpt_s: its length; duration_s is the whole clip's.
        sample_rate_hz, num_channels: what the file has.
        envelope: float32 (2, columns), the lowest and highest sample of every column of time.
        log_mel: float32 (mels, frames) in dB below its maximum, floored at -80, up to half the file's rate.
        mel_hz: centre of every mel band, rising.
        mp3: mono at 22.05 kHz, which every browser plays (Safari long did not play Ogg).
    """

    duration_s: float
    excerpt_s: float
    sample_rate_hz: int
    num_channels: int
    envelope: NDArray[np.float32]
    log_mel: NDArray[np.float32]
    mel_hz: NDArray[np.float64]
    mp3: bytes


def cut_excerpt(waveform: Waveform, *, max_s: float) -> Excerpt:
    """The first max_s seconds of a waveform, or all of it; about 20 kB for 5 s, plus 80 kB of log-mel."""
    rate_hz = waveform.sample_rate_hz
    samples = waveform.samples[: max(1, round(max_s * rate_hz))]
    log_mel, mel_hz = _log_mel(samples, rate_hz)
    return Excerpt(
        duration_s=len(waveform.samples) / rate_hz,
        excerpt_s=len(samples) / rate_hz,
        sample_rate_hz=rate_hz,
        num_channels=waveform.num_channels,
        envelope=_envelope(samples),
        log_mel=log_mel,
        mel_hz=mel_hz,
        mp3=_mp3(samples, rate_hz),
    )


def _log_mel(samples: NDArray[np.float32], rate_hz: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    backend, mel_hz = _backend(rate_hz, len(samples))
    return backend.log_mel(np.ascontiguousarray(samples)[None])[0], mel_hz


@functools.lru_cache(maxsize=4)  # most clips of a data set have one rate and one length
def _backend(rate_hz: int, num_samples: int) -> tuple[LogMelBackend, NDArray[np.float64]]:
    n_fft = 2 ** max(4, round(math.log2(_FRAME_S * rate_hz)))
    spec = FeatureSpec(
        sample_rate_hz=rate_hz,
        window_s=num_samples / rate_hz,
        n_fft=n_fft,
        hop_samples=max(n_fft // 2, math.ceil(num_samples / _MAX_FRAMES)),
        num_mels=min(_MAX_MELS, n_fft // 8),
    )
    filters_MF = mel_filters(spec).astype(np.float64)
    fft_hz = np.linspace(0, rate_hz / 2, filters_MF.shape[1])
    mel_hz = filters_MF @ fft_hz / np.maximum(filters_MF.sum(axis=1), 1e-12)
    return create_backend("cpu", spec), mel_hz


def _envelope(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    starts = np.unique(np.linspace(0, len(samples), min(_NUM_COLUMNS, len(samples)), endpoint=False).astype(int))
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)])


def _mp3(samples: NDArray[np.float32], rate_hz: int) -> bytes:
    if rate_hz != _PLAYER_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, _PLAYER_RATE_HZ, quality="HQ")
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        np.clip(samples, -1, 1),
        _PLAYER_RATE_HZ,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=_MP3_COMPRESSION,
        bitrate_mode="VARIABLE",
    )
    return buffer.getvalue()
