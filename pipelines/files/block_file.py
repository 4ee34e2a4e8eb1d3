"""A file that lies elsewhere, read block by block: seekable like a file on a disk, fetched only where it is read.

Enters: a function that fetches a range of bytes. Leaves: a binary file for decoders that seek. A clip of ten seconds
out of an hour of sound costs its header and one or two blocks.
"""

import io
from collections import OrderedDict

from storage.ranged_file import Fetch, RangedFile

BLOCK_BYTES = 1 << 20
_MAX_BLOCKS = 16  # kept in memory: decoders go to and fro between the header, an index at the end and the samples


class BlockFile(RangedFile):
    """A `RangedFile` that fetches blocks and keeps the last ones; a read ends with its block.

    Args:
        block_bytes: fetched at a time.
    """

    def __init__(self, fetch: Fetch, size_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> None:
        super().__init__(fetch, size_bytes)
        self._block_bytes = block_bytes
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def _part(self, start: int, length: int) -> bytes:
        index, offset = divmod(start, self._block_bytes)
        return self._block(index)[offset : offset + length]

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            start = index * self._block_bytes
            self._blocks[index] = super()._part(start, min(self._block_bytes, self._size_bytes - start))
            if len(self._blocks) > _MAX_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(index)
        return self._blocks[index]


def open_blocks(fetch: Fetch, size_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> io.BufferedReader:
    """A buffered `BlockFile`, so that the many small reads of a header cost no call each."""
    return io.BufferedReader(BlockFile(fetch, size_bytes, block_bytes=block_bytes))
