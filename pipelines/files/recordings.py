"""One door to the files of a data set, wherever they lie: a folder, S3, or a web server that a manifest names.

Sources list and read trees through it, workers read recordings through it; nothing else opens a recording. Enters: a
root and uris, relative to it or absolute. Leaves: bytes, seekable files, sizes, or one of three errors that tell what
to do: the file is missing, this machine cannot read it, or the server is at fault.
"""

import contextlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from pipelines.files import web_file
from pipelines.files.block_file import open_blocks
from pipelines.files.file_tree import walk_files
from pipelines.manifest import Manifest
from storage.addresses import refuse_credentials
from storage.errors import InvalidInput, ObjectNotFound, StorageError, UnreadableFile
from storage.object_store import ObjectStore, check_key, open_store

_NUM_CONNECTIONS = 16  # at a time, where a server is asked file by file


class Recordings:
    """The files below one root, and absolute uris that a manifest may name.

    Can be pickled; connections are made when first needed, by each process for itself.

    Args:
        root: a folder, `file://…` or `s3://bucket/prefix`.
        endpoint_url: the S3 server of the recordings; None for the environment variable AWS_ENDPOINT_URL, else AWS.

    Attributes:
        root: absolute, without a trailing `/`; a symbolic link stays one, as other nodes may have it lead elsewhere.

    Raises:
        InvalidInput: a root of another form, an endpoint that is no address, or a key in one of them.
    """

    def __init__(self, root: str, *, endpoint_url: str | None = None) -> None:
        _check_root(root, endpoint_url)
        is_local = not root.startswith("s3://")
        self.root = str(Path(root.removeprefix("file://")).expanduser().absolute()) if is_local else root.rstrip("/")
        self.endpoint_url = endpoint_url
        self._buckets: dict[str, ObjectStore] = {}

    @property
    def is_local(self) -> bool:
        return not self.root.startswith("s3://")

    def parent(self) -> tuple["Recordings", str]:
        """The folder that the root lies in, and the root's name there: for a root that is one file.

        Raises:
            InvalidInput: the root is a bucket.
        """
        folder, _, name = self.root.rpartition("/")
        if folder == "s3:/":
            raise InvalidInput(
                "data.root",
                given=self.root,
                allowed="a file, s3://bucket/name",
                remedy="Name the file after the bucket.",
            )
        return Recordings(folder or "/", endpoint_url=self.endpoint_url), name

    def below(self, folder: str) -> "Recordings":
        """The files of one folder below the root."""
        return Recordings(f"{self.root}/{folder}", endpoint_url=self.endpoint_url)

    def uri(self, uri: str) -> str:
        """`uri` as an absolute one."""
        return uri if uri.startswith("/") or "://" in uri else f"{self.root.rstrip('/')}/{uri}"

    # ---- The tree below the root

    def root_exists(self) -> bool:
        """Whether there is such a folder; on S3, which knows no folders, whether any object lies below."""
        return os.path.isdir(self.root) if self.is_local else next(self._walk(""), None) is not None

    def list(self, prefix: str = "") -> dict[str, int]:
        """Relative path → size_bytes of every file whose path starts with `prefix`, sorted by path.

        Follows symbolic links on a disk (trees of links are common) and skips what begins with a dot.

        Raises:
            StorageError: a folder cannot be read, or the server is at fault.
        """
        return {path: size for path, size in self.walk(prefix) if size is not None}

    def walk(self, prefix: str = "") -> tuple[tuple[str, int | None], ...]:
        """As `list`, and with symbolic links that lead nowhere, whose size is None: the tree does name those files."""
        return tuple(sorted(self._walk(prefix)))

    def etags(self) -> dict[str, str]:
        """Relative path → ETag of every object below an s3:// root; one listing."""
        bucket, root = _split(f"{self.root}/")
        return {info.key.removeprefix(root): info.etag for info in self._bucket(bucket).list(root)}

    def _walk(self, prefix: str) -> Iterator[tuple[str, int | None]]:
        if self.is_local:
            folder = prefix.rpartition("/")[0]
            found = walk_files(os.path.join(self.root, folder), f"{folder}/" if folder else "")
            yield from ((path, size) for path, size in found if path.startswith(prefix))
            return
        bucket, root = _split(f"{self.root}/")
        for info in self._bucket(bucket).list(root + prefix):
            path = info.key.removeprefix(root)
            parts = path.split("/")
            if parts[-1] and not any(part.startswith(".") for part in parts):
                yield path, info.size_bytes  # keys that end with "/" are what consoles make for folders

    # ---- One file

    def read(self, uri: str) -> bytes:
        """All bytes of a file, its uri relative or absolute.

        Raises:
            ObjectNotFound: there is no such file.
            UnreadableFile: there is, and this machine cannot read it, or the uri cannot be one.
            StorageError: the server is at fault: down, access refused, no credentials.
        """
        uri = self.uri(uri)
        if _is_web(uri):
            return web_file.read_whole(uri)
        if uri.startswith("s3://"):
            store, key = self._object(uri)
            return store.get(key)
        with _local(uri) as path:
            _check_regular(uri, path)
            return path.read_bytes()

    def open(self, uri: str) -> BinaryIO:
        """A seekable file. On S3, and on web servers that give parts, blocks of 1 MiB are fetched when they are read;
        from other web servers the whole file is.

        Raises:
            As `read`; reading may raise StorageError too. Decoders swallow that: give them an `encoded.WatchedFile`.
        """
        uri = self.uri(uri)
        if _is_web(uri):
            info = web_file.describe(uri)
            if info.gives_ranges and info.size_bytes is not None:
                return open_blocks(lambda start, length: web_file.read_range(uri, start, length), info.size_bytes)
            return io.BytesIO(web_file.read_whole(uri))
        if uri.startswith("s3://"):
            store, key = self._object(uri)
            size_bytes = store.size_bytes(key)
            if size_bytes is None:
                raise ObjectNotFound(f"there is no {uri}")
            return open_blocks(lambda start, length: store.get_range(key, start, length), size_bytes)
        with _local(uri) as path:
            _check_regular(uri, path)
            return path.open("rb")

    def size_bytes(self, uri: str) -> int | None:
        """The size of a file, or None when there is no such file.

        None too for a web server that does not tell the size; `exists` tells the two apart.

        Raises:
            UnreadableFile, StorageError: as `read`.
        """
        try:
            return self._look(uri)
        except ObjectNotFound:
            return None

    def exists(self, uri: str) -> bool:
        """Whether there is such a file, readable or not."""
        try:
            self._look(uri)
        except ObjectNotFound:
            return False
        except UnreadableFile:
            return True
        return True

    def sizes(self, uris: Iterable[str]) -> dict[str, int | None]:
        """uri → `size_bytes`, for many: on S3 and the web, where every question is a journey, several at a time.

        None also for what this machine cannot read.

        Raises:
            StorageError: a server is at fault.
        """

        def size(uri: str) -> int | None:
            try:
                return self.size_bytes(uri)
            except UnreadableFile:
                return None

        asked = list(dict.fromkeys(uris))
        if not any("://" in self.uri(uri) for uri in asked):
            return {uri: size(uri) for uri in asked}
        with ThreadPoolExecutor(_NUM_CONNECTIONS) as pool:
            return dict(zip(asked, pool.map(size, asked), strict=True))

    def _look(self, uri: str) -> int | None:
        """The size where it is told; raises ObjectNotFound where there is no such file."""
        uri = self.uri(uri)
        if _is_web(uri):
            return web_file.describe(uri).size_bytes
        if uri.startswith("s3://"):
            store, key = self._object(uri)
            size_bytes = store.size_bytes(key)
            if size_bytes is None:
                raise ObjectNotFound(f"there is no {uri}")
            return size_bytes
        with _local(uri) as path:
            return _check_regular(uri, path)

    def _object(self, uri: str) -> tuple[ObjectStore, str]:
        bucket, key = _split(uri)
        try:
            check_key(f"{bucket}/{key}", uri=f"s3://{bucket}")
        except StorageError as e:
            raise UnreadableFile(uri, "no plain key of an object") from e
        return self._bucket(bucket), key

    def _bucket(self, name: str) -> ObjectStore:
        if name not in self._buckets:  # making a client takes longer than reading a clip
            self._buckets[name] = open_store(f"s3://{name}", endpoint_url=self.endpoint_url)
        return self._buckets[name]


