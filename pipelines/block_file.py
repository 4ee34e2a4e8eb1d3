"""A file that lies elsewhere, read block by block: seekable like a file on a disk, fetched only where it is read.

Enters: a function that fetches a range of bytes. Leaves: a binary file for decoders that seek. A clip of ten seconds
out of an hour of sound costs its header and one or two blocks.
"""

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

from storage.errors import StorageError

BLOCK_BYTES = 1 << 20
_MAX_BLOCKS = 16  # kept in memory: decoders go to and fro between the header, an index at the end and the samples


class BlockFile(io.RawIOBase):
    """A read-only file over `fetch`.

    Args:
        fetch: (start, length) → that part of the file, both in bytes; may raise StorageError.
        size_bytes: of the whole file.
        block_bytes: fetched at a time.

    Attributes:
        failure: the first StorageError of `fetch`. libsndfile and FFmpeg swallow what a file object raises and see the
            end of the file instead, so that a lost connection would pass for a truncated recording.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> None:
        self._fetch, self._size_bytes, self._block_bytes = fetch, size_bytes, block_bytes
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failure: StorageError | None = None

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
        """Fills `buffer` from one block; `io.BufferedReader` asks again until it has enough."""
        index, offset = divmod(self._position, self._block_bytes)
        wanted = min(len(buffer), self._size_bytes - self._position)
        part = self._block(index)[offset : offset + wanted] if wanted > 0 else b""
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            start = index * self._block_bytes
            length = min(self._block_bytes, self._size_bytes - start)
            self._blocks[index] = self._fetched(start, length)
            if len(self._blocks) > _MAX_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(index)
        return self._blocks[index]

    def _fetched(self, start: int, length: int) -> bytes:
        try:
            data = self._fetch(start, length)
            if len(data) != length:
                raise StorageError(f"a file of {self._size_bytes} bytes ended at {start + len(data)} while it was read")
            return data
        except StorageError as e:
            self.failure = self.failure or e
            raise


def open_blocks(
    fetch: Callable[[int, int], bytes], size_bytes: int, *, block_bytes: int = BLOCK_BYTES
) -> io.BufferedReader:
    """A buffered `BlockFile`, so that the many small reads of a header cost no call each."""
    return io.BufferedReader(BlockFile(fetch, size_bytes, block_bytes=block_bytes))


def failure_of(file: BinaryIO) -> StorageError | None:
    """What went wrong while `file` was read by a decoder that swallows errors; None for files on a disk."""
    return getattr(getattr(file, "raw", None), "failure", None)
