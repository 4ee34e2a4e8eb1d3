"""An object that lies elsewhere as a seekable file: nothing is fetched but what is read.

Enters: a function that fetches a range of bytes. Leaves: a binary file for libraries that seek, Parquet's for example.
"""

import io
from collections.abc import Callable
from typing import Any

from storage.errors import StorageError

Fetch = Callable[[int, int], bytes]


class RangedFile(io.RawIOBase):
    """A read-only file over `fetch`; each read is one call of it.

    Args:
        fetch: (start, length) → that part of the file, both in bytes; may raise StorageError.
        size_bytes: of the whole file.
    """

    def __init__(self, fetch: Fetch, size_bytes: int) -> None:
        self._fetch, self._size_bytes, self._position = fetch, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size_bytes - self._position)
        part = self._part(self._position, wanted) if wanted > 0 else b""
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _part(self, start: int, length: int) -> bytes:
        """Bytes from `start` on, which lies inside the file; at least one, at most `length`."""
        data = self._fetch(start, length)
        if len(data) != length:
            raise StorageError(f"a file of {self._size_bytes} bytes ended at {start + len(data)} while it was read")
        return data
