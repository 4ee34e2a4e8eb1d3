"""An S3 that is away for a while: whoever has had an answer before waits for it, and nobody else does."""

import logging
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from store_toys import keys_of

from storage import s3
from storage.errors import StorageError, StoreOutOfReach
from storage.s3 import S3ObjectStore

_URL = "http://s3.example"
_OUTAGES: dict[str, Exception] = {
    "nobody listens": EndpointConnectionError(endpoint_url=_URL),
    "no answer": ReadTimeoutError(endpoint_url=_URL),
    "overloaded": ClientError(
        {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}},  # type: ignore[typeddict-item]
        "PutObject",
    ),
}


class _Clock:
    """Nobody waits here: who sleeps moves it on."""

    def __init__(self) -> None:
        self.now_s, self.waits_s = 100.0, list[float]()

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.waits_s.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(s3, "time", SimpleNamespace(sleep=clock.sleep, monotonic=clock.monotonic))
    return clock


def _go_away(store: S3ObjectStore, method: str, outages: list[Exception]) -> None:
    """Answers calls of a client's method with these errors first, the last of the list first."""
    ask: Callable[..., Any] = getattr(store.client, method)

    def asked(**request: Any) -> Any:
        if outages:
            raise outages.pop()
        return ask(**request)

    setattr(store.client, method, asked)


@pytest.mark.parametrize("kind", _OUTAGES)
def test_a_store_that_has_answered_before_is_waited_for(
    kind: str, s3_uri: str, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = S3ObjectStore(s3_uri)
    assert store.put_if_absent("first", b"1")
    _go_away(store, "put_object", [_OUTAGES[kind]] * 5)
    with caplog.at_level(logging.WARNING):
        assert store.put_if_absent("second", b"2")
    assert len(clock.waits_s) == 5
    assert store.get("second") == b"2"
    (told,) = [record.getMessage() for record in caplog.records if record.name == "storage.s3"]
    assert "does not answer" in told
    assert s3_uri in told


def test_reading_and_listing_wait_too(s3_uri: str, clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    store = S3ObjectStore(s3_uri)
    for key in "abcde":
        store.put(key, key.encode())
    for method in ("get_object", "list_objects_v2", "head_object", "delete_object"):
        _go_away(store, method, [_OUTAGES["nobody listens"]] * 2)
    assert store.get("a") == b"a"
    assert store.size_bytes("b") == 1
    store.delete("e")
    found: list[str] = []
    for info in store.list(""):
        if not found:
            _go_away(store, "list_objects_v2", [_OUTAGES["nobody listens"]])  # between two pages
        found.append(info.key)
    assert found == keys_of(store) == ["a", "b", "c", "d"]
    assert len(clock.waits_s) == 9


def test_an_outage_without_end_is_told_after_ten_minutes(s3_uri: str, clock: _Clock) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("key", b"x")
    _go_away(store, "get_object", [_OUTAGES["nobody listens"]] * 1000)
    with pytest.raises(StoreOutOfReach, match="does not answer"):
        store.get("key")
    assert 590 <= sum(clock.waits_s) <= 610


def test_a_store_that_was_waited_for_in_vain_is_not_waited_for_again_until_it_answers(
    s3_uri: str, clock: _Clock
) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("key", b"x")
    outages = [_OUTAGES["overloaded"]] * 1000
    _go_away(store, "get_object", outages)
    for _ in range(3):
        with pytest.raises(StoreOutOfReach):
            store.get("key")
    assert 590 <= sum(clock.waits_s) <= 610
    outages.clear()
    assert store.get("key") == b"x"
    outages += [_OUTAGES["overloaded"]] * 2
    assert store.get("key") == b"x"


def test_an_outage_is_told_once_a_minute_however_many_ask(
    s3_uri: str, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("key", b"x")
    for _ in range(6):
        _go_away(store, "get_object", [_OUTAGES["nobody listens"]] * 4)
        assert store.get("key") == b"x"
    assert sum(clock.waits_s) == 120
    assert sum(record.name == "storage.s3" for record in caplog.records) == 2


def test_a_store_that_has_never_answered_is_told_at_once(s3_uri: str, clock: _Clock) -> None:
    store = S3ObjectStore(s3_uri)
    _go_away(store, "get_object", [_OUTAGES["nobody listens"]])
    with pytest.raises(StorageError, match="does not answer"):
        store.get("key")
    assert not clock.waits_s


def test_another_process_knows_that_the_store_has_answered(s3_uri: str, clock: _Clock) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("key", b"x")
    copied = pickle.loads(pickle.dumps(store))
    _go_away(copied, "get_object", [_OUTAGES["nobody listens"]])
    assert copied.get("key") == b"x"
    assert len(clock.waits_s) == 1


def test_a_refusal_is_no_outage(s3_uri: str, clock: _Clock) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("key", b"x")
    refused = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
        "GetObject",
    )
    _go_away(store, "get_object", [refused])
    with pytest.raises(StoreOutOfReach, match="refused access"):
        store.get("key")
    assert not clock.waits_s


def test_what_is_at_fault_with_one_object_is_no_fault_of_the_store(s3_uri: str) -> None:
    store = S3ObjectStore(s3_uri)
    too_large = ClientError(
        {"Error": {"Code": "EntityTooLarge"}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[typeddict-item]
        "PutObject",
    )
    _go_away(store, "put_object", [too_large])
    with pytest.raises(StorageError, match="EntityTooLarge") as caught:
        store.put("key", b"x")
    assert not isinstance(caught.value, StoreOutOfReach)
    with pytest.raises(StorageError) as caught:
        store.get("nothing")
    assert not isinstance(caught.value, StoreOutOfReach)
