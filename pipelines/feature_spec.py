"""What a feature is: every parameter that changes its numbers, and the fingerprint that names them.

Enters: settings. Leaves: a `FeatureSpec`, its `fingerprint`, and the integer arithmetic from seconds to samples to
frames that every backend shares (where windows begin: window_policy.py).
"""

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipelines.representations import WITHOUT_EFFECT, Representation
from pipelines.variants import ORIGINAL, canonical_variants
from pipelines.window_policy import PartialWindow, WindowLayout, WindowPolicy
from storage.affine_scale import AffineScale
from storage.errors import InvalidInput, hold_rules
from storage.identity import content_hash, derive_seed

# Raised by one whenever the same spec gives other numbers than before; the fingerprint then changes with it.
NUMERICS_VERSION = 1

_MOST_SAMPLES = 2**28  # of a window: 1.7 hours at 44.1 kHz, 1 GiB; beyond it milliseconds were meant, or a mistake
_MOST_FFT = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSpec:
    """The parameters of a feature; equal specs give equal numbers on every backend, within its stated tolerance.

    Four representations, each with its reference. A field that a representation does not use is ignored in it and is
    no part of its fingerprint.

    - `log_mel`: power of a centred short-time Fourier transform in mel bands, dB; as librosa. (num_mels, num_frames)
    - `kaldi_fbank`: natural logarithm of mel bands of Kaldi's frames; as torchaudio.compliance.kaldi.fbank without
      dither, from samples in [-1, 1]. Of every frame the mean is subtracted and 0.97 of each sample's predecessor, and
      no frame reaches beyond the window. Triangles are linear in mel, values floored at ln 1.19e-7, float32's
      epsilon. (num_mels, num_frames)
    - `iq_magnitude`: power of the two-sided transform of I + jQ in dB, frequencies ascending from minus half the sample
      rate; as scipy.signal.stft with `scaling="spectrum"`, so that a carrier of amplitude 1 has 0 dB over the reference
      1. (n_fft, num_frames)
    - `iq_channels`: real and imaginary part of the same transform, linear. (2, n_fft, num_frames)

    Attributes:
        representation: what is computed of a window.
        sample_rate_hz: rate after resampling; IQ samples are not resampled, here it is the rate they are taken to have.
        window_s: length of the window that becomes one feature row; shorter clips are zero-padded at the end.
        windows: `first` keeps the first window of a clip, `all` cuts windows every `window_hop_s` until the clip ends.
            `random` and `spaced` cut as many as `all` has whole ones: at starts drawn for the clip, none twice, or
            evenly from the clip's first sample to its last (a single one in the middle).
        window_hop_s: distance of window starts for `windows: all`, and by that the number for `random` and `spaced`.
        max_windows: of a clip, at most; None for no limit. `all` keeps the first ones.
        window_seed: of `windows: random`; the starts depend on it, the clip's id and its length alone.
        partial_window: `pad` fills a window that reaches beyond the clip with zeros; `drop` leaves it out, and a clip
            shorter than one window is quarantined as too_short.
        min_duration_s: clips shorter than this are quarantined.
        n_fft: FFT length in samples; but for `kaldi_fbank` also that of the periodic Hann window.
        hop_samples: distance of frames; frames are centred on multiples of it, with zeros beyond the ends.
            `kaldi_fbank`: frames begin at multiples of it.
        frame_samples: length of Kaldi's frames, filled with zeros up to n_fft; None for n_fft.
        frame_taper: of Kaldi's frames: `hann` (symmetric; Kaldi calls it hanning) or `povey`, the same to the 0.85.
        fixed_frames: Kaldi's frames are cut, or padded with zeros after the logarithm, to this number, as
            transformers' ASTFeatureExtractor does with its max_length; None for as many as there are.
        num_mels: mel bands between f_min_hz and f_max_hz (None: half the sample rate).
        mel_scale, mel_norm: `slaney` or `htk`; `slaney` (area) or `none`, as librosa names them.
        power: of the magnitude; 2 for power, 1 for amplitude.
        db_reference: a power, or `max` for the maximum of each window.
        amin: powers below it are raised to it before the logarithm.
        top_db: values more than this below the window's maximum are raised to that floor; None for no floor.
        dtype: how features are stored. `uint8` stores the nearest of 256 even steps, at most half a step off.
        uint8_range_db: what the first and the last step of `uint8` stand for; values outside are clipped to these.
            None for (-top_db, 0), where db_reference is `max` and so no value lies outside. Of representations that are
            no decibels, in their own unit.
        variants: what is computed of every clip: `original`, which must be there, and changed copies for training.
            `noise(snr_db=15)`, `pitch(semitones=2)`, `stretch(rate=0.9)`, `reverb(decay_s=0.4, wet=0.3)` and
            `gain(db=-6)`, at these values where none is given; one kind may come with several values, and effects
            may be chained: `pitch(semitones=2)+noise(snr_db=15)`. Kept in canonical spelling and order, so every
            way to write the same variants is one spec. Ranges: pipelines/variants.py; meaning: pipelines/effects.py.
            They change sound; IQ samples have the original only.
        variant_seed: of all that is random in variants; each (clip, variant) draws from a generator of its own.
        resampler, decoder: identities; other ones would give other numbers.
    """

    representation: Representation = "log_mel"
    sample_rate_hz: int = 22_050
    window_s: float = 5.0
    windows: WindowPolicy = "first"
    window_hop_s: float = 5.0
    max_windows: int | None = None
    window_seed: int = 0
    partial_window: PartialWindow = "pad"
    min_duration_s: float = 0.1
    n_fft: int = 2048
    hop_samples: int = 1024
    frame_samples: int | None = None
    frame_taper: Literal["hann", "povey"] = "hann"
    fixed_frames: int | None = None
    num_mels: int = 64
    f_min_hz: float = 0.0
    f_max_hz: float | None = None
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    power: float = 2.0
    db_reference: float | Literal["max"] = "max"
    amin: float = 1e-10
    top_db: float | None = 80.0
    dtype: Literal["float16", "float32", "uint8"] = "float16"
    uint8_range_db: tuple[float, ...] | None = None
    variants: tuple[str, ...] = (ORIGINAL,)
    variant_seed: int = 0
    resampler: Literal["soxr_hq", "soxr_vhq"] = "soxr_hq"
    decoder: Literal["soundfile"] = "soundfile"

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(FeatureSpec).items():
            value = getattr(self, name)
            if isinstance(value, int) and (hint is float or float in typing.get_args(hint)):
                object.__setattr__(self, name, float(value))  # 5 and 5.0 are one spec and have one fingerprint
            if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
                allowed = ", ".join(typing.get_args(hint))
                raise InvalidInput(f"features.{name}", given=value, allowed=allowed, remedy="Choose one of these.")
        object.__setattr__(self, "variants", canonical_variants(self.variants))
        hold_rules("features", self, self._window_rules())
        hold_rules("features", self, self._transform_rules())
        if self.dtype == "uint8":
            self._hold_uint8_range()
        nyquist_hz = self.sample_rate_hz / 2
        if not self.is_iq and not 0 <= self.f_min_hz < self.f_max_resolved_hz <= nyquist_hz:
            raise InvalidInput(
                "features.f_min_hz, features.f_max_hz",
                given=(self.f_min_hz, self.f_max_hz),
                allowed=f"0 ≤ f_min_hz < f_max_hz ≤ {nyquist_hz:g} (half of sample_rate_hz)",
                remedy="Lower f_max_hz or raise sample_rate_hz.",
            )

    def _window_rules(self) -> dict[str, tuple[bool, str]]:
        rate_hz = self.sample_rate_hz
        return {
            "sample_rate_hz": (_is_whole(rate_hz) and rate_hz >= 1000, "a whole number from 1000"),
            "window_s": (
                1 <= self.window_s * rate_hz <= _MOST_SAMPLES,
                f"at least one sample, and at most {_MOST_SAMPLES:,} of them",
            ),
            "window_hop_s": (self.window_hop_s * rate_hz >= 1, "at least one sample"),
            "max_windows": (_is_whole_or_none(self.max_windows), "null, or a whole number from 1"),
            "window_seed": (_is_whole(self.window_seed) and self.window_seed >= 0, "a whole number from 0"),
            "min_duration_s": (self.min_duration_s >= 0, "0 or more"),
        }

    def _transform_rules(self) -> dict[str, tuple[bool, str]]:
        floored = self.db_reference == "max" or (isinstance(self.db_reference, float) and self.db_reference > 0)
        most_mels = max(self.n_fft // 2, 1) if _is_whole(self.n_fft) else 1
        rules = {
            "n_fft": (
                _is_whole(self.n_fft) and 2 <= self.n_fft <= _MOST_FFT and self.n_fft % 2 == 0,
                f"an even number from 2 to {_MOST_FFT:,}",
            ),
            "hop_samples": (_is_whole(self.hop_samples) and self.hop_samples >= 1, "a whole number from 1"),
            "num_mels": (
                _is_whole(self.num_mels) and 1 <= self.num_mels and (self.is_iq or self.num_mels <= most_mels),
                f"a whole number from 1 to n_fft / 2 = {most_mels}",
            ),
            "power": (self.power > 0, "above 0"),
            "amin": (self.amin > 0, "above 0"),
            "db_reference": (floored, "max, or a power above 0"),
            "top_db": (self.top_db is None or self.top_db > 0, "null, or above 0"),
            "variants": (not self.is_iq or self.variants == (ORIGINAL,), f"[{ORIGINAL}] alone for IQ samples"),
            "variant_seed": (_is_whole(self.variant_seed) and self.variant_seed >= 0, "a whole number from 0"),
            "fixed_frames": (_is_whole_or_none(self.fixed_frames), "null, or a whole number from 1"),
            "frame_samples": (_is_whole_or_none(self.frame_samples), "null, or a whole number from 1"),
        }
        if self.representation == "kaldi_fbank" and all(holds for holds, _ in rules.values()):
            longest = min(self.n_fft, self.window_samples)
            fits = 2 <= self.frame_samples_resolved <= longest
            rules["frame_samples"] = (fits, f"2 to {longest}, so that n_fft and a window hold it")
            rules["power"] = (self.power in (1.0, 2.0), "1 or 2 in kaldi_fbank")
        return rules

    def _hold_uint8_range(self) -> None:
        in_db = self.representation in ("log_mel", "iq_magnitude")
        if self.uint8_range_db is None and in_db and self.db_reference == "max" and self.top_db is not None:
            return
        given = self.uint8_range_db or ()
        if len(given) != 2 or not -math.inf < given[0] < given[1] < math.inf:
            raise InvalidInput(
                "features.uint8_range_db",
                given=self.uint8_range_db,
                allowed="[low,high], low < high; null only for decibels with db_reference=max and a top_db",
                remedy="Give the range that the features have, as [-100,40].",
            )
        object.__setattr__(self, "uint8_range_db", tuple(map(float, given)))

    @property
    def is_iq(self) -> bool:
        """Whether windows are complex samples of a radio rather than sound."""
        return self.representation in ("iq_magnitude", "iq_channels")

    @property
    def scale(self) -> AffineScale | None:
        """What the numbers of `uint8` stand for; None for the other dtypes."""
        if self.dtype != "uint8":
            return None
        low_db, high_db = self.uint8_range_db or (-(self.top_db or 0.0), 0.0)
        return AffineScale(low_db=low_db, high_db=high_db)

    @property
    def f_max_resolved_hz(self) -> float:
        """The upper edge of the highest band, where None stands for half the sample rate."""
        return self.sample_rate_hz / 2 if self.f_max_hz is None else self.f_max_hz

    @property
    def frame_samples_resolved(self) -> int:
        """The length of Kaldi's frames, where None stands for n_fft."""
        return self.n_fft if self.frame_samples is None else self.frame_samples

    @property
    def fingerprint(self) -> str:
        """The content address of everything that changes the numbers (16 hexadecimal digits)."""
        return content_hash({"spec": self._identity(), "numerics_version": NUMERICS_VERSION})

    def _identity(self) -> dict[str, Any]:
        """The fields that have an effect in this spec.

        A field that came after features had been stored stays out while it has none: they are still found.
        """
        without_effect = set(WITHOUT_EFFECT[self.representation])
        if self.variants == (ORIGINAL,):
            without_effect.add("variant_seed")
        if self.windows != "random":
            without_effect.add("window_seed")
        if self.windows == "first" or self.max_windows is None:
            without_effect.add("max_windows")
        if self.partial_window == "pad":
            without_effect.add("partial_window")
        if self.scale is None:
            without_effect.add("uint8_range_db")
        names = (field.name for field in dataclasses.fields(self))
        identity = {name: getattr(self, name) for name in names if name not in without_effect}
        if self.scale is not None:  # as it is used: null and what it stands for are one spec
            identity["uint8_range_db"] = (self.scale.low_db, self.scale.high_db)
        return identity

    @property
    def window_samples(self) -> int:
        """The length of a window at sample_rate_hz."""
        return seconds_to_samples(self.window_s, self.sample_rate_hz)

    @property
    def num_frames(self) -> int:
        """Frames of one window.

        One is centred on every multiple of hop_samples, both ends included; of Kaldi's as many as lie inside the
        window, unless fixed_frames says otherwise.
        """
        if self.representation != "kaldi_fbank":
            return 1 + self.window_samples // self.hop_samples
        return self.num_frames_inside if self.fixed_frames is None else self.fixed_frames

    @property
    def num_frames_inside(self) -> int:
        """How many of Kaldi's frames lie inside a window."""
        return 1 + (self.window_samples - self.frame_samples_resolved) // self.hop_samples

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one stored feature."""
        if self.representation == "iq_channels":
            return (2, self.n_fft, self.num_frames)
        return (self.n_fft if self.is_iq else self.num_mels, self.num_frames)

    def window_starts(self, num_samples: int, clip_id: str | None = None) -> list[int]:
        """First samples of the windows of a clip of `num_samples` (at sample_rate_hz), ascending.

        Args:
            clip_id: what `windows: random` draws for; the other policies do without.
        """
        layout = WindowLayout(
            policy=self.windows,
            window_samples=self.window_samples,
            hop_samples=seconds_to_samples(self.window_hop_s, self.sample_rate_hz),
            max_windows=self.max_windows,
            partial_window=self.partial_window,
        )
        if self.windows != "random":
            return layout.starts(num_samples)
        assert clip_id is not None, "random windows are drawn for a clip"
        return layout.starts(num_samples, np.random.default_rng(derive_seed("windows", self.window_seed, clip_id)))


def _is_whole_or_none(value: object) -> bool:
    return value is None or (_is_whole(value) and typing.cast(int, value) >= 1)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def seconds_to_samples(seconds: float, sample_rate_hz: int) -> int:
    """The only place where seconds become samples: rounded to the nearest sample, halves up."""
    return int(seconds * sample_rate_hz + 0.5)
