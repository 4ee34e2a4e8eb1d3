"""Every way in which the project reads a file that somebody else may have written, by what the file is.

A reader gets an empty folder and the bytes of the file, puts them where such a file lies, and reads it as the jobs do.
"""

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from pipelines.decoding.decode import Undecodable, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from pipelines.sources import find_source, read_manifest
from pipelines.sources.archive import fetch_tree
from storage.checkpoints import Checkpoints
from storage.embedding_store import EmbeddingStore
from storage.errors import InvalidInput, StorageError
from storage.feature_export import open_array
from storage.feature_schemas import CLIPS_SCHEMA, QUARANTINE_SCHEMA
from storage.feature_store import FeatureStore
from storage.findings import FINDINGS_SCHEMA, load_findings
from storage.generations import Partition, Segment, read_names
from storage.model_file import from_bytes
from storage.object_store import open_store
from storage.parquet import to_parquet
from storage.part_rows import ROW_KEY, PartRows
from storage.predictions import PREDICTIONS_SCHEMA, Predictions
from storage.results import results
from storage.schemas import TABLES
from storage.split import load_split
from training.config import TrialConfig
from training.first_weights import first_weights
from training.inference import InferenceModel

Reader = Callable[[Path, bytes], object]
# What a reader answers a bad file with: a job prints the first two as one line, the last becomes a row of quarantine.
REFUSALS = (InvalidInput, StorageError, Undecodable)

_SEGMENT = Segment(name="00000001-ab", num_commits=1, num_rows=1, size_bytes=1, memory_bytes=1)
_PARTITION = Partition(table="trials", sweep_id="s")
_ROWS = PartRows(index=0, clips_hash="h", rows_hash="r", num_rows=1)
_CLIP = Clip(clip_id="a", recording_id="a", uri="a", labels=())


def put(folder: Path, key: str, data: bytes) -> Path:
    """Writes a file below the folder and returns its path."""
    open_store(str(folder)).put(key, data)
    return folder / key


def _weights(name: str) -> Reader:
    def read(folder: Path, data: bytes) -> object:
        place = str(put(folder, name, data))
        return first_weights(
            TrialConfig(architecture="cnn", dataset="d", fingerprint="f", split_hash="s", weights=place)
        )

    return read


def _source(source: str, name: str) -> Reader:
    return lambda folder, data: read_manifest(source, root=str(put(folder, name, data)), name="d")


def _stored(key: str, read: Callable[[str], object]) -> Reader:
    """Of an object in a store; `read` is given the store's uri."""

    def reader(folder: Path, data: bytes) -> object:
        put(folder, key, data)
        return read(str(folder))

    return reader


def _model(folder: Path, data: bytes) -> object:
    tensors, card = from_bytes(data, name="m.safetensors")
    return InferenceModel(tensors, card)


def _exported_array(folder: Path, data: bytes) -> object:
    put(folder, "index.parquet", b"x")
    return open_array(put(folder, "features.npy", data).parent)


def _features(uri: str) -> FeatureStore:
    return FeatureStore(open_store(uri), dataset="d", fingerprint="f")


def _embeddings(uri: str) -> EmbeddingStore:
    return EmbeddingStore(_features(uri), "e")


def _quarantine(folder: Path, data: bytes) -> object:
    part = pa.table({"clip_id": ["c"]}).replace_schema_metadata({"num_quarantined": "1"})
    put(folder, "features/d/f/part-00000-h.parquet", to_parquet(part))
    put(folder, "features/d/f/quarantine-00000-h.parquet", data)
    return _features(str(folder)).reasons_so_far().to_pylist()


READERS: dict[str, Reader] = {
    **{f"weights{suffix}": _weights(f"w{suffix}") for suffix in (".pt", ".pth", ".bin", ".safetensors", ".npz", "")},
    "a model": _model,
    "a checkpoint": _stored(
        "c/seed=1/step-00000001.safetensors", lambda uri: Checkpoints(open_store(uri), "c").newest("seed=1")
    ),
    "an exported array": _exported_array,
    "RadioML 2016.10A": _source("radioml", "r.pkl"),
    "RadioML 2018.01A": _source("radioml", "r.hdf5"),
    **{f"a table{suffix}": _source("csv", f"t{suffix}") for suffix in (".csv", ".tsv", ".parquet", ".csv.gz")},
    "a recording": lambda folder, data: decode(io.BytesIO(data), _CLIP, FeatureSpec()),
    "an archive": lambda folder, data: fetch_tree(
        find_source("esc50"), str(put(folder, "a.zip", data)), folder / "tree"
    ),
    "the marker of features": _stored("features/d/f/_MANIFEST.json", lambda uri: _features(uri).marker()),
    "features": _stored("features/d/f/part-00000-h.parquet", lambda uri: _features(uri).read_shard(0, "h").to_pylist()),
    "counts of features": _stored("features/d/f/part-00000-h.parquet", lambda uri: _features(uri).find_shard(0, "h")),
    "marks of clips": _stored("features/d/f/_CLIPS.parquet", lambda uri: _features(uri).clips().to_pylist()),
    "a quarantine": _quarantine,
    "the marker of embeddings": _stored("embeddings/d/f/e/_MANIFEST.json", lambda uri: _embeddings(uri).load()),
    "embeddings": _stored("embeddings/d/f/e/part-00000-h-r.parquet", lambda uri: _embeddings(uri).check_part(_ROWS)),
    "a split": _stored("splits/d/h.json", lambda uri: load_split(open_store(uri), dataset="d", split_hash="h")),
    "findings": _stored(
        "audits/d/f/findings.parquet", lambda uri: load_findings(open_store(uri), dataset="d", fingerprint="f")
    ),
    "predictions": _stored("part-0.parquet", lambda uri: Predictions(open_store(uri)).read().to_pylist()),
    "what predictions are of": _stored("_PREDICTIONS.json", lambda uri: Predictions(open_store(uri)).about()),
    "refused recordings": _stored(
        "quarantine.parquet", lambda uri: Predictions(open_store(uri)).quarantine().to_pylist()
    ),
    "a commit": _stored("results/trials/sweep=s/c.parquet", lambda uri: results(uri, table="trials", as_="pandas")),
    "a generation": _stored("compacted/trials/sweep=s/00000001.json", lambda uri: results(uri, table="trials")),
    "names of commits": _stored(
        _PARTITION.names_key(_SEGMENT.name), lambda uri: read_names(open_store(uri), _PARTITION, [_SEGMENT])
    ),
}

# The columns that the readers of tables look at.
COLUMNS: dict[str, list[str]] = {
    "a table.parquet": ["uri", "label"],
    "features": ["clip_id", "variant", "provenance"],
    "marks of clips": CLIPS_SCHEMA.names,
    "a quarantine": QUARANTINE_SCHEMA.names,
    "embeddings": [*ROW_KEY],
    "findings": FINDINGS_SCHEMA.names,
    "predictions": PREDICTIONS_SCHEMA.names,
    "refused recordings": QUARANTINE_SCHEMA.names,
    "a commit": TABLES["trials"].names,
    "names of commits": ["commit"],
}
JSON_READERS = (
    "the marker of features",
    "the marker of embeddings",
    "a split",
    "what predictions are of",
    "a generation",
)
