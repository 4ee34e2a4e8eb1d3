"""What every object store owes, held on the local disk and on S3 over HTTP; then how each of them fails."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.object_store import ObjectStore, open_store, probe
from storage.s3 import S3ObjectStore

_NUM_WRITERS = 16


def _keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


class TestObjectStoreContract:
    def test_what_was_put_is_what_is_got(self, store: ObjectStore) -> None:
        data = bytes(range(256)) * 300
        store.put("a/b/c.bin", data)
        store.put("empty", b"")
        assert store.get("a/b/c.bin") == data
        assert store.get("empty") == b""

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [(0, 4, b"0123"), (3, 1, b"3"), (0, 99, b"0123456789"), (8, 5, b"89"), (10, 5, b""), (99, 5, b"")],
    )
    def test_a_range_is_that_part_of_the_object_and_ends_with_it(
        self, store: ObjectStore, start: int, length: int, expected: bytes
    ) -> None:
        store.put("folder/key", b"0123456789")
        assert store.get_range("folder/key", start, length) == expected

    def test_a_range_of_an_empty_object_is_empty(self, store: ObjectStore) -> None:
        store.put("empty", b"")
        assert store.get_range("empty", 0, 10) == b""

    def test_the_size_is_known_without_reading(self, store: ObjectStore) -> None:
        store.put("folder/key", b"12345")
        store.put("empty", b"")
        assert (store.size_bytes("folder/key"), store.size_bytes("empty")) == (5, 0)

    @pytest.mark.parametrize("key", ["nothing", "folder/nothing", "folder", "folder/key/below"])
    def test_a_key_that_is_not_there_has_no_size_and_no_ranges(self, store: ObjectStore, key: str) -> None:
        store.put("folder/key", b"x")
        assert store.size_bytes(key) is None
        with pytest.raises(ObjectNotFound, match=key):
            store.get_range(key, 0, 10)

    def test_put_replaces(self, store: ObjectStore) -> None:
        store.put("key", b"a long old value")
        store.put("key", b"new")
        assert store.get("key") == b"new"

    @pytest.mark.parametrize("key", ["nothing", "folder/nothing", "folder", "folder/key/below"])
    def test_a_key_that_is_not_there_is_not_found(self, store: ObjectStore, key: str) -> None:
        store.put("folder/key", b"x")
        with pytest.raises(ObjectNotFound, match=key):
            store.get(key)

    def test_delete_removes_and_may_be_repeated(self, store: ObjectStore) -> None:
        store.put("folder/key", b"x")
        for key in ("folder/key", "folder/key", "never there", "folder", "folder/key/below"):
            store.delete(key)
        assert _keys(store) == []
        with pytest.raises(ObjectNotFound):
            store.get("folder/key")

    def test_delete_leaves_the_neighbours(self, store: ObjectStore) -> None:
        store.put("folder/a", b"x")
        store.put("folder/ab", b"x")
        store.delete("folder/a")
        store.delete("folder")
        assert _keys(store) == ["folder/ab"]

    def test_a_listing_is_sorted_by_key_and_knows_the_sizes(self, store: ObjectStore) -> None:
        # "b-1" and "b.x" sort on either side of "b/…", which a walk through folders gets wrong.
        keys = ["b/2", "b/10", "a", "b-1", "b.x", "b/1/deep", "B", "ü"]
        for size, key in enumerate(keys):
            store.put(key, b"x" * size)
        assert _keys(store) == sorted(keys)
        assert {info.key: info.size_bytes for info in store.list("")} == {key: i for i, key in enumerate(keys)}

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("x/part-", ["x/part-1", "x/part-2/deep"]),
            ("x/", ["x/other", "x/part-1", "x/part-2/deep"]),
            ("x", ["x/other", "x/part-1", "x/part-2/deep", "xy"]),
            ("x/part-1", ["x/part-1"]),
            ("x/part-1/", []),
            ("nothing/", []),
            ("nothing/below/it", []),
        ],
    )
    def test_a_prefix_is_the_beginning_of_a_key(self, store: ObjectStore, prefix: str, expected: list[str]) -> None:
        for key in ("x/part-1", "x/part-2/deep", "x/other", "xy", "other/x/part-1"):
            store.put(key, b"x")
        assert _keys(store, prefix) == expected

    def test_a_listing_of_an_empty_store_is_empty(self, store: ObjectStore) -> None:
        assert _keys(store) == []

    def test_the_first_conditional_write_wins(self, store: ObjectStore) -> None:
        assert store.put_if_absent("folder/key", b"first")
        assert not store.put_if_absent("folder/key", b"second")
        assert store.get("folder/key") == b"first"
        store.delete("folder/key")
        assert store.put_if_absent("folder/key", b"third")

    def test_of_racing_threads_exactly_one_wins(self, store: ObjectStore) -> None:
        with ThreadPoolExecutor(_NUM_WRITERS) as pool:
            for round_number in range(5):
                key = f"round/{round_number}"
                start = threading.Barrier(_NUM_WRITERS)

                def write(number: int, key: str = key, start: threading.Barrier = start) -> bool:
                    start.wait()
                    return store.put_if_absent(key, b"%d" % number)

                won = list(pool.map(write, range(_NUM_WRITERS)))
                assert won.count(True) == 1
                assert store.get(key) == b"%d" % won.index(True)

    def test_a_reader_sees_a_whole_value_while_it_is_replaced(self, store: ObjectStore) -> None:
        values = [b"a" * 200_000, b"b" * 100_000]
        store.put("key", values[0])
        seen, done = set(), threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(store.get("key"))

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            for number in range(40):
                store.put("key", values[number % 2])
            done.set()
            for reader in readers:
                reader.result()
        assert seen <= set(values)

    def test_a_pickled_store_reaches_the_same_objects(self, store: ObjectStore) -> None:
        store.put("key", b"x")  # an open connection must not hinder pickling
        again = pickle.loads(pickle.dumps(store))
        assert again.get("key") == b"x"
        assert again.uri == store.uri

    @pytest.mark.parametrize("key", ["../x", "a/../../x", "a/../x", "/etc/x", "nul\0x", "", ".", "a//x", "a/"])
    def test_keys_that_are_no_plain_names_are_refused(self, store: ObjectStore, key: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: store.get(key),
            lambda: store.get_range(key, 0, 1),
            lambda: store.size_bytes(key),
            lambda: store.put(key, b"x"),
            lambda: store.put_if_absent(key, b"x"),
            lambda: store.delete(key),
        ]
        for call in calls:
            with pytest.raises(StorageError, match="points outside the store") as caught:
                call()
            assert not isinstance(caught.value, ObjectNotFound)
        assert _keys(store) == []

    @pytest.mark.parametrize("prefix", ["../", "/", "a/../", "nul\0"])
    def test_prefixes_that_leave_the_store_are_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(StorageError, match="points outside the store"):
            list(store.list(prefix))

    def test_the_probe_accepts_it_and_leaves_nothing(self, store: ObjectStore) -> None:
        probe(store)
        assert _keys(store) == []


_RACE = """
from storage.object_store import open_store
store = open_store(sys.argv[1])
wait_for_start()
print(*[key for key in range(60) if store.put_if_absent(f"folder/{key}", sys.argv[2].encode())])
"""

_KILLED = """
import os, signal, sys
from storage.object_store import open_store
os.replace = os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
getattr(open_store(sys.argv[1]), sys.argv[2])("folder/key", b"half")
"""


class TestLocalStore:
    def test_of_racing_processes_exactly_one_wins(
        self, local_uri: str, race_processes: Callable[..., list[str]]
    ) -> None:
        printed = race_processes(_RACE, local_uri, num_processes=6)
        winners = [(int(key), number) for number, keys in enumerate(printed) for key in keys.split()]
        assert sorted(key for key, _ in winners) == list(range(60))
        store = open_store(local_uri)
        assert all(store.get(f"folder/{key}") == b"%d" % number for key, number in winners)
        assert len(list(Path(local_uri, "folder").iterdir())) == 60

    @pytest.mark.parametrize("method", ["put", "put_if_absent"])
    def test_the_left_overs_of_a_killed_writer_do_no_harm(self, local_uri: str, method: str) -> None:
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED, local_uri, method], cwd=Path(__file__).parents[2], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert len(list(Path(local_uri, "folder").iterdir())) == 1  # it did leave something
        store = open_store(local_uri)
        assert _keys(store) == _keys(store, "folder/k") == []
        with pytest.raises(ObjectNotFound):
            store.get("folder/key")
        assert store.put_if_absent("folder/key", b"whole")
        assert _keys(store) == ["folder/key"]

    def test_a_failed_write_leaves_nothing(self, local_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def full_disk(*_: object) -> None:
            raise OSError(28, "No space left on device")

        store = open_store(local_uri)
        store.put("key", b"old")
        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(StorageError, match=f"{local_uri}: No space left.*disk not full"):
            store.put("key", b"new")
        monkeypatch.undo()
        assert store.get("key") == b"old"
        assert [path.name for path in Path(local_uri).iterdir()] == ["key"]

    def test_a_file_in_the_place_of_its_folder_is_named(self, local_uri: str) -> None:
        Path(local_uri).write_text("not a folder")
        for call in (lambda: open_store(local_uri).put("key", b"x"), lambda: probe(open_store(local_uri))):
            with pytest.raises(StorageError, match=f"{local_uri}: .*Check that the folder is writable"):
                call()

    def test_an_object_cannot_take_the_place_of_a_folder(self, local_uri: str) -> None:
        store = open_store(local_uri)
        store.put("folder/key", b"x")
        for write in (store.put, store.put_if_absent):
            with pytest.raises(StorageError, match="cannot write 'folder'"):
                write("folder", b"x")
        assert _keys(store) == ["folder/key"]

    def test_an_unreadable_folder_is_not_an_empty_one(self, local_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        store = open_store(local_uri)
        store.put("folder/key", b"x")
        monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so permissions cannot be taken away
        with pytest.raises(StorageError, match=f"{local_uri}: Permission denied"):
            _keys(store)

    def test_a_symbolic_link_does_not_lead_out(self, local_uri: str, tmp_path: Path) -> None:
        store = open_store(local_uri)
        store.put("key", b"x")
        Path(local_uri, "link").symlink_to(tmp_path)
        with pytest.raises(StorageError, match="symbolic link"):
            store.put("link/escaped", b"x")
        assert not (tmp_path / "escaped").exists()

    def test_a_file_uri_is_a_path(self, local_uri: str) -> None:
        open_store(f"file://{local_uri}").put("key", b"x")
        assert open_store(local_uri).get("key") == b"x"


class TestS3Store:
    def test_a_prefix_keeps_its_stores_apart(self, s3_uri: str) -> None:
        open_store(s3_uri).put("key", b"x")
        assert _keys(open_store(s3_uri + "-other")) == []
        assert _keys(open_store(s3_uri.removesuffix("/prefix"))) == ["prefix/key"]
        assert _keys(open_store(s3_uri + "/")) == ["key"]

    def test_a_listing_has_more_than_one_page(self, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
        store = S3ObjectStore(s3_uri)
        for number in range(10):
            store.put(str(number), b"")
        assert len(store.client.list_objects_v2(Bucket=s3_uri.split("/")[2])["Contents"]) == 3
        assert _keys(store) == [str(number) for number in range(10)]

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


@pytest.mark.parametrize("uri", ["gs://bucket/x", "http://host/x", "s3://", "s3:///prefix", "S3://bucket"])
def test_a_malformed_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"storage.uri: got '.*s3://bucket/prefix") as caught:
        open_store(uri)
    assert uri in str(caught.value)


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
