"""What can be wrong with the sound of one clip: silence, clipping, a band that ends too early.

Enters: a waveform at the rate of its file. Leaves: three measured numbers; whether they are findings is a setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from pipelines.decoding.decode import Waveform
from storage.errors import hold_rules

_FRAME_S = 0.02
_SPECTRUM_FFT = 2048
_SMOOTHING_BINS = 9
_LOWEST_DB = -160.0
_TRANSITION = 0.06  # of the cutoff, to each side: a resampler's slope
_BELOW = 0.25  # of the cutoff: how much of the band beneath is taken for its level
_DEAD_DB = -85.0  # of power density over half the rate; the rounding of 16-bit samples has -98
_FLAT_DB = 20.0
_TOP = 0.98  # of Nyquist; above lies the converter's own filter


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundCheckSettings:
    """When a measured number is a finding.

    Attributes:
        silence_db: frames of 20 ms whose level is below it, in dB of full scale, are silent.
        silence_share: from this share of silent frames on, a clip is a finding.
        full_scale: samples whose magnitude reaches it are at full scale.
        clipped_run: that many of them in a row count as clipped; a single one is only a peak.
        clipped_share: from this share of clipped samples on, a clip is a finding.
        cliff_db: a band ends where the level falls by this much within a few percent of frequency, and all above is
            dead. Natural sounds fall slowly; a resampler or a codec cuts.
        bandwidth_share: below this share of half the sample rate, the end of the band is a finding. MP3 of good quality
            ends at 16 kHz, 0.73 of 22.05 kHz; what was recorded at 22.05 kHz and is stored at 44.1 kHz at 0.5.
    """

    silence_db: float = -60.0
    silence_share: float = 0.9
    full_scale: float = 0.999
    clipped_run: int = 3
    clipped_share: float = 0.001
    cliff_db: float = 25.0
    bandwidth_share: float = 0.7

    def __post_init__(self) -> None:
        rules = {
            "silence_db": (self.silence_db < 0, "below 0"),
            "silence_share": (0 < self.silence_share <= 1, "above 0, up to 1"),
            "full_scale": (0 < self.full_scale <= 1, "above 0, up to 1"),
            "clipped_run": (self.clipped_run >= 1, "1 or more"),
            "clipped_share": (0 < self.clipped_share <= 1, "above 0, up to 1"),
            "cliff_db": (self.cliff_db > 0, "above 0"),
            "bandwidth_share": (0 < self.bandwidth_share <= 1, "above 0, up to 1"),
        }
        hold_rules("audit.sound", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundMeasures:
    """What was measured in one clip.

    Attributes:
        silent_share: of frames of 20 ms.
        clipped_share: of samples. Measured after the downmix, so channels that clip apart from each other are missed;
            so is a recording that clipped and was made softer later.
        bandwidth_hz: where the band ends; half the sample rate where no end was found.
    """

    sample_rate_hz: int
    silent_share: float
    clipped_share: float
    bandwidth_hz: float

    @property
    def bandwidth_share(self) -> float:
        return self.bandwidth_hz / (self.sample_rate_hz / 2)


def measure_sound(waveform: Waveform, settings: SoundCheckSettings) -> SoundMeasures:
    """Measures a clip at the rate of its file; takes about as long as decoding it."""
    return SoundMeasures(
        sample_rate_hz=waveform.sample_rate_hz,
        silent_share=silent_share(waveform.samples, waveform.sample_rate_hz, settings.silence_db),
        clipped_share=clipped_share(waveform.samples, settings.full_scale, settings.clipped_run),
        bandwidth_hz=bandwidth_hz(waveform.samples, waveform.sample_rate_hz, settings.cliff_db),
    )


def silent_share(samples: NDArray[np.float32], sample_rate_hz: int, silence_db: float) -> float:
    """Share of frames of 20 ms whose RMS is below silence_db of full scale; the last frame may be shorter."""
    frame_samples = max(1, round(_FRAME_S * sample_rate_hz))
    starts = np.arange(0, len(samples), frame_samples)
    energy = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    lengths = np.diff([*starts, len(samples)])
    return float((energy / lengths < 10 ** (silence_db / 10)).mean())


def clipped_share(samples: NDArray[np.float32], full_scale: float, run: int) -> float:
    """Share of samples at full scale that stand in runs of `run` or more, of one sign."""
    num_clipped = 0
    for at_full_scale in (samples >= full_scale, samples <= -full_scale):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], at_full_scale.view(np.int8), [0]])))
        lengths = edges[1::2] - edges[::2]
        num_clipped += int(lengths[lengths >= run].sum())
    return num_clipped / len(samples)


def bandwidth_hz(samples: NDArray[np.float32], sample_rate_hz: int, cliff_db: float) -> float:
    """The frequency above which the spectrum is dead: the steepest cliff, if all above it is dead.

    From the mean power spectrum (P. Welch, 1967) of the whole clip. Half the sample rate where there is no such cliff.
    """
    nyquist_hz = sample_rate_hz / 2
    levels_db = _spectrum_db(samples)
    num_bins = len(levels_db)
    last = int(_TOP * num_bins)
    loudest_above = np.maximum.accumulate(levels_db[last - 1 :: -1])[::-1]  # of this bin and all above it
    sums = np.concatenate([[0.0], np.cumsum(levels_db)])
    best_bin, best_drop = num_bins, cliff_db
    for cutoff in range(num_bins // 32, last):
        low, high = round(cutoff * (1 - _BELOW)), round(cutoff * (1 - _TRANSITION))
        above = round(cutoff * (1 + _TRANSITION)) + 1
        if above >= last:
            break
        drop = (sums[high] - sums[low]) / (high - low) - loudest_above[above] if high > low else 0.0
        if drop > best_drop and _is_dead(levels_db[above:last]):
            best_bin, best_drop = cutoff, drop
    return nyquist_hz if best_bin == num_bins else best_bin / (num_bins - 1) * nyquist_hz


def _is_dead(levels_db: NDArray[np.float64]) -> bool:
    """Nothing but rounding noise, or some other even noise: where a faint sound goes on, its levels differ more."""
    loudest = levels_db.max()
    return bool(loudest <= _DEAD_DB or loudest - np.quantile(levels_db, 0.25) <= _FLAT_DB)


def _spectrum_db(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power of the bins of an FFT of 2048, smoothed, in dB; (1025,)."""
    padded = np.pad(samples, (0, max(0, _SPECTRUM_FFT - len(samples))))
    _, power = scipy.signal.welch(padded, window="hann", nperseg=_SPECTRUM_FFT, detrend=False)
    smooth = scipy.ndimage.uniform_filter1d(power.astype(np.float64), _SMOOTHING_BINS, mode="nearest")
    return 10 * np.log10(np.maximum(smooth, 10 ** (_LOWEST_DB / 10)))


def is_finding(measures: SoundMeasures, settings: SoundCheckSettings) -> Mapping[str, bool]:
    """Which kinds of finding the measures are. A silent clip has no band to speak of."""
    silent = measures.silent_share >= settings.silence_share
    return {
        "silence": silent,
        "clipping": measures.clipped_share >= settings.clipped_share,
        "band_limited": measures.bandwidth_share < settings.bandwidth_share and measures.silent_share < 1,
    }
