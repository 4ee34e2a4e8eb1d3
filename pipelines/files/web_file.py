"""Files on http(s) servers: whole, in parts, or as a stream. Standard library only.

A server that answers a request for one byte with 206 can be read in parts; what its headers promise is not believed.
That one request also tells the size, and works where HEAD is refused (addresses signed for GET alone).
"""

import functools
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from storage.errors import ObjectNotFound, StorageError, UnreadableFile

T = TypeVar("T")
_Response = http.client.HTTPResponse | urllib.error.HTTPError
_TIMEOUT_S = 30.0
_PAUSES_S = (0.5, 1.0, 2.0)  # before the second, third and fourth attempt
_MISSING = {404, 410}
_REFUSED = {401, 403, 407}
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}
_STREAM_BYTES = 1 << 20
# Of a server that gives no parts, a file is held in memory; what one announces or sends may have no end.
MAX_WHOLE_BYTES = 2 << 30
_NOT_QUOTED = "%/:=&?~+!$,;'@()*[]"


@dataclass(frozen=True, kw_only=True, slots=True)
class WebInfo:
    """What a server says of a file: its size, None where it does not know, and whether it gives parts."""

    size_bytes: int | None
    gives_ranges: bool


def describe(url: str) -> WebInfo:
    """Asks for the first byte.

    Raises:
        ObjectNotFound: 404 or 410.
        UnreadableFile: the server does not take the request, or the address cannot be one.
        StorageError: the server is down, refuses access (401, 403) or fails, after four attempts.
    """

    def look(response: _Response) -> WebInfo:
        total = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
        if response.status in (206, 416) and total:
            return WebInfo(size_bytes=int(total[1]), gives_ranges=True)
        length = response.headers.get("Content-Length", "")
        known = response.status == 200 and length.isdecimal()
        if known and int(length) > MAX_WHOLE_BYTES:
            raise _too_large(url)
        return WebInfo(size_bytes=int(length) if known else None, gives_ranges=False)

    return _ask(url, look, wanted="bytes=0-0")


def read_whole(url: str) -> bytes:
    """All bytes of a file, at most MAX_WHOLE_BYTES. Raises as `describe`."""
    return _ask(url, lambda response: _body(url, response))


def read_range(url: str, start: int, length: int) -> bytes:
    """`length` bytes from byte `start` on. Raises as `describe`."""

    def take(response: _Response) -> bytes:
        if response.status == 416:
            return b""
        data = _body(url, response)
        return data if response.status == 206 else data[start : start + length]

    return _ask(url, take, wanted=f"bytes={start}-{start + length - 1}")


def stream(url: str) -> Iterator[tuple[bytes, int | None]]:
    """The file in pieces, each with the size of the whole file where the server tells it.

    One attempt: a caller that has kept half of the pieces must begin again.

    Raises:
        As `describe`; StorageError also where the stream ends before its announced length.
    """
    try:
        with _opener().open(_request(url), timeout=_TIMEOUT_S) as response:
            announced = response.headers.get("Content-Length", "")
            size_bytes = int(announced) if announced.isdecimal() else None
            num_read = 0
            while piece := response.read(_STREAM_BYTES):
                num_read += len(piece)
                yield piece, size_bytes
    except (OSError, http.client.HTTPException) as e:
        raise _domain_error(url, e) from e
    except ValueError as e:
        raise UnreadableFile(url, "no web address") from e
    if size_bytes is not None and num_read != size_bytes:
        raise StorageError(f"{url} ended after {num_read} of {size_bytes} bytes. Try again.")


def _body(url: str, response: _Response) -> bytes:
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal():
        if int(announced) > MAX_WHOLE_BYTES:
            raise _too_large(url)
        return response.read()  # raises where the body is shorter
    pieces, num_bytes = [], 0
    while piece := response.read(_STREAM_BYTES):
        pieces.append(piece)
        num_bytes += len(piece)
        if num_bytes > MAX_WHOLE_BYTES:
            raise _too_large(url)
    return b"".join(pieces)


def _ask(url: str, use: Callable[[_Response], T], *, wanted: str | None = None) -> T:
    request = _request(url, wanted)
    for pause_s in (*_PAUSES_S, None):
        try:
            with _opener().open(request, timeout=_TIMEOUT_S) as response:
                return use(response)
        except (OSError, http.client.HTTPException) as e:
            if wanted and isinstance(e, urllib.error.HTTPError) and e.code == 416:  # the file ends before that part
                with e:
                    return use(e)
            if pause_s is None or not _is_worth_another_try(e):
                raise _domain_error(url, e) from e
            time.sleep(pause_s)
        except ValueError as e:  # a host name that cannot be one
            raise UnreadableFile(url, "no web address") from e
    raise AssertionError("the loop above returns or raises")


def _request(url: str, wanted: str | None = None) -> urllib.request.Request:
    headers = {"User-Agent": "melsweep"} | ({"Range": wanted} if wanted else {})
    try:
        return urllib.request.Request(urllib.parse.quote(url, safe=_NOT_QUOTED), headers=headers)
    except ValueError as e:
        raise UnreadableFile(url, "no web address") from e


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener()  # reads the machine's certificates, which takes longer than a small file


def _is_worth_another_try(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _WORTH_ANOTHER_TRY
    return not isinstance(error, http.client.InvalidURL)


def _too_large(url: str) -> UnreadableFile:
    return UnreadableFile(url, f"more than {MAX_WHOLE_BYTES >> 30} GiB from a server that gives no parts of a file")


def _domain_error(url: str, error: Exception) -> StorageError:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code in _MISSING:
            return ObjectNotFound(f"there is no {url}")
        if error.code in _REFUSED:
            return StorageError(
                f"{url}: the server refuses access ({error.code}). Give addresses that need no password."
            )
        if error.code not in _WORTH_ANOTHER_TRY and error.code < 500:
            return UnreadableFile(url, f"the server answers {error.code}")
        return StorageError(f"{url}: the server answers {error.code}. Run the same command again later.")
    if isinstance(error, http.client.InvalidURL):
        return UnreadableFile(url, "no web address")
    reason = getattr(error, "reason", error)
    return StorageError(f"{url} cannot be read ({reason!r}). Check that the server is up and this machine reaches it.")
