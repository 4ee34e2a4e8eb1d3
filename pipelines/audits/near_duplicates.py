"""Finds windows that hold the same sound: shifted, louder or softer, encoded again, or under noise.

Enters: log-mels of many windows, piece by piece. Leaves: pairs with the correlation of their patterns.

Two steps. Every window gets a short vector (`fingerprints.rhythms`, reduced by principal components fitted on a
sample) and the few nearest others that could leak; each such candidate is then verified by the correlation of the two
patterns, aligned in time by FFT. For n windows of d numbers and k candidates each: n² d multiplications in blocks, n k
small FFTs, and memory of the patterns in float16, 7 kB a window of 5 s, and twice that while they are joined.

Why not hashes: landmarks (A. Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003) and tables of
sub-fingerprints (Haitsma & Kalker 2002; Chromaprint) need a few bit-exact matches among the frames, which 5 s of noise-
like sound with frames 46 ms apart do not offer once the copy begins between two frames; and at the size of a data set
for training a whole matrix product is cheap.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray

from pipelines.audits.fingerprints import num_cells, num_frames_pooled, patterns, rhythms
from storage.errors import hold_rules

_NUM_DIMENSIONS = 128
_FIT_WINDOWS = 2_000  # principal components of more windows look the same
_NUM_CANDIDATES = 10
_BLOCK_WINDOWS = 512
_BLOCK_PAIRS = 256
_FINE = 2  # lags per step: copies begin between two frames
_LEAST_OVERLAP = 0.5  # of the energy of each pattern
_LEAST_CELLS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class NearDuplicateSettings:
    """When two windows count as the same sound.

    Attributes:
        min_correlation: of the aligned patterns. On ESC-10 the benchmark's copies lie above 0.6, clips of different
            recordings below 0.45.
        min_significance: correlation × √cells must reach it too, so that two single clicks of 30 cells that happen
            to look alike are no finding.
        max_shift_s: the longest lag that is tried.
    """

    min_correlation: float = 0.5
    min_significance: float = 5.0
    max_shift_s: float = 1.5

    def __post_init__(self) -> None:
        rules = {
            "min_correlation": (0 < self.min_correlation <= 1, "above 0, up to 1"),
            "min_significance": (self.min_significance >= 0, "0 or more"),
            "max_shift_s": (self.max_shift_s >= 0, "0 or more"),
        }
        hold_rules("audit.near_duplicates", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class NearDuplicate:
    """Two windows that hold the same sound.

    Attributes:
        first, second: their places in what was added, first < second.
        correlation: of the aligned patterns, up to 1.
        lag_s: how much later the sound comes in the second.
    """

    first: int
    second: int
    correlation: float
    lag_s: float


class NearDuplicateSearch:
    """Takes windows piece by piece, so that the log-mels themselves are never all in memory.

    Args:
        hop_s: time between the frames of the log-mels.
    """

    def __init__(self, settings: NearDuplicateSettings, *, hop_s: float) -> None:
        self._settings, self._hop_s = settings, hop_s
        self._pieces: list[NDArray[np.float16]] = []

    def add(self, log_mels: NDArray[np.floating]) -> None:
        """Windows in dB: (windows, num_mels, num_frames), of the same shape in every call."""
        self._pieces.append(patterns(log_mels, hop_s=self._hop_s).astype(np.float16))

    def find(self, kin: NDArray[np.integer]) -> list[NearDuplicate]:
        """All pairs that count as the same sound, by falling correlation.

        Args:
            kin: one number per window; windows of one number are never compared, as they may look alike.

        A window with more copies than candidates are taken (10) is paired with the nearest of them only; each of those
        is paired with its own, so that a family of copies still hangs together.
        """
        if not self._pieces:
            return []
        everything = np.concatenate(self._pieces)
        self._pieces = [everything]
        cells = num_cells(everything)
        searched = np.flatnonzero(cells >= _LEAST_CELLS)
        if len(searched) < 2:
            return []
        found = self._verified(everything, cells, searched[_candidates(everything[searched], kin[searched])])
        return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))

    def num_without_pattern(self) -> int:
        """Windows with too little change to be compared: silence, a steady tone, a single click."""
        return sum(int((num_cells(piece) < _LEAST_CELLS).sum()) for piece in self._pieces)

    def _verified(
        self, everything: NDArray[np.float16], cells: NDArray[np.float32], pairs: NDArray[np.integer]
    ) -> Iterator[NearDuplicate]:
        step_s = self._hop_s * num_frames_pooled(self._hop_s)
        num_steps = everything.shape[2]
        max_lag = min(round(self._settings.max_shift_s / step_s), num_steps // 2)
        for block in _blocks(pairs, _BLOCK_PAIRS):
            first, second = block.T
            correlations, lags = aligned_correlations(everything[first], everything[second], max_lag=max_lag)
            significance = correlations * np.sqrt(np.minimum(cells[first], cells[second]))
            same = correlations >= self._settings.min_correlation
            same &= significance >= self._settings.min_significance
            for row in np.flatnonzero(same):
                yield NearDuplicate(
                    first=int(first[row]),
                    second=int(second[row]),
                    correlation=float(correlations[row]),
                    lag_s=float(lags[row] * step_s),
                )


def aligned_correlations(
    first: NDArray[np.floating], second: NDArray[np.floating], *, max_lag: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Best correlation of pairs of patterns over all lags, and that lag.

    Only lags at which half of the energy of both patterns overlaps are tried; the correlation is over the overlap.

    Args:
        first, second: (pairs, bands, steps).
        max_lag: in steps; half steps between are tried too.

    Returns:
        float32 (pairs,) in [-1, 1], and the lags in steps: how much later the sound comes in the second.
    """
    num_steps = first.shape[2]
    size = scipy.fft.next_fast_len(num_steps + max_lag + 1, real=True)
    first, second = first.astype(np.float32), second.astype(np.float32)
    spectra = (scipy.fft.rfft(pattern, size, axis=2) for pattern in (first, second))
    crossed = np.einsum("pbf,pbf->pf", np.conj(next(spectra)), next(spectra), optimize=True)
    products = scipy.fft.irfft(crossed, size * _FINE, axis=1) * _FINE
    fine_lags = np.arange(-max_lag * _FINE, max_lag * _FINE + 1)
    lags = np.round(fine_lags / _FINE).astype(int)
    energy_first = _overlapping_energy(first, np.maximum(-lags, 0), num_steps - np.abs(lags))
    energy_second = _overlapping_energy(second, np.maximum(lags, 0), num_steps - np.abs(lags))
    enough = (energy_first >= _LEAST_OVERLAP) & (energy_second >= _LEAST_OVERLAP)
    scale = np.sqrt(energy_first * energy_second) * _norms(first) * _norms(second)
    correlations = np.where(enough & (scale > 0), products[:, fine_lags] / np.maximum(scale, 1e-12), -1.0)
    best = correlations.argmax(axis=1)
    return np.minimum(correlations[np.arange(len(best)), best], 1.0).astype(np.float32), fine_lags[best] / _FINE


