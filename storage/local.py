"""Objects as files below one folder: written in a folder set apart, fsynced, then moved in by rename or link.

    <root>/<key>
    <root>/.unfinished/<random>     a write that is under way, or one whose process was killed

Nothing unfinished ever stands in a folder of objects: DuckDB and polars read every file there that ends in .parquet,
dot files as well, and would see a row twice whose writer was killed between link and unlink.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from storage.errors import ObjectNotFound, StorageError
from storage.object_store import ObjectInfo, check_key, check_prefix

_UNFINISHED = ".unfinished"
# No write takes as long; were one to, it would fail and not do harm.
_GIVEN_UP_S = 24 * 3600.0


class LocalObjectStore:
    """`ObjectStore` on one file system with atomic rename and hard links (ext4, xfs, NFSv4 …)."""

    def __init__(self, root: Path) -> None:
        try:
            self.root = root.expanduser().resolve()
        except RuntimeError as e:  # ~nobody-of-this-name
            raise StorageError(f"{root}: {e} Write the path without ~.") from e
        except ValueError as e:  # a NUL
            raise StorageError(f"{str(root)!r} cannot be a folder: {e}. Correct the path.") from e
        self.uri = str(self.root)
        self._kept: set[Path] = set()  # folders that this process has seen to the disk, with those above them

    def get(self, key: str) -> bytes:
        with self._reading(key) as path:
            return path.read_bytes()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        with self._reading(key) as path, path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def size_bytes(self, key: str) -> int | None:
        try:
            with self._reading(key) as path:
                return path.stat().st_size if path.is_file() else None
        except ObjectNotFound:
            return None

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._written_apart(path, data) as unfinished:
            os.replace(unfinished, path)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        if os.path.isfile(path):  # False also for a name that is too long, which the write then tells
            return False
        with self._written_apart(path, data) as unfinished:
            # link() fails when the name is taken, which rename() would silently replace.
            try:
                os.link(unfinished, path)
            except FileExistsError:
                if path.is_dir():
                    raise
                return False
            return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix, uri=self.uri)
        folder = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        found = []
        for directory, folders, names in os.walk(folder, onerror=self._refuse_unreadable):
            if Path(directory) == self.root and _UNFINISHED in folders:
                folders.remove(_UNFINISHED)
            for name in names:
                path = Path(directory, name)
                key = path.relative_to(self.root).as_posix()
                # Versions before wrote beside the place; what they have left there is no object either.
                if key.startswith(prefix) and not name.startswith(_UNFINISHED):
                    with contextlib.suppress(FileNotFoundError):  # deleted while we were listing
                        status = path.stat()
                        found.append(ObjectInfo(key=key, size_bytes=status.st_size, modified_at=status.st_mtime))
        yield from sorted(found, key=lambda info: info.key)

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            pass  # no object has this key
        except OSError as e:
            raise StorageError(f"cannot delete {key!r} in {self.uri}: {e.strerror}. Check its permissions.") from e

    def clear_unfinished(self) -> None:
        """Deletes what killed writers have left behind, which no listing shows: a checkpoint has its full size there.

        For the beginning of a job; others may write meanwhile. What cannot be deleted stays.
        """
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(self.root / _UNFINISHED)):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _GIVEN_UP_S:
                        os.unlink(entry)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        try:
            yield self._path(key)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as e:
            raise ObjectNotFound(f"{self.uri} has no object {key!r}") from e
        except OSError as e:
            raise StorageError(f"cannot read {key!r} in {self.uri}: {e.strerror}") from e

    def _path(self, key: str) -> Path:
        check_key(key, uri=self.uri)
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root):
            raise StorageError(f"the key {key!r} points outside the store {self.uri} through a symbolic link")
        return path

    def _refuse_unreadable(self, error: OSError) -> None:
        # os.walk skips what it cannot read: a listing would lack committed results and nobody would know.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise StorageError(f"cannot list {error.filename} in {self.uri}: {error.strerror}") from error

    @contextlib.contextmanager
    def _written_apart(self, path: Path, data: bytes) -> Iterator[Path]:
        """Yields a written, fsynced file, and syncs the folder of `path` after the caller has moved it there."""
        unfinished = self.root / _UNFINISHED / uuid.uuid4().hex
        try:
            self._make_folder(path.parent)
            unfinished.parent.mkdir(exist_ok=True)
            with open(unfinished, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.utime(unfinished)  # it was modified when it came into its place, however long the disk took
            yield unfinished
            _sync_folder(path.parent)
        except OSError as e:
            raise StorageError(
                f"cannot write {path.name!r} in {self.uri}: {e.strerror}. "
                "Check that the folder is writable, the disk not full, and the store all on one file system."
            ) from e
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()

    def _make_folder(self, folder: Path) -> None:
        """Makes a folder that survives a power failure: its name is on the disk, and so are those of all above it.

        Of a folder that is there already nobody knows whether it was seen to the disk, so the first write looks to it.
        """
        if folder in self._kept and folder.is_dir():
            return
        made = [above for above in (folder, *folder.parents) if not above.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        unsure = [above for above in (folder, *folder.parents) if above in made or self._is_unsure(above)]
        for each in unsure:
            _sync_folder(each.parent)
        self._kept.update(unsure)

    def _is_unsure(self, folder: Path) -> bool:
        """Of a folder that is there. The store's own one is not asked for: what lies above it may be closed to us."""
        return folder not in self._kept and folder != self.root and folder.is_relative_to(self.root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
