"""Objects on S3 through boto3, the only file that imports it. One PUT per object, conditional where it matters.

Every request may be made twice without harm, so an outage is waited out: whoever has had an answer before asks again
for ten minutes. A store that never answered is reported at once, as its address is probably wrong, and so is one that
was waited for in vain: what a process asks of it on its way out would cost ten minutes each time.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NoConnection

from storage import traffic
from storage.errors import InvalidInput, ObjectNotFound, StorageError, StoreOutOfReach
from storage.object_store import ObjectInfo, check_key, check_prefix

# A dead endpoint is reported within half a minute; SlowDown and 5xx answers are waited out by botocore's retries.
_CONFIG = Config(
    connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 4}, max_pool_connections=32
)
# Another write of the same key takes as long as any request does; whoever ends first leaves the key taken.
_CONFLICT_WAITS_S = (0.1, 0.3, 1.0, 3.0, 5.0)
# botocore tries a request again, but not an answer that breaks off while its body is read.
_BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_BODY_ATTEMPTS = 4
_PATIENCE_S, _PAUSE_S, _TOLD_EVERY_S = 600.0, 5.0, 60.0
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)


class S3ObjectStore:
    """`ObjectStore` under `s3://bucket/prefix`. Credentials come from boto3's usual places, never from settings."""

    def __init__(self, uri: str, *, endpoint_url: str | None = None) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise InvalidInput(
                "storage.uri", given=uri, allowed="s3://bucket/prefix", remedy="Name the bucket after s3://."
            )
        self.uri = uri.rstrip("/")
        self.endpoint_url = endpoint_url
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._client: Any = None
        self._has_answered = False  # travels with the store to other processes
        self._told_at = -math.inf  # of an outage; one line a minute, however many threads ask

    def __getstate__(self) -> dict[str, Any]:
        # Clients hold sockets and locks: every process makes its own. Another machine has another clock.
        return {**self.__dict__, "_client": None, "_told_at": -math.inf}

    @property
    def client(self) -> Any:
        """Made when first needed.

        Raises:
            InvalidInput: the endpoint is no address.
        """
        if self._client is None:
            try:
                self._client = boto3.session.Session().client("s3", endpoint_url=self.endpoint_url, config=_CONFIG)
            except ValueError as e:  # botocore's answer to an endpoint that is no url
                raise InvalidInput(
                    "storage.endpoint_url",
                    given=self.endpoint_url,
                    allowed="http://host:port or https://host:port",
                    remedy="Correct it, or the environment variable AWS_ENDPOINT_URL.",
                ) from e
        return self._client

    def get(self, key: str) -> bytes:
        try:
            return self._body(Key=self._key(key))
        except (ClientError, BotoCoreError) as e:
            raise self._domain_error(e, key) from e

    def get_range(self, key: str, start: int, length: int) -> bytes:
        wanted = f"bytes={start}-{start + length - 1}"
        try:
            return self._body(Key=self._key(key), Range=wanted)
        except ClientError as e:
            if _error_code(e) in {"InvalidRange", "416"}:  # the object ends before `start`
                return b""
            raise self._domain_error(e, key) from e
        except BotoCoreError as e:
            raise self._domain_error(e, key) from e

    def size_bytes(self, key: str) -> int | None:
        try:
            return int(self._ask(self.client.head_object, Key=self._key(key))["ContentLength"])
        except (ClientError, BotoCoreError) as e:
            error = self._domain_error(e, key)
            if not isinstance(error, ObjectNotFound):
                raise error from e
        try:
            return len(self.get_range(key, 0, 1))  # a 404 without a body: only GET tells a lost key from a lost bucket
        except ObjectNotFound:
            return None

    def put(self, key: str, data: bytes) -> None:
        try:
            self._ask(self.client.put_object, Key=self._key(key), Body=data)
        except (ClientError, BotoCoreError) as e:
            raise self._domain_error(e, key) from e
        traffic.tell("put", len(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        for wait_s in (*_CONFLICT_WAITS_S, None):
            try:
                self._ask(self.client.put_object, Key=self._key(key), Body=data, IfNoneMatch="*")
                traffic.tell("put", len(data))
                return True
            except ClientError as e:
                code = _error_code(e)
                if code in {"PreconditionFailed", "412"}:
                    traffic.tell("put", len(data))
                    return False
                # 409: another conditional write of this key is under way; S3 asks for another try.
                if code not in {"ConditionalRequestConflict", "409"} or wait_s is None:
                    raise self._domain_error(e, key) from e
                time.sleep(wait_s)
            except BotoCoreError as e:
                raise self._domain_error(e, key) from e
        raise AssertionError("the loop above returns or raises")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix, uri=self.uri)
        try:
            for page in self._pages(self._prefix + prefix):
                for item in page.get("Contents", []):
                    yield ObjectInfo(
                        key=item["Key"].removeprefix(self._prefix),
                        size_bytes=item["Size"],
                        etag=item["ETag"].strip('"'),
                        modified_at=item["LastModified"].timestamp(),
                    )
        except (ClientError, BotoCoreError) as e:
            raise self._domain_error(e, prefix) from e

    def delete(self, key: str) -> None:
        try:
            self._ask(self.client.delete_object, Key=self._key(key))
        except (ClientError, BotoCoreError) as e:
            raise self._domain_error(e, key) from e

    def _pages(self, prefix: str) -> Iterator[Any]:
        going_on: dict[str, str] = {}
        while True:
            page = self._ask(self.client.list_objects_v2, Prefix=prefix, **going_on)
            yield page
            if not page.get("IsTruncated"):
                return
            going_on = {"ContinuationToken": page["NextContinuationToken"]}

    def _body(self, **request: str) -> bytes:
        def read(**request: str) -> bytes:
            for _ in range(_BODY_ATTEMPTS - 1):
                try:
                    return bytes(self.client.get_object(**request)["Body"].read())
                except _BROKEN_BODY:
                    continue
            return bytes(self.client.get_object(**request)["Body"].read())

        data: bytes = self._ask(read, **request)
        traffic.tell("get", len(data))
        return data

    def _ask(self, ask: Callable[..., _Answer], **request: Any) -> _Answer:
        """Makes a request of the bucket, again and again while a store that has answered before is away."""
        began = time.monotonic()
        while True:
            try:
                answer = ask(Bucket=self._bucket, **request)
            except (ClientError, BotoCoreError) as e:
                away_s, is_outage = time.monotonic() - began, _is_outage(e)
                self._has_answered |= isinstance(e, ClientError) and not is_outage
                if not (self._has_answered and is_outage and away_s < _PATIENCE_S):
                    self._has_answered &= not is_outage
                    raise
                if time.monotonic() - self._told_at >= _TOLD_EVERY_S:
                    self._told_at = time.monotonic()
                    _log.warning("%s does not answer (%s); asking on for %.0f s", self.uri, e, _PATIENCE_S - away_s)
                time.sleep(_PAUSE_S)
            else:
                self._has_answered = True
                return answer

    def _key(self, key: str) -> str:
        check_key(key, uri=self.uri)
        return self._prefix + key

    def _domain_error(self, error: Exception, key: str) -> StorageError:
        where = self.uri + (f" at {self.endpoint_url}" if self.endpoint_url else "")
        if isinstance(error, NoCredentialsError):
            return StoreOutOfReach(
                f"no S3 credentials for {where}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile."
            )
        if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
            return StoreOutOfReach(
                f"{where} does not answer. Check the endpoint (AWS_ENDPOINT_URL) and that the server is up."
            )
        if isinstance(error, ClientError):
            code = _error_code(error)
            if code in {"NoSuchKey", "404"}:
                return ObjectNotFound(f"{self.uri} has no object {key!r}")
            if code == "NoSuchBucket":
                return StoreOutOfReach(f"the bucket of {where} does not exist. Create it, or correct storage.uri.")
            if code in {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
                return StoreOutOfReach(
                    f"{where} refused access to {key!r} ({code}). Check the credentials and their policy."
                )
        kind = StoreOutOfReach if _is_outage(error) else StorageError
        return kind(f"{where}, key {key!r}: {error}")


def _is_outage(error: Exception) -> bool:
    """Whether the store may answer later: nothing was answered, or that it is overloaded or out of order."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429
    return isinstance(error, HTTPClientError | NoConnection | IncompleteReadError)


def _error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
