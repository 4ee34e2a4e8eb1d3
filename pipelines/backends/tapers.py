"""Tapers of frames, by scipy.signal's formula to the last bit.

Importing scipy.signal itself would take every worker process 0.6 s, longer than all its other imports (scipy 1.17).
"""

import numpy as np
from numpy.typing import NDArray


def hann(num_samples: int, *, periodic: bool = True) -> NDArray[np.float64]:
    """Hann's window, float64 (num_samples,): periodic for spectra, or symmetric as Kaldi has it."""
    if num_samples == 1:
        return np.ones(1)
    angles = np.linspace(-np.pi, np.pi, num_samples + periodic)[:num_samples]
    return 0.5 + 0.5 * np.cos(angles)
