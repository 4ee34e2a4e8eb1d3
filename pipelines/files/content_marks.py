"""A mark of every recording's content, so that a file changed in place is another clip of another data set.

Names and sizes are not enough: all 5-s WAV files have one size, before and after a gain or a denoiser. Enters: a
manifest. Leaves: the same with `Clip.content` filled where that is cheap. On a disk a file of up to 1 MiB has the
MD5 of its bytes, a larger one a hash of a piece of every MiB. An object below an s3:// root has its ETag, which the
listing brings along; for a small object put in one piece that is the MD5 too, so that such a tree is one data set here
and there. What lies elsewhere (another bucket, the web) goes unmarked. A file of many examples is looked at once.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipelines.files.recordings import Recordings
from pipelines.iq.uri import file_of
from pipelines.manifest import Manifest
from storage.errors import ObjectNotFound, UnreadableFile

# A 5-s clip at 44.1 kHz has 441 KB. Of larger files a sixty-fourth is read: nothing that is longer than 1 MiB, which is
# 12 s of mono sound at 44.1 kHz and 16 bits, can be replaced unseen. A shorter edit in the middle can.
_SMALL_FILE_BYTES = 1024 * 1024
_PIECE_BYTES = 16 * 1024
_EVERY_BYTES = 1024 * 1024
_NUM_THREADS = 8


def mark_contents(
    manifest: Manifest, recordings: Recordings, *, on_progress: Callable[[int, int], None] = lambda done, in_all: None
) -> Manifest:
    """The manifest with every clip's `content`; the same files give the same marks wherever they lie on a disk.

    Raises:
        StorageError: a server is at fault, or the recordings lie on a disk that fails.
    """
    etags = {} if recordings.is_local else recordings.etags()
    files = [file_of(clip.uri) for clip in manifest.clips]
    uris = list(dict.fromkeys(files))
    marks: dict[str, str] = {}
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for done, (uri, mark) in enumerate(
            zip(uris, pool.map(lambda uri: _mark(recordings, uri, etags), uris), strict=True)
        ):
            marks[uri] = mark
            on_progress(done + 1, len(uris))
    clips = tuple(
        dataclasses.replace(clip, content=marks[file]) for clip, file in zip(manifest.clips, files, strict=True)
    )
    return dataclasses.replace(manifest, clips=clips)


def _mark(recordings: Recordings, uri: str, etags: dict[str, str]) -> str:
    absolute = recordings.uri(uri)
    if "://" in absolute and not absolute.startswith("file://"):
        return etags.get(absolute.removeprefix(f"{recordings.root}/"), "")
    try:
        file = recordings.open(uri)
    except ObjectNotFound:  # the worker says so
        return ""
    except UnreadableFile:
        if recordings.sizes([uri])[uri] is None:  # a folder, a pipe, no name of a file: the worker says which
            return ""
        raise  # told before the work, which would be that of another data set once the file can be read
    with file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size_bytes <= _SMALL_FILE_BYTES:
            return hashlib.md5(file.read(), usedforsecurity=False).hexdigest()
        digest = hashlib.md5(str(size_bytes).encode(), usedforsecurity=False)
        for place in (*range(0, size_bytes - _PIECE_BYTES, _EVERY_BYTES), size_bytes - _PIECE_BYTES):
            file.seek(place)
            digest.update(file.read(_PIECE_BYTES))
    return digest.hexdigest()
