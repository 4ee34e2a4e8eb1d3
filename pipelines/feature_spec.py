"""What a log-mel is: every parameter that changes its numbers, and the fingerprint that names them.

Enters: settings. Leaves: a `FeatureSpec`, its `fingerprint`, and the integer arithmetic from seconds to samples to
frames that every backend shares.
"""

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.variants import ORIGINAL, canonical_variants
from storage.affine_scale import AffineScale
from storage.errors import InvalidInput, hold_rules
from storage.identity import content_hash

# Raised by one whenever the same spec gives other numbers than before; the fingerprint then changes with it.
NUMERICS_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSpec:
    """The parameters of a log-mel; equal specs give equal numbers on every backend, within its stated tolerance.

    Attributes:
        sample_rate_hz: rate after resampling.
        window_s: length of the window that becomes one feature row; shorter clips are zero-padded at the end.
        windows: `first` keeps the first window of a clip, `all` cuts windows every `window_hop_s` until the clip ends.
        window_hop_s: distance of window starts for `windows: all`.
        min_duration_s: clips shorter than this are quarantined.
        n_fft: FFT length and length of the periodic Hann window, in samples.
        hop_samples: distance of frames; frames are centred on multiples of it, with zeros beyond the ends.
        num_mels: mel bands between f_min_hz and f_max_hz (None: half the sample rate).
        mel_scale, mel_norm: `slaney` or `htk`; `slaney` (area) or `none`, as librosa names them.
        db_reference: a power, or `max` for the maximum of each window.
        amin: powers below it are raised to it before the logarithm.
        top_db: values more than this below the window's maximum are raised to that floor; None for no floor.
        dtype: how log_mel is stored. `uint8` stores the nearest of 256 even steps, at most half a step off.
        uint8_range_db: what the first and the last step of `uint8` stand for; values outside are clipped to these.
            None for (-top_db, 0), where db_reference is `max` and so no value lies outside.
        variants: what is computed of every clip: `original`, which must be there, and changed copies for training.
            `noise(snr_db=15)`, `pitch(semitones=2)`, `stretch(rate=0.9)`, `reverb(decay_s=0.4, wet=0.3)` and
            `gain(db=-6)`, at these values where none is given; one kind may come with several values, and effects
            may be chained: `pitch(semitones=2)+noise(snr_db=15)`. Kept in canonical spelling and order, so every
            way to write the same variants is one spec. Ranges: pipelines/variants.py; meaning: pipelines/effects.py.
        variant_seed: of all that is random in variants; each (clip, variant) draws from a generator of its own.
        resampler, decoder: identities; other ones would give other numbers.
    """

    sample_rate_hz: int = 22_050
    window_s: float = 5.0
    windows: Literal["first", "all"] = "first"
    window_hop_s: float = 5.0
    min_duration_s: float = 0.1
    n_fft: int = 2048
    hop_samples: int = 1024
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
        rate_hz = self.sample_rate_hz
        floored = self.db_reference == "max" or (isinstance(self.db_reference, float) and self.db_reference > 0)
        rules: dict[str, tuple[bool, str]] = {
            "sample_rate_hz": (_is_whole(rate_hz) and rate_hz >= 1000, "a whole number from 1000"),
            "window_s": (self.window_s * rate_hz >= 1, "at least one sample"),
            "window_hop_s": (self.window_hop_s * rate_hz >= 1, "at least one sample"),
            "min_duration_s": (self.min_duration_s >= 0, "0 or more"),
            "n_fft": (_is_whole(self.n_fft) and self.n_fft >= 2 and self.n_fft % 2 == 0, "an even number from 2"),
            "hop_samples": (_is_whole(self.hop_samples) and self.hop_samples >= 1, "a whole number from 1"),
            "num_mels": (
                _is_whole(self.num_mels) and 1 <= self.num_mels <= self.n_fft // 2,
                f"a whole number from 1 to n_fft / 2 = {self.n_fft // 2}",
            ),
            "power": (self.power > 0, "above 0"),
            "amin": (self.amin > 0, "above 0"),
            "db_reference": (floored, "max, or a power above 0"),
            "top_db": (self.top_db is None or self.top_db > 0, "null, or above 0"),
            "variant_seed": (_is_whole(self.variant_seed) and self.variant_seed >= 0, "a whole number from 0"),
        }
        hold_rules("features", self, rules)
        if self.dtype == "uint8":
            self._hold_uint8_range()
        nyquist_hz = self.sample_rate_hz / 2
        if not 0 <= self.f_min_hz < self.f_max_resolved_hz <= nyquist_hz:
            raise InvalidInput(
                "features.f_min_hz, features.f_max_hz",
                given=(self.f_min_hz, self.f_max_hz),
                allowed=f"0 ≤ f_min_hz < f_max_hz ≤ {nyquist_hz:g} (half of sample_rate_hz)",
                remedy="Lower f_max_hz or raise sample_rate_hz.",
            )

    def _hold_uint8_range(self) -> None:
        if self.uint8_range_db is None and self.db_reference == "max" and self.top_db is not None:
            return
        given = self.uint8_range_db or ()
        if len(given) != 2 or not -math.inf < given[0] < given[1] < math.inf:
            raise InvalidInput(
                "features.uint8_range_db",
                given=self.uint8_range_db,
                allowed="[low,high] in dB, low < high; null only with db_reference=max and a top_db",
                remedy="Give the range that the log-mels have, as [-100,40].",
            )
        object.__setattr__(self, "uint8_range_db", tuple(map(float, given)))

    @property
    def scale(self) -> AffineScale | None:
        """What the numbers of `uint8` stand for; None for the other dtypes."""
        if self.dtype != "uint8":
            return None
        low_db, high_db = self.uint8_range_db or (-(self.top_db or 0.0), 0.0)
        return AffineScale(low_db=low_db, high_db=high_db)

    @property
    def f_max_resolved_hz(self) -> float:
        return self.sample_rate_hz / 2 if self.f_max_hz is None else self.f_max_hz

    @property
    def fingerprint(self) -> str:
        """The content address of everything that changes the numbers (16 hexadecimal digits)."""
        return content_hash({"spec": self._identity(), "numerics_version": NUMERICS_VERSION})

    def _identity(self) -> dict[str, Any]:
        """The fields that have an effect in this spec.

        A field that came after features had been stored stays out while it has none: they are still found.
        """
        identity = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.variants == (ORIGINAL,):
            del identity["variant_seed"]
        if self.scale is None:
            del identity["uint8_range_db"]
        else:  # as it is used: null and what it stands for are one spec
            identity["uint8_range_db"] = (self.scale.low_db, self.scale.high_db)
        return identity

    @property
    def window_samples(self) -> int:
        return seconds_to_samples(self.window_s, self.sample_rate_hz)

    @property
    def num_frames(self) -> int:
        """Frames of one window: one centred on every multiple of hop_samples, both ends included."""
        return 1 + self.window_samples // self.hop_samples

    def window_starts(self, num_samples: int) -> list[int]:
        """First samples of the windows of a clip of `num_samples` (at sample_rate_hz).

        A last window is cut, and zero-padded, as long as it holds samples that no earlier window has.
        """
        if self.windows == "first":
            return [0]
        hop = seconds_to_samples(self.window_hop_s, self.sample_rate_hz)
        starts = [0]
        while starts[-1] + self.window_samples < num_samples:
            starts.append(starts[-1] + hop)
        return [start for start in starts if start < num_samples] or [0]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def seconds_to_samples(seconds: float, sample_rate_hz: int) -> int:
    """The only place where seconds become samples: rounded to the nearest sample, halves up."""
    return int(seconds * sample_rate_hz + 0.5)
