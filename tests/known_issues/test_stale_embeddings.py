"""After `pipeline.retry` a part of the features had more rows and its old name: its embeddings never fitted again."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from feature_toys import make_rows
from safetensors.torch import save_file

from models import create_model
from storage.feature_schemas import QUARANTINE_SCHEMA
from storage.feature_store import FeatureStore, Shard
from storage.object_store import ObjectStore, open_store
from storage.split import Part, Split
from sweeps.embeddings import embed
from training import TrialConfig, TrialData, load_trial_data
from training.recipe import InputConfig

pytestmark = pytest.mark.usefixtures("ray_local")

_CYCLE: tuple[Part, ...] = ("train", "validation", "test")
_LOG_MEL = np.random.default_rng(1).normal(-60, 6, (12, 16, 16)).astype(np.float16)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def config(tmp_path: Path) -> TrialConfig:
    path = tmp_path / "cnn.safetensors"
    save_file(create_model("cnn", num_classes=3, seed=3, options={"width": 4}).state_dict(), path)
    return TrialConfig(
        architecture="cnn",
        model={"width": 4},
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        weights=str(path),
        freeze="backbone",
        input=InputConfig(scaling="unit"),  # belongs to no split, so that its identity stays
    )


def make_features(store: ObjectStore, *, timed_out: int | None) -> FeatureStore:
    """Two parts of six clips each; one clip of the first may be quarantined."""
    features = FeatureStore(store, dataset="toy-0", fingerprint="f" * 16)
    shards = []
    for index in range(2):
        rows = make_rows(_LOG_MEL[6 * index :][:6], first=6 * index, labels=["a"])
        quarantined = [] if index or timed_out is None else [rows["clip_id"][timed_out].as_py()]
        kept = pa.array([clip_id not in quarantined for clip_id in rows["clip_id"].to_pylist()])
        shard = Shard(
            index=index,
            clips_hash=f"{index:04x}",
            num_clips=6,
            num_rows=6 - len(quarantined),
            num_quarantined=len(quarantined),
        )
        reasons = [
            {"clip_id": clip_id, "variant": "original", "uri": clip_id, "reason": "timed_out", "detail": ""}
            for clip_id in quarantined
        ]
        quarantine = pa.Table.from_pylist(reasons, schema=QUARANTINE_SCHEMA)
        shards.append(features.write_shard(shard, rows.filter(kept), quarantine))
    features.commit(shards, spec={}, versions={})
    return features


def embedded(config: TrialConfig, features: FeatureStore, heard: list[int]) -> tuple[TrialData, TrialData]:
    """The trial data of a job, and what they become."""
    loaded = features.load()
    groups = {f"c{number:05d}": f"g{number}" for number in range(12)}
    parts = {clip_id: _CYCLE[number % 3] for number, clip_id in enumerate(groups)}
    split = Split(dataset="toy-0", policy="every third", parts=parts, groups=groups)
    data = load_trial_data(loaded, split)
    return data, embed(config, data, features, split, on_progress=lambda done, total: heard.append(done))


@pytest.mark.parametrize(
    "lost_again",
    [None, pytest.param(3, marks=pytest.mark.slow)],
    ids=["nothing is lost any more", "another clip is lost"],
)
def test_features_that_were_made_again_get_embeddings_of_their_rows(
    config: TrialConfig, store: ObjectStore, lost_again: int | None
) -> None:
    heard: list[int] = []
    features = make_features(store, timed_out=2)
    embedded(config, features, heard)
    assert features.forget(["timed_out"]) == 1
    again: list[int] = []
    data, found = embedded(config, make_features(store, timed_out=lost_again), again)
    assert again == ([6, 12] if lost_again is None else [6, 11])
    model = create_model("cnn", num_classes=3, seed=3, options={"width": 4}).eval()
    for name, part in data.parts.items():
        low = part.log_mel.min(axis=(1, 2), keepdims=True).astype(np.float32)
        inputs = (part.log_mel - low) / (part.log_mel.max(axis=(1, 2), keepdims=True) - low)
        with torch.no_grad():
            expected = model.embed(torch.from_numpy(inputs)[:, None]).numpy()
        np.testing.assert_allclose(found.parts[name].log_mel, expected, rtol=1e-4, atol=1e-5)
    assert sum("/part-" in info.key for info in store.list("embeddings/")) == 2
