"""A store on S3: pages, buckets, credentials, endpoints, and a server that ignores the condition of a write."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.config import Config
from store_toys import keys_of

from storage import s3
from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.object_store import ObjectStore, open_store, probe
from storage.s3 import S3ObjectStore


class TestS3Store:
    def test_a_prefix_keeps_its_stores_apart(self, s3_uri: str) -> None:
        open_store(s3_uri).put("key", b"x")
        assert keys_of(open_store(s3_uri + "-other")) == []
        assert keys_of(open_store(s3_uri.removesuffix("/prefix"))) == ["prefix/key"]
        assert keys_of(open_store(s3_uri + "/")) == ["key"]

    def test_a_listing_has_more_than_one_page(self, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
        store = S3ObjectStore(s3_uri)
        for number in range(10):
            store.put(str(number), b"")
        assert len(store.client.list_objects_v2(Bucket=s3_uri.split("/")[2])["Contents"]) == 3
        assert keys_of(store) == [str(number) for number in range(10)]

    def test_a_missing_bucket_is_named(self, s3_server: str) -> None:
        store = open_store("s3://no-such-bucket/prefix")
        calls: list[Callable[[], object]] = [
            lambda: store.get("key"),
            lambda: store.get_range("key", 0, 1),
            lambda: store.size_bytes("key"),
            lambda: store.put("key", b"x"),
            lambda: store.put_if_absent("key", b"x"),
            lambda: store.delete("key"),
            lambda: list(store.list("")),
            lambda: probe(store),
        ]
        for call in calls:
            with pytest.raises(StorageError, match=r"bucket of s3://no-such-bucket.*Create it") as caught:
                call()
            assert not isinstance(caught.value, ObjectNotFound)
            assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)

    def test_a_dead_endpoint_is_named(self, s3_server: str) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
            endpoint_url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            with pytest.raises(StorageError, match="AWS_ENDPOINT_URL") as caught:
                probe(open_store("s3://bucket/prefix", endpoint_url=endpoint_url))
        assert "s3://bucket/prefix" in str(caught.value)
        assert endpoint_url in str(caught.value)
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)

    def test_missing_credentials_are_named(self, s3_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        with pytest.raises(StorageError, match=r"no S3 credentials for s3://.*Set AWS_ACCESS_KEY_ID"):
            open_store(s3_uri).put("key", b"x")

    def test_an_endpoint_that_is_no_url_is_named(self, s3_server: str) -> None:
        with pytest.raises(InvalidInput, match=r"storage.endpoint_url: got 'not a url'.*AWS_ENDPOINT_URL"):
            open_store("s3://bucket", endpoint_url="not a url").get("key")


class _CarelessS3(BaseHTTPRequestHandler):
    """S3 as some servers speak it: objects in memory, and `If-None-Match` is not looked at."""

    protocol_version = "HTTP/1.1"  # answers `Expect: 100-continue`, for which botocore would wait a second
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def do_GET(self) -> None:
        self._answer(200, self.objects[self.path])

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self._answer(204, b"")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def careless_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    objects: dict[str, bytes] = {}
    handler = type("_Handler", (_CarelessS3,), {"objects": objects})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", objects
        server.shutdown()
        thread.join()


def test_the_probe_refuses_a_store_that_ignores_the_condition(
    s3_server: str, careless_server: tuple[str, dict[str, bytes]]
) -> None:
    endpoint_url, objects = careless_server
    store = open_store("s3://bucket/prefix", endpoint_url=endpoint_url)
    store.put("key", b"x")
    assert store.get("key") == b"x"  # everything else works, which is what makes it dangerous
    with pytest.raises(StorageError, match=r"s3://bucket/prefix ignores conditional writes.*Use a store"):
        probe(store)
    assert list(objects) == ["/bucket/prefix/key"]


class _SilentS3(BaseHTTPRequestHandler):
    """Carries out every conditional write, and is silent about it while `silent` has entries."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    silent: list[threading.Event]

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        mine = self.objects.setdefault(self.path, data) is data
        if self.silent:
            self.silent.pop().wait(30)
        self.close_connection = True
        with contextlib.suppress(OSError):  # who has waited too long is gone
            self.send_response(200 if mine else 412)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_write_that_was_carried_out_and_never_answered_is_there_once(
    s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = s3._CONFIG.merge(Config(read_timeout=0.3))
    monkeypatch.setattr(s3, "_CONFIG", hurried)
    objects: dict[str, bytes] = {}
    over = threading.Event()
    handler = type("_Handler", (_SilentS3,), {"objects": objects, "silent": [over, over]})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        store = open_store("s3://bucket/prefix", endpoint_url=f"http://127.0.0.1:{server.server_port}")
        # False, as documented: the name is taken, by the first attempt of this very call.
        assert not store.put_if_absent("key", b"mine")
        assert objects == {"/bucket/prefix/key": b"mine"}
        assert store.put_if_absent("other", b"mine")
        over.set()
        server.shutdown()
        thread.join()


class _BusyS3(BaseHTTPRequestHandler):
    """Says of conditional writes that another one is under way, `conflicts` times, and then that the key is taken."""

    protocol_version = "HTTP/1.1"
    conflicts: list[int]

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, code = (409, "ConditionalRequestConflict") if self.conflicts else (412, "PreconditionFailed")
        del self.conflicts[:1]
        body = f"<Error><Code>{code}</Code><Message>conflict</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class TestConflicts:
    @pytest.fixture
    def waits_s(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """How long was waited between tries, which nobody does here."""
        waits_s: list[float] = []
        monkeypatch.setattr(s3, "time", SimpleNamespace(sleep=waits_s.append, monotonic=time.monotonic))
        return waits_s

    @pytest.fixture
    def conflicts(self) -> list[int]:
        return []

    @pytest.fixture
    def busy(self, s3_server: str, conflicts: list[int]) -> Iterator[ObjectStore]:
        handler = type("_Handler", (_BusyS3,), {"conflicts": conflicts})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            store = S3ObjectStore("s3://bucket/prefix", endpoint_url=f"http://127.0.0.1:{server.server_port}")
            yield store
            store.client.close()
            server.shutdown()
            thread.join()

    def test_a_write_waits_longer_and_longer_for_another_one(
        self, busy: ObjectStore, conflicts: list[int], waits_s: list[float]
    ) -> None:
        conflicts += range(4)
        assert not busy.put_if_absent("key", b"x")
        assert len(waits_s) == 4
        assert waits_s[0] > 0
        assert waits_s == sorted(set(waits_s))

    def test_conflicts_without_end_are_told(
        self, busy: ObjectStore, conflicts: list[int], waits_s: list[float]
    ) -> None:
        conflicts += range(100)
        with pytest.raises(StorageError, match=r"key 'key': .*ConditionalRequestConflict"):
            busy.put_if_absent("key", b"x")
        assert 5 < sum(waits_s) < 60
        assert len(conflicts) == 100 - len(waits_s) - 1
