"""A published archive becomes a tree on this disk: downloaded, verified, unpacked beside its place, moved in by rename.

Nothing in the archive is trusted: names that lead out and sizes without end are refused, links are left out, every
entry's own checksum is verified, and the tree must be one that its source can read. It appears whole or not at all.
"""

import contextlib
import hashlib
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.files import web_file
from pipelines.files.recordings import Recordings
from pipelines.sources.registry import Source
from storage.errors import InvalidInput, ObjectNotFound, StorageError, UnreadableFile

MAX_ARCHIVE_BYTES = 8 << 30
MAX_UNPACKED_BYTES = 16 << 30
MAX_ENTRIES = 200_000
_PIECE_BYTES = 1 << 20
_ATTEMPTS = 3

Progress = Callable[[str, int, int | None], None]


def fetch_tree(
    source: Source,
    url: str,
    root: Path,
    *,
    sha256: str = "",
    on_progress: Progress = lambda step, done, in_all: None,
) -> str | None:
    """Makes `root` the tree that a zip archive holds; does nothing where it is there already.

    A killed run leaves nothing at `root`, at worst a folder `.<name>.unfinished-…` beside it.

    Args:
        source: reads the tree; what it refuses does not take its place.
        url: http(s)://, s3://, file:// or a path.
        root: a folder that is not there, is empty, or holds the tree.
        sha256: of the archive, in hexadecimal; empty for no check.
        on_progress: called with what is counted, how much is done, and of how much where that is known.

    Returns:
        The archive's SHA-256, or None where the tree was there.

    Raises:
        InvalidInput: the folder holds something else, or the archive is missing, another one, damaged, unsafe, or holds
            no such tree.
        StorageError: the server is at fault, or the disk cannot be written.
    """
    root = root.expanduser().resolve()
    with _writing(root):
        if _is_there(source, root):
            return None
        root.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{root.name}.unfinished-", dir=root.parent))
        try:
            found = download(url, work / "archive.zip", on_progress)
            if sha256 and found != sha256.lower():
                raise InvalidInput(
                    "url",
                    given=f"{url} (sha256 {found})",
                    allowed=f"sha256 {sha256}",
                    remedy="Do not use this archive.",
                )
            unpack(work / "archive.zip", work / "tree", url, on_progress)
            tree = _innermost(work / "tree")
            _refuse_unreadable(source, tree, url)
            os.replace(tree, root)  # atomic; an empty folder in the place is replaced
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return found


def download(url: str, file: Path, on_progress: Progress) -> str:
    """Writes what lies at `url` into `file`; a stream that breaks off is begun again.

    Returns:
        The SHA-256 of what was written.

    Raises:
        InvalidInput: there is no such file, or it is too large.
        StorageError: the server is at fault.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _write(url, file, on_progress)
        except (ObjectNotFound, UnreadableFile) as e:
            raise InvalidInput("url", given=url, allowed="an archive that is there", remedy=f"{e}.") from e
        except StorageError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the loop above returns or raises")


def _write(url: str, file: Path, on_progress: Progress) -> str:
    digest, num_bytes = hashlib.sha256(), 0
    with file.open("wb") as target:
        for piece, size_bytes in _pieces(url):
            num_bytes += len(piece)
            if num_bytes > MAX_ARCHIVE_BYTES:
                raise _refusal(url, f"more than {MAX_ARCHIVE_BYTES >> 30} GiB", "a smaller archive")
            target.write(piece)
            digest.update(piece)
            on_progress("MiB downloaded", num_bytes >> 20, None if size_bytes is None else size_bytes >> 20)
    return digest.hexdigest()


def _pieces(url: str) -> Iterator[tuple[bytes, int | None]]:
    if url.startswith(("http://", "https://")):
        yield from web_file.stream(url)
        return
    elsewhere = Recordings(os.getcwd())
    size_bytes = elsewhere.size_bytes(url)
    with elsewhere.open(url) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece, size_bytes


def unpack(archive: Path, folder: Path, url: str, on_progress: Progress) -> None:
    """Unpacks a zip archive into a new folder and verifies every entry's CRC-32 on the way. Links are left out.

    Raises:
        InvalidInput: no whole zip archive, an entry whose name leads out of the folder, or more than the limits.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not _is_link(entry)]
            if len(entries) > MAX_ENTRIES:
                raise _refusal(url, f"{len(entries):,} entries", f"at most {MAX_ENTRIES:,} entries")
            targets = [folder.joinpath(*_safe_parts(entry.filename, url)) for entry in entries]
            folder.mkdir()
            room_bytes = MAX_UNPACKED_BYTES
            for done, (entry, target) in enumerate(zip(entries, targets, strict=True), start=1):
                room_bytes -= _unpack_entry(opened, entry, target, url, room_bytes)
                on_progress("files unpacked", done, len(entries))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as e:
        raise _refusal(url, f"{e}", "a whole zip archive", remedy="Fetch it again, or from elsewhere.") from e


def _unpack_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, url: str, room_bytes: int) -> int:
    """Returns the bytes written; what the archive says of its sizes is not believed."""
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    num_bytes = 0
    try:
        with opened.open(entry) as source, target.open("xb") as file:
            while piece := source.read(_PIECE_BYTES):
                num_bytes += len(piece)
                if num_bytes > room_bytes:
                    raise _refusal(url, f"more than {MAX_UNPACKED_BYTES >> 30} GiB when unpacked", "a smaller archive")
                file.write(piece)
    except (FileExistsError, NotADirectoryError) as e:
        raise _refusal(url, f"two entries {entry.filename!r}", "every name once") from e
    return num_bytes


def _safe_parts(name: str, url: str) -> list[str]:
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or any(part in {"", ".", ".."} for part in parts):
        raise _refusal(url, f"an entry {name!r}", "an archive whose files stay in their folder")
    return parts


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _innermost(folder: Path) -> Path:
    """Archives wrap their tree in a folder, as `ESC-50-master/`."""
    inside = list(folder.iterdir())
    return _innermost(inside[0]) if len(inside) == 1 and inside[0].is_dir() else folder


def _is_there(source: Source, root: Path) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        source.manifest(Recordings(str(root)), root.name)
        return True
    except InvalidInput as e:
        raise InvalidInput(
            "root",
            given=e.given,
            allowed="a new or empty folder, or the whole data set",
            remedy="Choose another folder.",
        ) from e


def _refuse_unreadable(source: Source, tree: Path, url: str) -> None:
    try:
        source.manifest(Recordings(str(tree)), tree.name)
    except InvalidInput as e:
        raise _refusal(url, str(e.given).replace(str(tree), "its tree"), e.allowed) from e


def _refusal(url: str, what: str, allowed: str, *, remedy: str = "Do not use this archive.") -> InvalidInput:
    return InvalidInput("url", given=f"{url} ({what})", allowed=allowed, remedy=remedy)


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise StorageError(
            f"cannot write {root}: {e.strerror}. Check that its folder is writable and the disk not full."
        ) from e
