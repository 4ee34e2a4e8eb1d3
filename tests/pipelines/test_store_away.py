"""Featurizing while the store is away: the log says so, and the job ends with the store's error."""

import logging
import socket
from typing import Any

import pytest
from botocore.config import Config
from corpus_toys import SETTINGS, SPEC

from pipelines.featurize import featurize
from pipelines.manifest import Manifest
from storage import s3, vigil
from storage.errors import StorageError
from storage.s3 import S3ObjectStore


def test_the_driver_tells_of_it_and_ends_once_a_worker_has_waited_in_vain(
    ray_local: None,
    corpus: Manifest,
    s3_uri: str,
    s3_server: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(vigil, "_EVERY_S", 0.05)
    monkeypatch.setattr(s3, "_CONFIG", s3._CONFIG.merge(Config(retries={"total_max_attempts": 1})))
    own_state = S3ObjectStore.__getstate__

    def without_patience(store: S3ObjectStore) -> dict[str, Any]:  # for workers, who would wait for ten minutes
        return {**own_state(store), "_has_answered": False}

    monkeypatch.setattr(S3ObjectStore, "__getstate__", without_patience)
    store = S3ObjectStore(s3_uri, endpoint_url=s3_server)

    def go_to(endpoint_url: str) -> None:
        store.endpoint_url, store._client = endpoint_url, None

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        try:
            with pytest.raises(StorageError, match="does not answer"):  # the first progress comes before any worker
                featurize(corpus, SPEC, store, SETTINGS, on_progress=lambda done, total: go_to(dead))
        finally:
            go_to(s3_server)
    (told,) = [of.getMessage() for of in caplog.records if of.name == "storage.s3" and of.levelno == logging.WARNING]
    assert "asking on for" in told
    assert featurize(corpus, SPEC, store, SETTINGS).num_clips == len(corpus.clips)
