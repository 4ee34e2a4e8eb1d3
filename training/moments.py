"""Mean and deviation of log-mels in one pass: block by block in float64, blocks merged as they come.

Enters: log-mels, in memory or piece by piece out of a feature store, of the train part alone. Leaves: `Moments`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.feature_store import FeatureStore, Where
from storage.features import decode_into, loaded_type
from storage.split import Split

_VALUES_PER_BLOCK = 2**20  # 8 MiB as float64


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Of many values, or of those of each band.

    Attributes:
        num_values: how many, in each entry.
        mean: float64, of shape () or (bands,); dB.
        squares: sum of squared deviations from the mean, of the same shape.
    """

    num_values: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Of the population (divided by the number of values, as `numpy.std`); 0 where all values are equal."""
        return np.sqrt(self.squares / self.num_values)

    def merged(self, other: "Moments") -> "Moments":
        """Those of both sets together.

        Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
        (1979), eq. 2.1. Unlike a sum of squares it keeps its digits where the mean is large beside the deviation.
        """
        num_values = self.num_values + other.num_values
        distance = other.mean - self.mean
        return Moments(
            num_values=num_values,
            mean=self.mean + distance * (other.num_values / num_values),
            squares=self.squares + other.squares + distance**2 * (self.num_values * other.num_values / num_values),
        )


def moments(log_mels: Iterable[NDArray[Any]], *, per_band: bool = False) -> Moments:
    """One pass over pieces of log-mels; beside the piece in hand, 24 MiB are needed.

    Args:
        log_mels: pieces of (rows, …, bands, frames), of any float type and number of rows.
        per_band: one mean and deviation for each band (the last axis but one), over all others.

    Raises:
        ValueError: there is not a single value.
    """
    found: Moments | None = None
    for piece in log_mels:
        for block in _blocks(piece):
            of_block = _of_block(block.astype(np.float64), per_band)
            found = of_block if found is None else found.merged(of_block)
    if found is None:
        raise ValueError("no log-mel has no mean")
    return found


def stored_train_moments(features: FeatureStore, split: Split, *, per_band: bool = False) -> Moments:
    """Those of the train part of stored features, all variants, without loading them.

    Raises:
        StorageError: as `FeatureStore.batches`.
        ValueError: no train clip has rows.
    """
    where = Where(clip_ids={clip_id for clip_id, part in split.parts.items() if part == "train"})
    field = features.schema().field("log_mel")

    def pieces() -> Iterator[NDArray[Any]]:
        for column in features.log_mels(where=where):
            piece = np.empty((len(column), *field.type.shape), dtype=loaded_type(field))
            decode_into(piece, column, field)
            yield piece

    return moments(pieces(), per_band=per_band)


def selected_rows(log_mel: NDArray[Any], rows: list[int]) -> Iterator[NDArray[Any]]:
    """`log_mel[rows]` in pieces that are copied one after the other."""
    step = _rows_per_block(log_mel)
    return (log_mel[rows[start : start + step]] for start in range(0, len(rows), step))


def _blocks(piece: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = _rows_per_block(piece)
    return (piece[start : start + step] for start in range(0, len(piece), step))


def _rows_per_block(log_mel: NDArray[Any]) -> int:
    return max(1, _VALUES_PER_BLOCK // int(np.prod(log_mel.shape[1:])))


def _of_block(block: NDArray[np.float64], per_band: bool) -> Moments:
    axes = tuple(axis for axis in range(block.ndim) if not (per_band and axis == block.ndim - 2))
    mean = block.mean(axis=axes, keepdims=True)
    return Moments(
        num_values=block.size // mean.size,
        mean=mean.squeeze(axes),
        squares=np.square(block - mean).sum(axis=axes),
    )
