"""Reading a clip's bytes on a worker: what is the clip's fault becomes a reason, what is not ends the job."""

import io
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.decode import Undecodable
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import _requests
from pipelines.manifest import Clip, Manifest
from pipelines.recordings import Recordings
from pipelines.shard_task import ShardRequest, ShardWorker, read_encoded
from storage.errors import StorageError, UnreadableFile
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store


def _clip(uri: str, size_bytes: int | None = None) -> Clip:
    return Clip(clip_id="a", recording_id="a", uri=uri, labels=("dog",), size_bytes=size_bytes)


@pytest.mark.parametrize("size_bytes", [None, 5])
def test_the_bytes_are_those_of_the_file(store: ObjectStore, size_bytes: int | None) -> None:
    store.put("a.wav", b"audio")
    assert read_encoded(Recordings(store.uri), _clip("a.wav", size_bytes)) == b"audio"


def test_a_file_that_nobody_saw_is_missing(store: ObjectStore) -> None:
    with pytest.raises(Undecodable) as caught:
        read_encoded(Recordings(store.uri), _clip("a.wav"))
    assert (caught.value.reason, caught.value.detail) == ("missing_file", "there is no such file")


def test_a_file_that_the_manifest_saw_and_that_is_gone_ends_the_job(store: ObjectStore) -> None:
    with pytest.raises(StorageError, match=rf"{socket.gethostname()} cannot read .*a\.wav as the manifest saw it"):
        read_encoded(Recordings(store.uri), _clip("a.wav", 5))


def test_a_file_that_has_another_size_now_ends_the_job(store: ObjectStore) -> None:
    store.put("a.wav", b"longer audio")
    with pytest.raises(StorageError, match="it has 12 bytes now, the manifest saw 5"):
        read_encoded(Recordings(store.uri), _clip("a.wav", 5))


def test_a_file_that_cannot_be_read_is_a_reason_only_where_the_manifest_did_not_see_it(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    recordings = Recordings(str(tmp_path))
    with pytest.raises(Undecodable) as caught:
        read_encoded(recordings, _clip("folder.wav"))
    assert (caught.value.reason, caught.value.detail) == ("unreadable_file", "Is a directory")
    with pytest.raises(StorageError, match="as the manifest saw it: Is a directory") as error:
        read_encoded(recordings, _clip("folder.wav", 5))
    assert not isinstance(error.value, UnreadableFile)


def test_a_web_server_that_fails_ends_the_job_and_one_that_has_no_such_file_does_not(
    web_site: Any, tmp_path: Path
) -> None:
    recordings, uri = Recordings(str(tmp_path)), f"{web_site.url}/a.wav"
    web_site.answers = [503] * 4
    with pytest.raises(StorageError, match="the server answers 503"):
        read_encoded(recordings, _clip(uri))
    with pytest.raises(Undecodable) as caught:
        read_encoded(recordings, _clip(uri))
    assert caught.value.reason == "missing_file"
    web_site.files["a.wav"] = b"audio"
    assert read_encoded(recordings, _clip(uri)) == b"audio"


def test_a_request_survives_its_way_as_text() -> None:
    request = ShardRequest(
        index=3, clips_hash="abc", root="s3://bucket", endpoint_url="http://host:9000", clips=(_clip("a.wav", 5),)
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
