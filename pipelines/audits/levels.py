"""Stored features as levels in dB, whatever their representation and dtype, for checks that think in dB.

Enters: the column log_mel as it is stored, and the spec that made it. Leaves: dB of power, of the frames that hold
sound. IQ features have no such levels: they are no sound, and two linear channels have no logarithm.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.feature_spec import FeatureSpec
from storage.features import decode_into

# Energies of `log_mel` are 10 log10, those of Kaldi the natural logarithm.
_DB_PER_UNIT = {"log_mel": 1.0, "kaldi_fbank": 10 / math.log(10)}


def has_levels(spec: FeatureSpec) -> bool:
    """Whether features of this spec are levels of sound."""
    return spec.representation in _DB_PER_UNIT


def levels_db(column: pa.ChunkedArray, field: pa.Field, spec: FeatureSpec) -> NDArray[np.float32]:
    """Levels of stored features over any reference.

    `uint8` is decoded by the scale of its field; amplitudes (`power` 1) count as the powers they are the roots of.
    Kaldi's padded frames are left out: they are 0 after the logarithm, louder than most sounds.

    Args:
        column: log_mel of some rows, as stored.
        field: of that column, with its metadata.
        spec: for which `has_levels` holds.

    Returns:
        float32 (rows, num_mels, frames).
    """
    stored = np.empty((len(column), *field.type.shape), dtype=np.float32)
    decode_into(stored, column, field)
    if spec.representation == "kaldi_fbank":
        stored = stored[:, :, : spec.num_frames_inside]
    return stored * np.float32(_DB_PER_UNIT[spec.representation] * 2 / spec.power)


def spec_at_rest(stored: Mapping[str, Any]) -> FeatureSpec:
    """The spec of a commit marker: JSON, where tuples are lists. Fields that came later have their defaults."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return FeatureSpec(**fields)
