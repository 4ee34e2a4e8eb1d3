"""Files on web servers that stumble, refuse or die: what is tried again, and whose fault the rest is."""

import io
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.decoding.encoded import WatchedFile
from pipelines.files.block_file import BLOCK_BYTES
from pipelines.files.recordings import Recordings
from storage.errors import ObjectNotFound, StorageError, UnreadableFile


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_stumbles_is_asked_again(web_site: Any, tmp_path: Path, status: int) -> None:
    web_site.files["x.wav"] = b"12345"
    web_site.answers = [status, status, status]
    assert Recordings(str(tmp_path)).read(f"{web_site.url}/x.wav") == b"12345"


def test_an_answer_that_breaks_off_is_asked_for_again(web_site: Any, tmp_path: Path) -> None:
    web_site.files["x.wav"] = b"12345"
    web_site.cut_after = 3
    assert Recordings(str(tmp_path)).read(f"{web_site.url}/x.wav") == b"12345"
    assert len(web_site.requests) == 2


def test_a_server_that_goes_on_failing_is_at_fault(web_site: Any, tmp_path: Path) -> None:
    web_site.answers = [503] * 4
    _expect_fault(web_site.url, tmp_path, "the server answers 503")
    assert len(web_site.requests) == 4


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_the_servers_fault_at_once(web_site: Any, tmp_path: Path, status: int) -> None:
    web_site.answers = [status]
    _expect_fault(web_site.url, tmp_path, rf"refuses access \({status}\)")
    assert len(web_site.requests) == 1


def test_another_refusal_is_the_fault_of_the_row(web_site: Any, tmp_path: Path) -> None:
    web_site.answers = [400]
    with pytest.raises(UnreadableFile, match="the server answers 400"):
        Recordings(str(tmp_path)).read(f"{web_site.url}/x.wav")


def test_a_dead_server_is_at_fault(web_site: Any, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        _expect_fault(url, tmp_path, "Check that the server is up")


def test_a_server_that_does_not_tell_the_size_has_the_file_all_the_same(web_site: Any, tmp_path: Path) -> None:
    web_site.files["x.wav"] = b"12345"
    web_site.gives_ranges = web_site.tells_size = False
    recordings, url = Recordings(str(tmp_path)), f"{web_site.url}/x.wav"
    assert recordings.size_bytes(url) is None
    assert recordings.exists(url)
    assert not recordings.exists(f"{web_site.url}/y.wav")
    assert recordings.read(url) == recordings.open(url).read() == b"12345"


def test_terabytes_that_come_in_one_piece_are_the_fault_of_the_row(web_site: Any, tmp_path: Path) -> None:
    web_site.files["x.wav"] = b"12345"
    web_site.gives_ranges, web_site.claimed_size = False, 2**42
    recordings, url = Recordings(str(tmp_path)), f"{web_site.url}/x.wav"
    for ask in (recordings.size_bytes, recordings.read, recordings.open):
        with pytest.raises(UnreadableFile, match="more than 2 GiB from a server that gives no parts"):
            ask(url)
    assert recordings.sizes([url]) == {url: None}


def test_an_answer_without_end_is_given_up(web_site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.files.web_file.MAX_WHOLE_BYTES", 4 << 20)
    web_site.gives_ranges = web_site.tells_size = False
    for size_bytes in (4 << 20, (4 << 20) + 1, 20 << 20):
        web_site.files["x.wav"] = bytes(size_bytes)
        recordings, url = Recordings(str(tmp_path)), f"{web_site.url}/x.wav"
        if size_bytes == 4 << 20:
            assert len(recordings.read(url)) == size_bytes
        else:
            with pytest.raises(UnreadableFile, match="from a server that gives no parts"):
                recordings.read(url)


def test_a_connection_lost_while_decoding_is_not_forgotten(web_site: Any, tmp_path: Path) -> None:
    encoded = io.BytesIO()
    soundfile.write(encoded, np.zeros(2 * BLOCK_BYTES), 8_000, format="WAV", subtype="PCM_16")
    web_site.files["x.wav"] = encoded.getvalue()
    with Recordings(str(tmp_path)).open(f"{web_site.url}/x.wav") as file:
        watched = WatchedFile(file)
        assert watched.read(1)
        web_site.answers = [503] * 4
        watched.seek(2 * BLOCK_BYTES)
        assert watched.read(10) == b""
        assert "503" in str(watched.fault)


def test_of_many_files_on_a_server_at_fault_only_the_first_are_asked_for(web_site: Any, tmp_path: Path) -> None:
    web_site.answers = [403] * 1_000
    with pytest.raises(StorageError, match="refuses access"):
        Recordings(str(tmp_path)).sizes(f"{web_site.url}/{number}.wav" for number in range(1_000))
    assert len(web_site.requests) < 500


def _expect_fault(url: str, tmp_path: Path, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        Recordings(str(tmp_path)).read(f"{url}/x.wav")
    assert not isinstance(caught.value, ObjectNotFound | UnreadableFile)