def recordings_of(manifest: Manifest) -> Recordings:
    """Where the clips of a manifest lie."""
    return Recordings(manifest.root, endpoint_url=manifest.endpoint_url)


def _check_root(root: str, endpoint_url: str | None) -> None:
    refuse_credentials("data.root", root)
    refuse_credentials("data.endpoint_url", endpoint_url or "")
    no_bucket = root.startswith("s3://") and not _split(root)[0]
    if no_bucket or ("://" in root and not root.startswith(("s3://", "file://"))):
        raise InvalidInput(
            "data.root", given=root, allowed="a path, file:// or s3://bucket/prefix", remedy="Use one of these forms."
        )
    if endpoint_url is not None and not endpoint_url.startswith(("http://", "https://")):
        raise InvalidInput(
            "data.endpoint_url",
            given=endpoint_url,
            allowed="http://host:port or https://host:port",
            remedy="Correct it, or leave it out for AWS.",
        )


def _is_web(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _check_regular(uri: str, path: Path) -> int:
    """The size of a regular file; a device or a named pipe would be read for ever."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFile(uri, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(uri, "it is no regular file")
    return status.st_size


@contextlib.contextmanager
def _local(uri: str) -> Iterator[Path]:
    """The path, with the system's errors turned into ours."""
    path = uri.removeprefix("file://")
    if not path.startswith("/"):
        raise UnreadableFile(uri, f"nothing reads {uri.partition('://')[0]}:// addresses")
    try:
        yield Path(path)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise ObjectNotFound(f"there is no {uri}") from e
    except OSError as e:
        raise UnreadableFile(uri, e.strerror or str(e)) from e
    except ValueError as e:  # a NUL in the name
        raise UnreadableFile(uri, str(e)) from e
