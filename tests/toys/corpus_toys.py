"""A corpus of good, unusual and bad files, and what there is to ask of its features."""

import dataclasses
from pathlib import Path

import pyarrow as pa

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import FeaturizeResult, PipelineSettings
from pipelines.manifest import Manifest
from pipelines.sources import read_manifest
from storage.feature_store import FeatureStore
from storage.parquet import to_parquet

SPEC = FeatureSpec()
SETTINGS = PipelineSettings(clips_per_shard=3, num_actors=1)

HEALTHY = ("a_healthy", "e_healthy", "k_healthy", "z_healthy")
UNUSUAL = ("bits_24", "eight_khz", "float", "linked", "seven_s", "short", "silence", "stereo")
QUARANTINED = {
    "missing": "missing_file",
    "text": "not_audio",
    "truncated": "truncated",
    "zero_bytes": "empty_file",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Complete:
    """One run over the whole corpus, shared by the tests that only look at it."""

    result: FeaturizeResult
    progress: list[tuple[int, int]]
    store_folder: Path


def write_table(folder: Path, names: list[str], *, file: str = "clips.csv") -> Manifest:
    """The manifest of a table of these clips, written beside their files."""
    lines = ["clip_id,uri,label", *(f"{name},{name}.wav,noise" for name in names)]
    (folder / file).write_text("\n".join(lines) + "\n")
    return read_manifest("csv", root=str(folder / file), name="corpus")


def part_key(features: FeatureStore, index: int) -> str:
    """The key of the only part with this index."""
    (key,) = (info.key for info in features.store.list(f"{features.prefix}part-{index:05d}-"))
    return key


def objects_of(features: FeatureStore) -> dict[str, bytes]:
    """Name → bytes of all that is stored of these features."""
    store, prefix = features.store, features.prefix
    return {info.key.removeprefix(prefix): store.get(info.key) for info in store.list(prefix)}


def rows_of(complete: Complete, names: tuple[str, ...]) -> pa.Table:
    """Of some clips only."""
    table = complete.result.features.read()
    return table.filter(pa.array([clip_id in names for clip_id in table.column("clip_id").to_pylist()]))


def same_bits(first: pa.Table, second: pa.Table) -> bool:
    """Equal by bytes, so that NaN equals itself and -0.0 is not 0.0."""
    return bool(to_parquet(first.combine_chunks()) == to_parquet(second.combine_chunks()))
