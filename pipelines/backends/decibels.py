"""Power → decibels, as librosa's power_to_db: the one way of the backends that compute on the CPU."""

import numpy as np
from numpy.typing import NDArray

from pipelines.feature_spec import FeatureSpec


def power_to_db(power: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
    """Decibels over the spec's reference, floored at top_db below the maximum of this one window; same shape."""
    amin = np.float32(spec.amin)
    reference = np.float32(power.max()) if spec.db_reference == "max" else np.float32(spec.db_reference)
    decibels = 10.0 * np.log10(np.maximum(power, amin)) - 10.0 * np.log10(np.maximum(reference, amin))
    if spec.top_db is not None:
        decibels = np.maximum(decibels, decibels.max() - np.float32(spec.top_db))
    return decibels.astype(np.float32, copy=False)
