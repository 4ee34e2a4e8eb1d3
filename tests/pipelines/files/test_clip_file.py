"""Opening a clip's file on a worker: what is the clip's fault becomes a reason, what is not ends the job."""

import io
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from pipelines.decoding.rules import Undecodable
from pipelines.files.clip_file import open_clip
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip
from storage.errors import StorageError, UnreadableFile
from storage.object_store import ObjectStore


def _clip(uri: str, size_bytes: int | None = None) -> Clip:
    return Clip(clip_id="a", recording_id="a", uri=uri, labels=("dog",), size_bytes=size_bytes)


@pytest.mark.parametrize("size_bytes", [None, 5])
def test_the_bytes_are_those_of_the_file(store: ObjectStore, size_bytes: int | None) -> None:
    store.put("a.wav", b"audio")
    assert open_clip(Recordings(store.uri), _clip("a.wav", size_bytes)).read() == b"audio"


@pytest.mark.parametrize("size_bytes", [None, 100])
def test_a_large_file_is_not_held_in_memory(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, size_bytes: int | None
) -> None:
    monkeypatch.setattr("pipelines.files.clip_file.READ_WHOLE_BYTES", 99)
    store.put("a.wav", bytes(100))
    with open_clip(Recordings(store.uri), _clip("a.wav", size_bytes)) as source:
        assert not isinstance(source, io.BytesIO)
        assert source.read() == bytes(100)


def test_a_file_that_nobody_saw_is_missing(store: ObjectStore) -> None:
    with pytest.raises(Undecodable) as caught:
        open_clip(Recordings(store.uri), _clip("a.wav"))
    assert (caught.value.reason, caught.value.detail) == ("missing_file", "there is no such file")


def test_a_file_that_the_manifest_saw_and_that_is_gone_ends_the_job(store: ObjectStore) -> None:
    with pytest.raises(StorageError, match=rf"{socket.gethostname()} cannot read .*a\.wav as the manifest saw it"):
        open_clip(Recordings(store.uri), _clip("a.wav", 5))


def test_a_file_that_has_another_size_now_ends_the_job(store: ObjectStore) -> None:
    store.put("a.wav", b"longer audio")
    with pytest.raises(StorageError, match="it has 12 bytes now, the manifest saw 5"):
        open_clip(Recordings(store.uri), _clip("a.wav", 5))


def test_a_file_that_cannot_be_read_is_a_reason_only_where_the_manifest_did_not_see_it(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    recordings = Recordings(str(tmp_path))
    with pytest.raises(Undecodable) as caught:
        open_clip(recordings, _clip("folder.wav"))
    assert (caught.value.reason, caught.value.detail) == ("unreadable_file", "it is a folder")
    with pytest.raises(StorageError, match="as the manifest saw it: it is a folder") as error:
        open_clip(recordings, _clip("folder.wav", 5))
    assert not isinstance(error.value, UnreadableFile)


def test_a_web_server_that_fails_ends_the_job_and_one_that_has_no_such_file_does_not(
    web_site: Any, tmp_path: Path
) -> None:
    recordings, uri = Recordings(str(tmp_path)), f"{web_site.url}/a.wav"
    web_site.answers = [503] * 4
    with pytest.raises(StorageError, match="the server answers 503"):
        open_clip(recordings, _clip(uri))
    with pytest.raises(Undecodable) as caught:
        open_clip(recordings, _clip(uri))
    assert caught.value.reason == "missing_file"
    web_site.files["a.wav"] = b"audio"
    assert open_clip(recordings, _clip(uri)).read() == b"audio"


def test_a_part_of_a_file_is_opened_without_reading_the_rest(store: ObjectStore) -> None:
    store.put("a.wav", b"0123456789")
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",), offset_s=1.0, size_bytes=10)
    with open_clip(Recordings(store.uri), clip) as source:
        assert source.seek(4) == 4
        assert source.read(2) == b"45"


@pytest.mark.parametrize("duration_s", [None, 1.0])
def test_what_is_no_regular_file_is_never_read(tmp_path: Path, duration_s: float | None) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    clip = Clip(clip_id="a", recording_id="a", uri="pipe.wav", labels=("dog",), duration_s=duration_s)
    with pytest.raises(Undecodable, match="unreadable_file: it is no regular file"):
        open_clip(Recordings(str(tmp_path)), clip)
