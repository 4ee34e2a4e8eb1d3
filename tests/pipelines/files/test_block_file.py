"""A file read block by block is the file, however it is read, and keeps only so many blocks."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.files.block_file import BlockFile, open_blocks
from storage.errors import StorageError

_WHENCE = st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
_STEPS = st.lists(st.tuples(_WHENCE, st.integers(-40, 120), st.integers(-1, 90)), max_size=20)


class _Server:
    """Bytes elsewhere, and what was asked for."""

    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, list[tuple[int, int]]()

    def fetch(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        return self.content[start : start + length]


@given(content=st.binary(max_size=100), block_bytes=st.integers(1, 40), steps=_STEPS)
def test_any_seeks_and_reads_are_those_of_a_file_in_memory(
    content: bytes, block_bytes: int, steps: list[tuple[int, int, int]]
) -> None:
    ours = open_blocks(_Server(content).fetch, len(content), block_bytes=block_bytes)
    theirs = io.BytesIO(content)
    for whence, offset, length in steps:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: theirs.tell(), io.SEEK_END: len(content)}[whence]
        if base + offset >= 0:
            assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.read(length) == theirs.read(length)
        assert ours.tell() == theirs.tell()


def test_a_place_before_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot seek to -1"):
        BlockFile(_Server(b"abc").fetch, 3).seek(-1)


def test_a_block_is_fetched_once_until_16_others_have_been_used() -> None:
    server = _Server(bytes(100))
    file = BlockFile(server.fetch, 100, block_bytes=4)

    def read_block(index: int) -> None:
        file.seek(4 * index)
        assert file.read(4) == bytes(4)

    for index in [*range(16), 0, 16, 0]:  # 0 is used again before 16 comes: 1 has to go
        read_block(index)
    assert [start // 4 for start, _ in server.asked] == [*range(17)]
    read_block(1)
    assert server.asked[-1] == (4, 4)


def test_a_file_that_is_shorter_than_it_was_is_no_end_of_file() -> None:
    file = open_blocks(_Server(b"abc").fetch, 10)
    with pytest.raises(StorageError, match="a file of 10 bytes ended at 3"):
        file.read()
