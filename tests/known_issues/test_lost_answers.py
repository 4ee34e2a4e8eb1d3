"""Answers that get lost on the way from S3 used to end a job: at the probe of a store, and in the middle of a body.

A conditional write whose answer is lost is tried again and finds its own object there, which the probe took for a store
that ignores conditions. An answer that breaks off while its body is read is not tried again by botocore.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from store_toys import HookedStore, MemoryStore, keys_of

from storage.errors import StorageError
from storage.object_store import open_store, probe


class _Forgetful(HookedStore):
    """The first answer to every conditional write is lost; the retry is what is answered."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        super().put_if_absent(key, data)
        return super().put_if_absent(key, data)


def test_the_probe_of_a_sound_store_bears_a_lost_answer() -> None:
    store = MemoryStore()
    probe(_Forgetful(store))
    assert keys_of(store) == []


class _BreakingOff(BaseHTTPRequestHandler):
    """Serves ten bytes, and of the first answers only five of them."""

    protocol_version = "HTTP/1.1"
    left: list[int]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        breaks_off = bool(self.left) and self.left.pop() > 0
        self.wfile.write(b"01234" if breaks_off else b"0123456789")
        self.close_connection = breaks_off

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def breaking_off() -> Iterator[tuple[str, list[int]]]:
    """The server's endpoint, and a list with one entry per answer that will break off."""
    left: list[int] = []
    handler = type("_Handler", (_BreakingOff,), {"left": left})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", left
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("s3_server")
def test_a_body_that_breaks_off_is_read_again(
    breaking_off: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint_url, left = breaking_off
    store = open_store("s3://bucket/prefix", endpoint_url=endpoint_url)
    left += [1, 1, 1]
    assert store.get("key") == b"0123456789"
    assert left == []
    left += [1]
    assert store.get_range("key", 0, 10) == b"0123456789"
    monkeypatch.setattr("storage.s3._PAUSE_S", 0.01)
    left += [1] * 4  # more than botocore repeats; the store is waited for
    assert store.get("key") == b"0123456789"
    monkeypatch.setattr("storage.s3._PATIENCE_S", 0.0)
    left += [1] * 4
    with pytest.raises(StorageError, match="key 'key'"):
        store.get("key")
