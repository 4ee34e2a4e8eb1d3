"""What of a log-mel survives a copy: the pattern of its changes in time and between bands.

Enters: log-mels at rest. Leaves: for every window a sharp pattern, and a short vector that is alike for alike patterns
wherever they lie in the window.

The pattern is the difference between neighbouring bands of the difference in time, as in J. Haitsma & T. Kalker, "A
Highly Robust Audio Fingerprinting System", ISMIR 2002. Deviations: they keep one bit, its sign; we keep the number,
because sounds of 5 s, unlike music, are silent or steady for much of their time, and there the sign is that of the
noise. Levels more than `_RANGE_DB` below the window's loudest cell are raised to that floor first, so that noise added
to silence is not a change. A gain is a constant in dB and vanishes; so do steady sounds and the common rhythm of all
bands, which two recordings of the same kind of source share (two clocks tick alike).
"""

import math

import numpy as np
from numpy.typing import NDArray

_NUM_BANDS = 32  # about a third of an octave each; Haitsma & Kalker take 33
_STEP_S = 0.046  # longer steps lose the copies that begin between two frames
_RANGE_DB = 40.0
_FAR_FRAMES = 2  # a difference over two frames suffers less from a copy that begins between two of them

Patterns = NDArray[np.floating]


def num_frames_pooled(hop_s: float) -> int:
    """Frames of a log-mel that make one step of a pattern."""
    return max(1, round(_STEP_S / hop_s))


def patterns(log_mels: NDArray[np.floating], *, hop_s: float) -> NDArray[np.float32]:
    """Sharp patterns of windows.

    Args:
        log_mels: (windows, num_mels, num_frames) in dB over any reference.
        hop_s: time between frames.

    Returns:
        float32 (windows, bands - 1, steps - 2), in dB; all zero where nothing changes.
    """
    levels_db = _pooled(log_mels.astype(np.float32), num_frames_pooled(hop_s))
    if levels_db.shape[1] < 2 or levels_db.shape[2] <= _FAR_FRAMES:
        return np.zeros((len(log_mels), 1, 1), dtype=np.float32)
    loudest = levels_db.max(axis=(1, 2), keepdims=True)
    levels_db = np.maximum(levels_db, loudest - np.float32(_RANGE_DB))
    between_bands = np.diff(levels_db, axis=1)
    return between_bands[:, :, _FAR_FRAMES:] - between_bands[:, :, :-_FAR_FRAMES]


def num_cells(patterns: Patterns) -> NDArray[np.float32]:
    """How many cells a pattern really has, (windows,): few for a single click, whose match could be chance.

    (Σx²)² / Σx⁴, the number of equal cells with the same first two moments; 0 for an empty pattern.
    """
    squares = np.square(patterns.astype(np.float32)).reshape(len(patterns), -1)
    energy = squares.sum(axis=1)
    fourth = np.square(squares).sum(axis=1)
    return np.divide(energy**2, fourth, out=np.zeros_like(energy), where=fourth > 0)


def rhythms(patterns: Patterns) -> NDArray[np.float32]:
    """Magnitudes of the patterns' spectra over time, unit length: float32 (windows, bands × frequencies).

    A shift in time turns only phases, so that a copy lies near its original whatever the lag.
    """
    num_steps = patterns.shape[2]
    spectra = np.abs(np.fft.rfft(patterns.astype(np.float32), _padded(num_steps), axis=2)).astype(np.float32)
    vectors = spectra.reshape(len(patterns), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _padded(num_steps: int) -> int:
    return 2 ** math.ceil(math.log2(max(2, num_steps)))


def _pooled(levels_db: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Mean powers over neighbouring bands and frames, in dB again; frames that fill no step are left out."""
    num_mels, num_steps = levels_db.shape[1], levels_db.shape[2] // frames
    power = np.power(np.float32(10), levels_db[:, :, : num_steps * frames] / np.float32(10))
    power = power.reshape(len(levels_db), num_mels, num_steps, frames).mean(axis=3)
    first_mels = np.unique(np.linspace(0, num_mels, min(_NUM_BANDS, num_mels), endpoint=False).astype(int))
    widths = np.diff([*first_mels, num_mels]).astype(np.float32)
    bands = np.add.reduceat(power, first_mels, axis=1) / widths[None, :, None]
    return 10 * np.log10(np.maximum(bands, np.float32(1e-30)))
