"""What every object store owes, held on the local disk and on S3 over HTTP."""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from store_toys import keys_of

from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.object_store import ObjectStore, open_store, probe

_NUM_WRITERS = 16


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
        assert keys_of(store) == []
        with pytest.raises(ObjectNotFound):
            store.get("folder/key")

    def test_delete_leaves_the_neighbours(self, store: ObjectStore) -> None:
        store.put("folder/a", b"x")
        store.put("folder/ab", b"x")
        store.delete("folder/a")
        store.delete("folder")
        assert keys_of(store) == ["folder/ab"]

    def test_a_listing_is_sorted_by_key_and_knows_the_sizes(self, store: ObjectStore) -> None:
        # "b-1" and "b.x" sort on either side of "b/…", which a walk through folders gets wrong.
        keys = ["b/2", "b/10", "a", "b-1", "b.x", "b/1/deep", "B", "ü"]
        for size, key in enumerate(keys):
            store.put(key, b"x" * size)
        assert keys_of(store) == sorted(keys)
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
        assert keys_of(store, prefix) == expected

    def test_a_listing_of_an_empty_store_is_empty(self, store: ObjectStore) -> None:
        assert keys_of(store) == []

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
        assert keys_of(store) == []

    @pytest.mark.parametrize("prefix", ["../", "/", "a/../", "nul\0"])
    def test_prefixes_that_leave_the_store_are_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(StorageError, match="points outside the store"):
            list(store.list(prefix))

    def test_the_probe_accepts_it_and_leaves_nothing(self, store: ObjectStore) -> None:
        probe(store)
        assert keys_of(store) == []


@pytest.mark.parametrize("uri", ["gs://bucket/x", "http://host/x", "s3://", "s3:///prefix", "S3://bucket"])
def test_a_malformed_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"storage.uri: got '.*s3://bucket/prefix") as caught:
        open_store(uri)
    assert uri in str(caught.value)
