"""An encoded file as the decoders want it: small ones in memory, long ones read where they are needed.

Enters: any seekable binary file (a local one, BytesIO, an object on S3 read by ranges). Leaves: an `EncodedFile`.
"""

import io
import os
from types import TracebackType
from typing import Any, BinaryIO

# A file that is decoded whole is read whole up to this size: its reads then are few and run in C. Per 5-s file, best of
# five rounds over 60 files, two busy cores, 2026-11-21: WAV as bytes 431 µs, as an open file 497, unbuffered 480, as a
# descriptor 402; FLAC 2.9, 2.2, 2.3, 3.0 ms and Ogg 5.7, 7.1, 5.9, 6.2 ms, which is noise. A descriptor would do as
# well, but nothing on S3 has one.
READ_WHOLE_BYTES = 64 * 2**20


class EncodedFile:
    """A seekable file behind the two faces that the decoders need: `stream` for C libraries, `read_at` for our checks.

    An exception inside a callback of a C library is printed and forgotten by cffi, and the library takes it for the end
    of the file. A fault of the storage would so become a truncated recording. The stream therefore keeps the first
    exception of its source and plays a file that ends; leaving the `with` block raises it, whatever else was found.

    Attributes:
        stream: has read, readinto, seek and tell; raises nothing.
        size_bytes: of the whole file.
    """

    def __init__(self, source: BinaryIO, *, whole: bool) -> None:
        """Args: whole: most of the file will be decoded, so that it may be read at once."""
        self.size_bytes = source.seek(0, os.SEEK_END)
        source.seek(0)
        self.stream: _Bytes | WatchedFile
        if isinstance(source, io.BytesIO):
            self.stream = _Bytes(source.getvalue())  # shares the memory
        elif whole and self.size_bytes <= READ_WHOLE_BYTES:
            self.stream = _Bytes(_read_fully(source, self.size_bytes))
        else:
            self.stream = WatchedFile(source)

    def __enter__(self) -> "EncodedFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.stream.fault is not None:
            raise self.stream.fault

    def read_at(self, position: int, num_bytes: int) -> bytes:
        """Up to `num_bytes` bytes from `position`; fewer at the end of the file. The stream stays where it was."""
        if position >= self.size_bytes:
            return b""  # a false header may point farther than a seek can go
        before = self.stream.tell()  # an open decoder reads on from there, and libmpg123 does not look
        self.stream.seek(position)
        piece = self.stream.read(num_bytes)
        self.stream.seek(before)
        return piece


class _Bytes(io.BytesIO):
    """Bytes in memory that may be asked to go before their start, as libmpg123 does in damaged files."""

    fault: BaseException | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return super().seek(max(offset, 0) if whence == os.SEEK_SET else offset, whence)


class WatchedFile:
    """A source whose first exception is kept, as `fault`, rather than raised; reads are never short before the end."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self.fault = source, None  # type: BinaryIO, BaseException | None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._source.seek(max(offset, 0) if whence == os.SEEK_SET else offset, whence)
        except Exception as e:
            self._keep(e)
            return 0

    def tell(self) -> int:
        try:
            return self._source.tell()
        except Exception as e:
            self._keep(e)
            return 0

    def read(self, num_bytes: int) -> bytes:
        if self.fault is not None:
            return b""
        try:
            return _read_fully(self._source, num_bytes)
        except Exception as e:
            self._keep(e)
            return b""

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _keep(self, fault: Exception) -> None:
        self.fault = self.fault or fault


def _read_fully(source: BinaryIO, num_bytes: int) -> bytes:
    """An unbuffered file may give less than was asked for; libsndfile would take that for the end."""
    piece = source.read(num_bytes)
    if len(piece) == num_bytes:
        return piece
    pieces = [piece]
    while piece and num_bytes > (held := sum(map(len, pieces))):
        piece = source.read(num_bytes - held)
        pieces.append(piece)
    return b"".join(pieces)
