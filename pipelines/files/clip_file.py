"""The file of one clip, opened for decoding, with every fault told apart: the clip's, this machine's, a server's.

Enters: recordings and a clip of the manifest. Leaves: a seekable file, `Undecodable` or a `StorageError`.
"""

import io
import socket
from collections.abc import Callable
from typing import BinaryIO

from pipelines.decoding.encoded import READ_WHOLE_BYTES
from pipelines.decoding.rules import Undecodable
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip
from storage.errors import ObjectNotFound, StorageError, UnreadableFile


def open_clip(recordings: Recordings, clip: Clip) -> BinaryIO:
    """The clip's file, wherever it lies; one that fetches what is read, but for small files elsewhere that the clip is
    all of: those are fetched at once.

    Raises:
        Undecodable: with the reason missing_file or unreadable_file.
        StorageError: the fault is not the clip's: a server could not be reached or refused, or a file that the manifest
            saw is not there, or has another size, for this machine.
    """
    if clip.offset_s == 0 and clip.duration_s is None:
        return _open(recordings, clip, lambda: _whole(recordings, clip))
    return open_file(recordings, clip, clip.uri)


def _whole(recordings: Recordings, clip: Clip) -> BinaryIO:
    """In memory, in one request, unless it is so large that the decoder will read it piece by piece."""
    size_bytes = recordings.size_bytes(clip.uri) if clip.size_bytes is None else clip.size_bytes
    if size_bytes is not None and size_bytes > READ_WHOLE_BYTES:
        return recordings.open(clip.uri)
    return io.BytesIO(recordings.read(clip.uri))


def open_file(recordings: Recordings, clip: Clip, uri: str) -> BinaryIO:
    """The file `uri` that a clip lies in among many others: one that fetches what is read.

    Raises:
        As `open_clip`.
    """
    return _open(recordings, clip, lambda: recordings.open(uri))


def _open(recordings: Recordings, clip: Clip, open_it: Callable[[], BinaryIO]) -> BinaryIO:
    try:
        source = open_it()
        size_bytes = source.seek(0, io.SEEK_END)
        source.seek(0)
    except ObjectNotFound as e:
        _refuse_if_seen(recordings, clip, "there is no such file", e)
        raise Undecodable("missing_file", "there is no such file") from e
    except UnreadableFile as e:
        _refuse_if_seen(recordings, clip, e.reason, e)
        raise Undecodable("unreadable_file", e.reason) from e
    if size_bytes != clip.size_bytes:
        _refuse_if_seen(recordings, clip, f"it has {size_bytes} bytes now, the manifest saw {clip.size_bytes}", None)
    return source


def _refuse_if_seen(recordings: Recordings, clip: Clip, what: str, cause: Exception | None) -> None:
    """A file that the manifest has seen and a worker cannot read must not become a permanent quarantine row."""
    if clip.size_bytes is not None:
        raise StorageError(
            f"{socket.gethostname()} cannot read {recordings.uri(clip.uri)} as the manifest saw it: {what}. Make the "
            "recordings readable on every node and run the same command again."
        ) from cause
