"""libsoxr's resampling as a matrix, measured of libsoxr itself, so that a device can do it by a product.

Enters: two rates and a quality. Leaves: a `PeriodicFilter`, or None where the matrix would be too large or libsoxr is
not what it makes of it.

For a ratio of L outputs to M inputs, linear-phase resampling is a filter that repeats itself every M inputs: output
qL + p is a sum over inputs qM + k with weights that depend on p and k alone. M impulses, far enough apart, tell all of
them. Only the first few outputs of a signal have weights of their own: libsoxr's second stage does not see what its
first one rings before the signal's start (up to 0.05 of the samples there; libsoxr 0.1.3, 2026-11-21). Of these,
impulses at every input that they see tell the weights. The end of a signal is as if zeros followed.

Shapes: K = inputs that a block sees, O = outputs of a block, P = phases (L), R = inputs and E = outputs of the head.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.decoding.pcm import num_resampled

# Of inputs and outputs in a period. 44.1 → 22.05 kHz has 2 and 1, 11.025 → 16 kHz 441 and 640, 192 → 22.05 kHz 1280 and
# 147; 22,254 Hz → 22.05 kHz would have 3709 and 3675, and 15 million weights.
_LONGEST_PERIOD = 2048
_LONGEST_MEASUREMENT = 2**26  # samples; 1 MHz → 1 kHz would need 321 million
_FEWEST_OUTPUTS = 128  # of a block: products with narrower matrices are slow on a GPU
# Weights below are left out. Each is 3e-7 of the largest; libsoxr's own rounding in single precision, of which soxr_hq
# consists, lies at 1e-7, and the agreement did not get better with -140 dB, nor much worse with -120 dB (2026-11-21).
_CUT_DB = -130.0
_REACH = 160  # of the filter to one side, in samples of the lower rate; -130 dB of soxr_vhq are at 120
_HEAD_TOLERANCE = 6e-7  # above libsoxr's own rounding
_TOLERANCE = 3e-6  # of the self-test, samples in [-1, 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodicFilter:
    """Resampling in blocks: each block of `block_in` inputs gives `block_out` outputs.

    Attributes:
        kernel_KO: float32. Block b of the outputs is inputs[b * block_in - num_before :][:K] @ kernel_KO, with zeros
            outside the signal.
        head_RE: float32, or None. The first E outputs (E ≤ block_out) are inputs[:R] @ head_RE instead.
    """

    kernel_KO: NDArray[np.float32]
    head_RE: NDArray[np.float32] | None
    block_in: int
    block_out: int
    num_before: int

    def num_blocks(self, num_outputs: int) -> int:
        """So many blocks hold `num_outputs` in a row, wherever in its first block the first of them is."""
        return (num_outputs + self.block_out - 2) // self.block_out + 1

    def num_inputs(self, num_outputs: int) -> int:
        """What `num_blocks` blocks see, and at least the head."""
        seen = (self.num_blocks(num_outputs) - 1) * self.block_in + len(self.kernel_KO)
        return max(seen, self.num_before + (0 if self.head_RE is None else len(self.head_RE)))

    def place(self, first_output: int) -> tuple[int, int]:
        """The first input, below 0 before the signal, that a piece needs, and where in its blocks the output stands."""
        block, phase = divmod(first_output, self.block_out)
        return block * self.block_in - self.num_before, phase

    def apply(self, signal: NDArray[np.float32], num_outputs: int) -> NDArray[np.float64]:
        """The whole signal in double precision: for tests of the filter, not for work."""
        padded = np.zeros(self.num_inputs(num_outputs) + self.num_before + len(signal))
        padded[self.num_before : self.num_before + len(signal)] = signal
        blocks = sliding_window_view(padded, len(self.kernel_KO))[:: self.block_in][: self.num_blocks(num_outputs)]
        outputs = (blocks @ self.kernel_KO.astype(np.float64)).ravel()
        if self.head_RE is not None:
            num_inputs, num_first = self.head_RE.shape
            outputs[:num_first] = padded[self.num_before :][:num_inputs] @ self.head_RE
        return outputs[:num_outputs]


@functools.cache
def measured_filter(from_hz: int, to_hz: int, quality: str) -> PeriodicFilter | None:
    """libsoxr's filter for one pair of rates, measured once in a process (10 ms to 2 s).

    Args:
        quality: as soxr.resample takes it, `HQ` or `VHQ`.

    Returns:
        None where the ratio's period is longer than 2,048 samples, or where the filter does not give what libsoxr gives
        for noise; whoever asked then resamples with libsoxr.
    """
    common = math.gcd(from_hz, to_hz)
    num_in, num_out = from_hz // common, to_hz // common
    reach = math.ceil(_REACH * max(1.0, from_hz / to_hz))
    if max(num_in, num_out) > _LONGEST_PERIOD or num_in * (2 * reach + num_in) > _LONGEST_MEASUREMENT:
        return None
    weights_PK = _weights(from_hz, to_hz, quality, reach=reach)
    used = np.flatnonzero((np.abs(weights_PK) > np.abs(weights_PK).max() * 10 ** (_CUT_DB / 20)).any(axis=0))
    num_first = _num_of_head(from_hz, to_hz, quality, reach=reach)
    repeats = -(-max(num_first, _FEWEST_OUTPUTS) // num_out)
    found = PeriodicFilter(
        kernel_KO=_repeated(weights_PK[:, used[0] : used[-1] + 1], repeats, num_in),
        head_RE=_head(from_hz, to_hz, quality, num_first, reach=reach) if num_first else None,
        block_in=repeats * num_in,
        block_out=repeats * num_out,
        num_before=reach - int(used[0]),
    )
    return found if _agrees(found, from_hz, to_hz, quality) else None


def _weights(from_hz: int, to_hz: int, quality: str, *, reach: int) -> NDArray[np.float64]:
    """(num_out, 2 * reach + num_in): output q * num_out + p from input q * num_in + k - reach, of impulse responses."""
    common = math.gcd(from_hz, to_hz)
    num_in, num_out = from_hz // common, to_hz // common
    # Impulse i stands at phase i of the period, far from the others and from the signal's start.
    distance = -(-2 * reach // num_in) * num_in + num_in + 1
    places = -(-reach // num_in) * num_in + num_in + distance * np.arange(num_in)
    signal = np.zeros(int(places[-1]) + 2 * reach + num_in, dtype=np.float32)
    signal[places] = 1.0
    response = soxr.resample(signal, from_hz, to_hz, quality=quality)
    weights_PK = np.zeros((num_out, 2 * reach + num_in))
    for place in map(int, places):
        outputs = np.arange(max(0, -(-(place - reach) * num_out // num_in)), (place + reach) * num_out // num_in + 1)
        weights_PK[outputs % num_out, place - outputs // num_out * num_in + reach] = response[outputs]
    return weights_PK


def _repeated(weights_PK: NDArray[np.float64], repeats: int, num_in: int) -> NDArray[np.float32]:
    """Several periods in one block."""
    num_out, num_seen = weights_PK.shape
    kernel = np.zeros((num_seen + (repeats - 1) * num_in, repeats * num_out), dtype=np.float32)
    for number in range(repeats):
        rows, columns = slice(number * num_in, number * num_in + num_seen), slice(number * num_out, None)
        kernel[rows, columns][:, :num_out] = weights_PK.T
    return kernel


def _num_of_head(from_hz: int, to_hz: int, quality: str, *, reach: int) -> int:
    """How many outputs are others at a signal's start than behind zeros."""
    common = math.gcd(from_hz, to_hz)
    period = from_hz // common
    silence = np.zeros(-(-2 * reach // period) * period, dtype=np.float32)
    noise = _noise(4 * reach)
    behind = soxr.resample(np.concatenate([silence, noise]), from_hz, to_hz, quality=quality)
    behind = behind[len(silence) // period * (to_hz // common) :]
    alone = soxr.resample(noise, from_hz, to_hz, quality=quality)
    count = min(len(alone), len(behind))
    differing = np.flatnonzero(np.abs(alone[:count] - behind[:count]) > _HEAD_TOLERANCE)
    return math.ceil(1.5 * (differing[-1] + 1)) if len(differing) else 0  # what one noise shows, and a margin


def _head(from_hz: int, to_hz: int, quality: str, num_first: int, *, reach: int) -> NDArray[np.float32]:
    """(inputs, num_first): responses to an impulse at each input that the first outputs see."""
    num_seen = reach + math.ceil(num_first * from_hz / to_hz)
    head = np.empty((num_seen, num_first), dtype=np.float32)
    length = max(num_seen, math.ceil((num_first + 1) * from_hz / to_hz))
    for start in range(0, num_seen, 64):
        impulses = np.eye(length, min(64, num_seen - start), -start, dtype=np.float32)  # one a channel
        responses = soxr.resample(impulses, from_hz, to_hz, quality=quality)
        head[start : start + impulses.shape[1]] = responses[:num_first].T
    return head


def _agrees(found: PeriodicFilter, from_hz: int, to_hz: int, quality: str) -> bool:
    lengths: Sequence[int] = (1, 50, 4 * found.block_in + 1000)
    for length in lengths:
        noise = _noise(length)
        expected = soxr.resample(noise, from_hz, to_hz, quality=quality)
        if len(expected) != num_resampled(length, from_hz, to_hz):
            return False
        if np.abs(found.apply(noise, len(expected)) - expected).max(initial=0.0) > _TOLERANCE:
            return False
    return True


def _noise(num_samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1.0, 1.0, num_samples).astype(np.float32)
