"""S3 servers that others wrote: one keeps its promises, two must be refused. What is not installed is skipped."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import boto3
import pytest
from compaction_toys import EVER, SWEEP, once, rows_of, write
from s3_servers import ministack, nanio, s3rver
from store_toys import keys_of

from storage.compaction import compact, tidy
from storage.errors import StorageError
from storage.object_store import open_store, probe

Server = Callable[[Path], AbstractContextManager[str]]


@pytest.mark.usefixtures("s3_server")
def test_another_s3_that_honours_conditions_keeps_the_results_table(tmp_path: Path) -> None:
    with ministack(tmp_path) as endpoint_url:
        boto3.session.Session().client("s3", endpoint_url=endpoint_url).create_bucket(Bucket="bucket")
        store = open_store("s3://bucket/prefix", endpoint_url=endpoint_url)
        probe(store)
        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(lambda number: store.put_if_absent("race", b"%d" % number), range(64))) == 1
        for commit in "abc":
            assert write(store, commit)
        assert not write(store, "b")
        compact(store, SWEEP)
        tidy(store, SWEEP, settled_before=EVER)
        assert not write(store, "b")
        assert rows_of(store) == once(*"abc")
        assert len(keys_of(store, "results/")) == 1


@pytest.mark.parametrize(("server", "key"), [(nanio, None), (s3rver, "S3RVER")])
@pytest.mark.usefixtures("s3_server")
def test_an_s3_that_ignores_conditions_is_refused(
    server: Server, key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
    with server(tmp_path) as endpoint_url:
        boto3.session.Session().client("s3", endpoint_url=endpoint_url).create_bucket(Bucket="bucket")
        store = open_store("s3://bucket/prefix", endpoint_url=endpoint_url)
        store.put("key", b"x")
        assert store.get("key") == b"x"
        with pytest.raises(StorageError, match=r"s3://bucket/prefix ignores conditional writes.*Use a store"):
            probe(store)
        assert keys_of(store) == ["key"]
