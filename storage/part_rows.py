"""Which rows each part of complete features holds: what is derived from a part is named after them.

A part that is made again, as `pipeline.retry` does, keeps its index and the hash of its clips, and may hold other rows.
Enters: complete features. Leaves: a `PartRows` per part.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.identity import content_hash

ROW_KEY = ("clip_id", "variant", "window")

_READ_THREADS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRows:
    """A part of the features: where it is, and what it holds.

    Attributes:
        rows_hash: of its rows' keys, in their order.
    """

    index: int
    clips_hash: str
    rows_hash: str
    num_rows: int

    @property
    def name(self) -> tuple[int, str]:
        """Of what is derived from it, as `Parts` takes names; other rows give another one."""
        return self.index, f"{self.clips_hash}-{self.rows_hash}"


def parts_with_rows(features: FeatureStore) -> list[PartRows]:
    """Every part that the marker names, in its order; reads the keys of all rows.

    Raises:
        StorageError: the features are not complete, a part is missing or damaged, or there are fewer rows than the
            marker counts.
    """
    marker = features.marker()
    if marker is None:
        raise StorageError(f"{features.uri} holds no complete features. Run jobs/featurize.py with the same settings.")
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        parts = list(pool.map(lambda shard: _with_rows(features, shard[0], shard[1]), marker["shards"]))
    num_rows = sum(part.num_rows for part in parts)
    if num_rows != marker["num_rows"]:
        raise StorageError(f"{features.uri} has {num_rows} of {marker['num_rows']} rows. Delete it and run again.")
    return parts


def rows_hash(keys: pa.Table) -> str:
    """12 hexadecimal digits for the keys of rows in their order. Args: keys: with the columns ROW_KEY."""
    return content_hash([keys.column(name).to_pylist() for name in ROW_KEY], length=12)


def _with_rows(features: FeatureStore, index: int, clips_hash: str) -> PartRows:
    keys = features.read_shard(index, clips_hash, columns=ROW_KEY)
    return PartRows(index=index, clips_hash=clips_hash, rows_hash=rows_hash(keys), num_rows=keys.num_rows)
