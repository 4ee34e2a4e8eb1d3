"""The driver's own questions to a store: what its log tells of one that is away, and how its end is told."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from store_toys import MemoryStore

from storage import s3, vigil
from storage.errors import StorageError, StoreOutOfReach
from storage.local import LocalObjectStore
from storage.object_store import ObjectInfo
from storage.s3 import S3ObjectStore
from storage.vigil import Vigil


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "_EVERY_S", 0.01)
    monkeypatch.setattr(s3, "_PAUSE_S", 0.01)


class _Moody(MemoryStore):
    """Raises what it holds, one after the other, and tells when it was asked in vain for something to raise."""

    def __init__(self, *errors: StorageError) -> None:
        super().__init__()
        self._errors, self.is_well = list(errors), threading.Event()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if self._errors:
            raise self._errors.pop(0)
        self.is_well.set()
        return super().list(prefix)


def test_nothing_is_told_of_a_store_that_is_there(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    with Vigil(store) as watching:
        threading.Event().wait(0.1)
        watching.check()
    assert not list(tmp_path.iterdir())


def test_a_store_out_of_reach_is_told_to_whoever_asks() -> None:
    with Vigil(_Moody(StoreOutOfReach("it is away"))) as watching:
        watching._thread.join(10)
        with pytest.raises(StoreOutOfReach, match="it is away"):
            watching.check()


def test_an_error_of_an_object_is_left_to_whoever_needs_it() -> None:
    store = _Moody(StorageError("one object is damaged"))
    with Vigil(store) as watching:
        assert store.is_well.wait(10)
        watching.check()


def test_the_log_tells_of_an_s3_that_is_away_though_nobody_else_asks(
    s3_uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3ObjectStore(s3_uri)
    store.put("key", b"x")

    def nobody(**request: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://s3.example")

    monkeypatch.setattr(store.client, "list_objects_v2", nobody)
    monkeypatch.setattr(s3, "_PATIENCE_S", 0.2)
    with Vigil(store) as watching:
        watching._thread.join(10)
    assert watching.error is not None
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told.startswith(f"{s3_uri} does not answer")
    assert "asking on for" in told
