"""What the effects of a variant do to samples. The only file that imports librosa.

Enters: a variant and a mono waveform. Leaves: the changed waveform, or `Undecodable` where the clip cannot take it.
No effect clips or rescales its result: samples are floats and may leave [-1, 1], as they may after decoding.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.decoding.rules import Undecodable
from pipelines.variants import Variant

Samples = NDArray[np.float32]

# librosa's own defaults in 0.11, spelt out so that another version cannot change the numbers by changing them.
_VOCODER_FFT = 2048
_VOCODER_HOP_SAMPLES = 512
_PITCH_RESAMPLER = "soxr_hq"

# The impulse response ends at -90 dB; ended at -60 dB it would measure as a shorter reverberation.
_DECAYS_IN_RESPONSE = 1.5


def apply_variant(variant: Variant, samples: Samples, sample_rate_hz: int, generator: np.random.Generator) -> Samples:
    """Applies the effects of a variant one after the other.

    Args:
        samples: float32 (num_samples,), never changed in place.
        generator: of this clip and variant (`variant_generator`).

    Returns:
        float32 (num_samples,), for `stretch` (round(num_samples / rate),). The original is the same object.

    Raises:
        Undecodable: too_short for pitch or stretch, or not_finite after an effect.
    """
    for effect in variant.effects:
        samples = _APPLY[effect.kind](samples, sample_rate_hz, generator, **dict(effect.parameters))
        if not np.isfinite(samples).all():
            raise Undecodable("not_finite", f"the samples hold NaN or infinity after {effect}")
    return samples


def _noise(samples: Samples, sample_rate_hz: int, generator: np.random.Generator, *, snr_db: float) -> Samples:
    """Adds white Gaussian noise whose RMS over the whole clip lies snr_db below the clip's; silence stays silence."""
    noise = generator.standard_normal(len(samples))
    wanted_rms = _rms(samples) * 10 ** (-snr_db / 20)
    return _as_float32(samples + noise * (wanted_rms / _rms(noise)))


def _pitch(samples: Samples, sample_rate_hz: int, generator: np.random.Generator, *, semitones: float) -> Samples:
    """Raises the pitch by equal-tempered semitones at unchanged length: phase vocoder, then resampling."""
    from librosa.effects import pitch_shift  # here, as it takes a second that most jobs can save

    _hold_a_frame(samples, "pitch")
    return _as_float32(
        pitch_shift(
            samples,
            sr=sample_rate_hz,
            n_steps=semitones,
            res_type=_PITCH_RESAMPLER,
            n_fft=_VOCODER_FFT,
            hop_length=_VOCODER_HOP_SAMPLES,
        )
    )


def _stretch(samples: Samples, sample_rate_hz: int, generator: np.random.Generator, *, rate: float) -> Samples:
    """Plays the clip `rate` times as fast at unchanged pitch, by a phase vocoder (D. Ellis, 2002)."""
    from librosa.effects import time_stretch

    _hold_a_frame(samples, "stretch")
    return _as_float32(time_stretch(samples, rate=rate, n_fft=_VOCODER_FFT, hop_length=_VOCODER_HOP_SAMPLES))


def _reverb(
    samples: Samples, sample_rate_hz: int, generator: np.random.Generator, *, decay_s: float, wet: float
) -> Samples:
    """Mixes (1 - wet) of the clip with wet of its reverberation, cut at the clip's end.

    The impulse response is white Gaussian noise that falls by 60 dB in decay_s (RT60; the statistical model of late
    reverberation of J. A. Moorer, "About This Reverberation Business", 1979), scaled to unit energy.
    """
    time_s = np.arange(max(1, round(_DECAYS_IN_RESPONSE * decay_s * sample_rate_hz))) / sample_rate_hz
    response = generator.standard_normal(len(time_s)) * 10 ** (-3 * time_s / decay_s)
    response /= math.sqrt(np.square(response).sum())
    from scipy.signal import fftconvolve  # 0.6 s to import; few specs ask for reverb

    reverberation = fftconvolve(samples.astype(np.float64), response)[: len(samples)]
    return _as_float32((1 - wet) * samples + wet * reverberation)


def _gain(samples: Samples, sample_rate_hz: int, generator: np.random.Generator, *, db: float) -> Samples:
    """Multiplies by 10^(db / 20)."""
    return _as_float32(samples * np.float64(10 ** (db / 20)))


_APPLY: Mapping[str, Callable[..., Samples]] = {
    "noise": _noise,
    "pitch": _pitch,
    "stretch": _stretch,
    "reverb": _reverb,
    "gain": _gain,
}


def _hold_a_frame(samples: Samples, kind: str) -> None:
    # librosa would pad with zeros and warn; what comes out of less than one frame is no longer the sound.
    if len(samples) < _VOCODER_FFT:
        raise Undecodable("too_short", f"{len(samples)} samples; {kind} needs {_VOCODER_FFT}")


def _rms(samples: NDArray[np.floating[Any]]) -> float:
    return math.sqrt(np.square(samples, dtype=np.float64).mean())


def _as_float32(samples: NDArray[np.floating[Any]]) -> Samples:
    with np.errstate(over="ignore"):  # an overflow is found as infinity by apply_variant
        return samples.astype(np.float32)
