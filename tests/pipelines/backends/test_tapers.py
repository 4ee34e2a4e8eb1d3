"""Hann's window is scipy's, bit for bit: stored features must not change with where it comes from."""

import numpy as np
import pytest
import scipy.signal

from pipelines.backends.tapers import hann


@pytest.mark.parametrize("num_samples", [1, 2, 3, 16, 25, 400, 1023, 1024, 2048])
@pytest.mark.parametrize("periodic", [True, False])
def test_it_is_scipys_to_the_bit(num_samples: int, periodic: bool) -> None:
    reference = scipy.signal.get_window("hann", num_samples, fftbins=periodic)
    np.testing.assert_array_equal(hann(num_samples, periodic=periodic), reference)
