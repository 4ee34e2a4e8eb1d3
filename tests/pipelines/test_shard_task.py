"""A shard request on its way to a worker, and what the worker makes of it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipelines.backends import list_backends
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import _requests
from pipelines.manifest import Clip, Manifest
from pipelines.shard_task import ShardRequest, ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import open_store


def test_a_request_survives_its_way_as_text() -> None:
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",), size_bytes=5, content="0" * 32)
    request = ShardRequest(
        index=3, clips_hash="abc", root="s3://bucket", endpoint_url="http://host:9000", clips=(clip,)
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
    (request,) = _requests(Manifest(name="dogs", root=s3_uri, endpoint_url=s3_server, clips=clips), 40)
    features = FeatureStore(open_store(local_uri), dataset="dogs", fingerprint="abc")
    shard = ShardWorker(FeatureSpec(), features, backend="cpu").compute(request)
    assert (shard.num_rows, shard.num_quarantined) == (2, 0)


@pytest.mark.parametrize("backend", list_backends())
def test_no_backend_loses_or_changes_the_neighbours_of_a_bad_clip(tmp_path: Path, backend: str) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "c", "e"):
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, 11_025), 22_050)
    soundfile.write(tmp_path / "b.wav", np.full(11_025, 1e30, dtype=np.float32), 22_050, subtype="FLOAT")  # overflows
    (tmp_path / "d.wav").write_bytes(b"no audio")
    with_bad, healthy = (_rows(tmp_path, names, backend) for names in ("abcde", "ace"))
    assert with_bad.column("clip_id").to_pylist() == ["a", "c", "e"]
    assert with_bad.equals(healthy)


def _rows(folder: Path, names: str, backend: str) -> pa.Table:
    spec = FeatureSpec(window_s=0.5)
    features = FeatureStore(open_store(str(folder / names)), dataset="corpus", fingerprint=spec.fingerprint)
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=("noise",)) for name in names)
    request = ShardRequest(index=0, clips_hash="0" * 12, root=str(folder), endpoint_url=None, clips=clips)
    features.commit([ShardWorker(spec, features, backend=backend).compute(request)], spec={}, versions={})
    return features.read().combine_chunks()
