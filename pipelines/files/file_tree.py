"""The files below a folder of a disk, as a data set has them: trees of links, hidden files, names of any kind."""

import os
import stat
from collections.abc import Iterator

from storage.errors import InvalidInput, StorageError


def walk_files(
    folder: str, prefix: str = "", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, int | None]]:
    """All files below a folder, in no order; symbolic links are followed, and names with a leading dot left out.

    Args:
        folder: where to look; what is not there holds nothing.
        prefix: what goes before every path.
        above: device and inode of the folders above, so that a link to one of them is not followed for ever.

    Yields:
        (path, size in bytes); None for the size of a link that leads nowhere.

    Raises:
        StorageError: something cannot be read. Left out, its files would be missing and nobody would know.
        InvalidInput: a name that is no UTF-8.
    """
    try:
        here = os.stat(folder)
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        raise StorageError(f"cannot list {folder}: {e.strerror}. Make it readable, or move it out of the tree.") from e
    if (here.st_dev, here.st_ino) in above:
        return
    for entry in entries:
        path = prefix + entry.name
        _check_name(path)
        status = _status(entry)
        if status is None:
            yield path, None
        elif stat.S_ISDIR(status.st_mode):
            yield from walk_files(entry.path, f"{path}/", (*above, (here.st_dev, here.st_ino)))
        elif stat.S_ISREG(status.st_mode):
            yield path, status.st_size


def _status(entry: "os.DirEntry[str]") -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError as e:
        if entry.is_symlink() or isinstance(e, FileNotFoundError):
            return None
        raise StorageError(f"cannot look at {entry.path}: {e.strerror}") from e


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as e:  # Linux keeps names as bytes; neither a manifest nor Parquet can hold them
        raise InvalidInput(
            "data.root", given=ascii(path), allowed="file names in UTF-8", remedy="Rename the file."
        ) from e
