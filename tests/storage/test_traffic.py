"""Bytes to and from S3 are told to whoever listens, once, and none of a local store's."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import traffic
from storage.errors import ObjectNotFound
from storage.object_store import open_store


@pytest.fixture
def heard() -> Iterator[Counter[str]]:
    found, before = Counter[str](), list(traffic._listeners)

    def hear(direction: traffic.Direction, num_bytes: int) -> None:
        found[direction] += num_bytes

    traffic.listen(hear)
    yield found
    traffic._listeners[:] = before


def test_bodies_of_s3_are_counted(s3_uri: str, heard: Counter[str]) -> None:
    store = open_store(s3_uri)
    store.put("a", b"12345")
    assert store.put_if_absent("b", b"123")
    assert heard == {"put": 8}
    assert not store.put_if_absent("b", b"1234567")  # it was sent all the same
    assert heard == {"put": 15}
    store.get("a")
    store.get_range("a", 1, 3)
    store.get_range("a", 9, 3)
    with pytest.raises(ObjectNotFound):
        store.get("c")
    list(store.list(""))
    store.size_bytes("a")
    store.delete("a")
    assert heard == {"put": 15, "get": 8}


def test_a_local_store_has_no_traffic(tmp_path: Path, heard: Counter[str]) -> None:
    store = open_store(str(tmp_path))
    store.put("a", b"12345")
    store.get("a")
    assert heard == {}


def test_the_last_one_to_listen_hears(s3_uri: str, heard: Counter[str]) -> None:
    tally = traffic.Tally()
    traffic.listen(tally)
    open_store(s3_uri).put("a", b"12345")
    assert heard == {}
    assert tally.take() == {"put": 5}
    assert tally.take() == {}
