"""Objects by key, on a local disk or on S3, behind one small Protocol.

Everything else in this room is written against `ObjectStore`; nothing above it knows where the bytes lie.
`open_store` chooses by the form of the uri, `probe` refuses a store on which the results table would not be safe.
"""

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from storage.addresses import refuse_credentials
from storage.errors import InvalidInput, StorageError


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectInfo:
    """A key, the size of what it holds, and on S3 its ETag: another content has another one.

    Attributes:
        modified_at: when it was written last, in seconds since 1970 by the store's clock.
    """

    key: str
    size_bytes: int
    etag: str = ""
    modified_at: float = field(default=0.0, compare=False)


class ObjectStore(Protocol):
    """Immutable-by-habit objects under `/`-separated keys.

    An implementer owes: every write is atomic (a reader sees the old bytes, the new bytes or nothing, never a part);
    all methods may be called from several threads and processes at once; `put` and `delete` are idempotent; errors of
    the backend become `StorageError`, and so do keys that `check_key` refuses. Instances can be pickled (they travel
    to Ray workers).
    """

    uri: str

    def get(self, key: str) -> bytes:
        """The bytes of `key`. Raises `ObjectNotFound` when there is no such key."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Up to `length` bytes of `key` from byte `start` on; fewer, or none, where the object ends before.

        Args:
            start, length: 0 or more, and 1 or more.

        Raises:
            ObjectNotFound: there is no such key.
        """
        ...

    def size_bytes(self, key: str) -> int | None:
        """The size of `key`, without reading it, or None when there is no such key."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Writes `data`, replacing what was there."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Writes `data` unless the key exists; of several racing writers exactly one wins.

        Returns:
            True if this call's bytes are now stored, False if the key was taken. After a lost answer a retry may say
            False although its own first attempt wrote the bytes: keys are deterministic, so that is the same content.
        """
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, sorted by key; unfinished writes are not among them."""
        ...

    def delete(self, key: str) -> None:
        """Removes `key`; nothing happens when it is not there."""
        ...


_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def check_key(key: str, *, uri: str) -> None:
    """Refuses keys that would leave the store, or name one object on a disk and another on S3.

    Raises:
        StorageError: a NUL, a lone surrogate, a leading or doubled `/`, or a part that is empty, `.` or `..`.
    """
    if _NO_TEXT.search(key) or any(part in {"", ".", ".."} for part in key.split("/")):
        raise StorageError(f"the key {key!r} points outside the store {uri} or is not plain. Use names joined by '/'.")


def check_prefix(prefix: str, *, uri: str) -> None:
    """As `check_key`, for the beginning of a key: the empty text and a trailing `/` are fine."""
    check_key(prefix.rpartition("/")[0] + "/any" if "/" in prefix else prefix + "any", uri=uri)


def open_store(uri: str, *, endpoint_url: str | None = None) -> ObjectStore:
    """Opens the store at `uri`: a local path, `file://…` or `s3://bucket/prefix`.

    Args:
        endpoint_url: for S3 servers other than AWS; defaults to the environment variable AWS_ENDPOINT_URL.

    Raises:
        InvalidInput: nothing, another scheme, an s3 uri without a bucket, or an address with a key in it.
    """
    refuse_credentials("storage.uri", uri)
    if not uri.removeprefix("file://").strip():  # a path of nothing would be the folder that one happens to be in
        raise InvalidInput(
            "storage.uri",
            given=uri,
            allowed="a path, file:// or s3://bucket/prefix",
            remedy="Name a place; a dot is the current folder.",
        )
    if uri.startswith("s3://"):
        from storage.s3 import S3ObjectStore  # boto3 takes a while to import; local runs do without it

        endpoint_url = endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
        refuse_credentials("storage.endpoint_url or AWS_ENDPOINT_URL", endpoint_url or "")
        return S3ObjectStore(uri, endpoint_url=endpoint_url)
    if "://" in uri and not uri.startswith("file://"):
        raise InvalidInput(
            "storage.uri", given=uri, allowed="a path, file:// or s3://bucket/prefix", remedy="Use one of these forms."
        )
    from storage.local import LocalObjectStore

    return LocalObjectStore(Path(uri.removeprefix("file://")))


def probe(store: ObjectStore) -> None:
    """Checks at start that the store can be written and honours conditional writes.

    Some S3 servers ignore `If-None-Match: *` and overwrite silently (rclone's does), which would let two sweeps
    replace each other's results.

    Raises:
        StorageError: the store cannot be written, or the second conditional write replaced the first.
    """
    key = f"_probe/{uuid.uuid4().hex}"
    store.put_if_absent(key, b"first")  # False after a lost answer and a retry, see above; the bytes are ours then, too
    try:
        second = store.put_if_absent(key, b"second")
        kept = store.get(key)
    finally:
        try:
            store.delete(key)
        except StorageError:
            pass  # a store without permission to delete is fine; the probe leaves a few bytes behind
    if second or kept != b"first":
        raise StorageError(
            f"{store.uri} ignores conditional writes (If-None-Match: *), so concurrent runs could overwrite results. "
            "Use a store that honours them (AWS S3, MinIO, Ceph ≥ Squid, a local disk)."
        )
