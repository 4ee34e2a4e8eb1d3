"""Decoded audio before downmix and resampling, for whoever does these: the host (`decode.py`) or a device.

Enters: what a decoder made. Leaves: a `Pcm`, its hash, and how many samples libsoxr makes of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

SOXR_QUALITY = {"soxr_hq": "HQ", "soxr_vhq": "VHQ"}  # the spec's resampler, as soxr.resample takes it

_INT16_SCALE = np.float32(2**-15)
_MODERATE = 1e10  # the power of it over an FFT of 65,536 points is 4e29, a billionth of float32's largest
_HASH_BLOCK_VALUES = 2**15  # floats of 16-bit samples that are made to be hashed alone: they stay in the cache


@dataclass(frozen=True, kw_only=True, slots=True)
class Pcm:
    """Decoded samples of one clip.

    Attributes:
        samples_TC: (time, channels): int16, full scale 2 ** 15, where the source has 16 bits; else float32, nominally
            in [-1, 1], and as large, infinite or no number as the file has them.
        sample_rate_hz: of the source.
    """

    samples_TC: NDArray[Any]
    sample_rate_hz: int

    @property
    def num_channels(self) -> int:
        return int(self.samples_TC.shape[1])

    def as_float(self) -> NDArray[np.float32]:
        """float32 (time, channels), nominally in [-1, 1)."""
        if self.samples_TC.dtype != np.int16:
            return self.samples_TC
        return np.multiply(self.samples_TC, _INT16_SCALE, dtype=np.float32)

    def hash(self) -> str:
        """`hash_of_samples` of `as_float()`, without making all of it at once."""
        if self.samples_TC.dtype != np.int16:
            return hash_of_samples(self.samples_TC)
        values = np.ascontiguousarray(self.samples_TC).reshape(-1)
        hashed = xxhash.xxh3_128()
        for start in range(0, len(values), _HASH_BLOCK_VALUES):
            block = values[start : start + _HASH_BLOCK_VALUES]
            hashed.update(np.multiply(block, _INT16_SCALE, dtype=np.float32).data)
        return hashed.hexdigest()

    def is_moderate(self) -> bool:
        """Whether all samples are finite and so small that no sum or power of them overflows float32."""
        if self.samples_TC.dtype == np.int16:
            return True
        return bool(np.abs(self.samples_TC).max(initial=0.0) <= _MODERATE)  # False of NaN, too


def hash_of_samples(samples_TC: NDArray[np.float32]) -> str:
    """XXH3, 128 bits, of float32 samples in the order of time, channels beside each other."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(samples_TC).data)


def num_resampled(num_samples: int, from_hz: int, to_hz: int) -> int:
    """How many samples libsoxr makes of `num_samples`: rounded as it rounds, by the quotient of the rates as a double.

    It held for 2,022 pairs of length and rates, halves among them (libsoxr 0.1.3, 2026-11-21).
    """
    return num_samples if from_hz == to_hz else int(num_samples / (from_hz / to_hz) + 0.5)
