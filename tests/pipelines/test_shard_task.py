"""A shard request on its way to a worker, and what the worker makes of it."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.shard_plan import plan_shards
from pipelines.shard_task import EarlierPart, ShardRequest, ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import open_store


def test_a_request_survives_its_way_as_text() -> None:
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",), size_bytes=5, content="0" * 32)
    request = ShardRequest(
        index=3,
        clips_hash="abc",
        root="s3://bucket",
        endpoint_url="http://host:9000",
        clips=(clip,),
        earlier=(EarlierPart(dataset="dogs-0", index=1, clips_hash="def", clip_ids=("a",)),),
    )
    assert ShardRequest.from_json(request.to_json()) == request


def test_a_worker_reads_recordings_on_the_endpoint_of_the_manifest_and_on_the_web(
    s3_uri: str, s3_server: str, web_site: Any, local_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = io.BytesIO()
    soundfile.write(encoded, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000, format="WAV")
    open_store(s3_uri).put("a.wav", encoded.getvalue())
    web_site.files["b.wav"] = encoded.getvalue()
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    clips = tuple(
        Clip(clip_id=uri, recording_id=uri, uri=uri, labels=("dog",)) for uri in ("a.wav", f"{web_site.url}/b.wav")
    )
    manifest = Manifest(name="dogs", root=s3_uri, endpoint_url=s3_server, clips=clips)
    (request,) = plan_shards(manifest, FeatureSpec(), shard_bytes=2**20, clips_per_shard=0)
    features = FeatureStore(open_store(local_uri), dataset="dogs", fingerprint="abc")
    shard = ShardWorker(FeatureSpec(), features, backend="cpu").compute(request)
    assert (shard.num_rows, shard.num_quarantined) == (2, 0)


def test_one_byte_a_value_is_stored_and_loaded_within_half_a_step(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000)
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",))
    request = ShardRequest(index=0, clips_hash="aa", root=str(tmp_path), endpoint_url=None, clips=(clip,))
    loaded = {}
    for dtype in ("float32", "uint8"):
        spec = dataclasses.replace(FeatureSpec(), dtype=dtype)
        features = FeatureStore(open_store(str(tmp_path / "store")), dataset="dogs", fingerprint=spec.fingerprint)
        shard = ShardWorker(spec, features, backend="cpu").compute(request)
        features.commit([shard], spec=dataclasses.asdict(spec), versions={})
        loaded[dtype] = features.load(dtype="float32").log_mel
    assert features.read(columns=["log_mel"]).schema.field("log_mel").type.value_type == pa.uint8()
    assert np.abs(loaded["uint8"] - loaded["float32"]).max() <= 80 / 255 / 2 + 1e-5