def _overlapping_energy(
    pattern: NDArray[np.float32], starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Share of a pattern's energy in each of some stretches of time: (pairs, stretches)."""
    energy = np.square(pattern).sum(axis=1)
    sums = np.concatenate([np.zeros((len(energy), 1), dtype=np.float32), np.cumsum(energy, axis=1)], axis=1)
    return (sums[:, starts + lengths] - sums[:, starts]) / np.maximum(sums[:, -1:], np.float32(1e-12))


def _norms(pattern: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.square(pattern).sum(axis=(1, 2)))[:, None]


def _candidates(everything: NDArray[np.float16], kin: NDArray[np.integer]) -> NDArray[np.integer]:
    """Pairs worth a verification, each once: int (pairs, 2), first < second."""
    vectors = _short_vectors(everything)
    num_candidates = min(_NUM_CANDIDATES, len(vectors) - 1)
    found = []
    for rows in _blocks(np.arange(len(vectors)), _BLOCK_WINDOWS):
        likeness = vectors[rows] @ vectors.T
        likeness[kin[rows, None] == kin[None, :]] = -np.inf
        nearest = np.argpartition(-likeness, num_candidates - 1, axis=1)[:, :num_candidates]
        row, place = np.nonzero(np.isfinite(np.take_along_axis(likeness, nearest, axis=1)))
        found.append(np.sort(np.stack([rows[row], nearest[row, place]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _short_vectors(everything: NDArray[np.float16]) -> NDArray[np.float32]:
    """Unit vectors, float32 (windows, dimensions), near each other for patterns that are alike up to a shift.

    Components that vary much over the whole data set are weakened, as they say what kinds of sound there are and not
    which sound this is; those that hardly vary are not strengthened beyond the mean.
    """
    every = max(1, len(everything) // _FIT_WINDOWS)
    sample = rhythms(everything[::every][:_FIT_WINDOWS])
    mean = sample.mean(axis=0)
    _, deviations, components = scipy.linalg.svd(sample - mean, full_matrices=False, overwrite_a=True)
    components, deviations = components[:_NUM_DIMENSIONS], deviations[:_NUM_DIMENSIONS]
    weights = 1 / np.sqrt(np.square(deviations) + max(float(np.square(deviations).mean()), 1e-12))
    projection = (components * weights[:, None]).T.astype(np.float32)
    blocks = (everything[rows] for rows in _blocks(np.arange(len(everything)), _BLOCK_WINDOWS))
    vectors = np.concatenate([(rhythms(block) - mean) @ projection for block in blocks]).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))


def _blocks(rows: NDArray[np.integer], size: int) -> Iterable[NDArray[np.integer]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
