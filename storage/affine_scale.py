"""dB in one byte: a fixed affine scale from a range of dB onto 0 … 255, and back.

The range comes from the feature spec and never from the data, so that shards stay independent of one another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class AffineScale:
    """0 stands for `low_db`, 255 for `high_db`, evenly between; values outside are clipped to these.

    A value within the range comes back at most half a step (`step_db / 2`) off; as float16 it is rounded once more.
    For 80 dB that is 0.157 dB, and at most 0.031 dB more as float16.
    """

    low_db: float
    high_db: float

    @property
    def step_db(self) -> float:
        """The distance of two neighbouring steps in dB."""
        return (self.high_db - self.low_db) / _STEPS

    def encode(self, values_db: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """The nearest step of each value, of any shape."""
        steps = (values_db.astype(np.float64) - self.low_db) / self.step_db
        return np.rint(steps).clip(0, _STEPS).astype(np.uint8)

    def decode(self, steps: NDArray[np.uint8], out: NDArray[np.floating[Any]]) -> None:
        """Writes dB into `out`, of the same shape and of float16 or float32."""
        np.take(self._table(out.dtype), steps, out=out, mode="clip")  # unlike "raise", "clip" needs no buffer

    def _table(self, dtype: np.dtype[Any]) -> NDArray[np.floating[Any]]:
        return (self.low_db + np.arange(_STEPS + 1) * self.step_db).astype(dtype)

    def to_metadata(self) -> dict[str, str]:
        """For the Arrow field of the column, so that readers without melsweep find it."""
        return {"low_db": repr(self.low_db), "high_db": repr(self.high_db)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> "AffineScale | None":
        """The scale that a field's metadata names; None where it names none."""
        if not metadata or b"low_db" not in metadata:
            return None
        return cls(low_db=float(metadata[b"low_db"]), high_db=float(metadata[b"high_db"]))
