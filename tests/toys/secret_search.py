"""Whether a secret can be found in what a run has shown or left: printed text, files, objects, lists of processes.

Searched is not only for the secret as it is: tables are decoded, archives unpacked, and it may be written in base64,
as hexadecimal digits or for an address.
"""

import base64
import contextlib
import gzip
import io
import threading
import urllib.parse
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import pyarrow.parquet as pq

from storage.object_store import ObjectStore

_LOOK_EVERY_S = 0.02


def find_secrets(secrets: Mapping[str, str], contents: Iterable[tuple[str, bytes]]) -> set[str]:
    """`<name of the secret> in <place>` for every place that has it. Args: contents: (place, what is there)."""
    wanted = {name: _forms(secret) for name, secret in secrets.items()}
    return {
        f"{name} in {place}"
        for place, content in contents
        for data in _decoded(content)
        for name, forms in wanted.items()
        if any(form in data for form in forms)
    }


def contents_of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files, hidden ones too; what vanishes while it is looked for is left out, and so are sockets."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()


def contents_of_store(store: ObjectStore) -> Iterator[tuple[str, bytes]]:
    """All objects."""
    for info in store.list(""):
        yield info.key, store.get(info.key)


class CommandLines:
    """The command lines of all processes of this machine, collected as long as the context is open."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "CommandLines":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    def contents(self) -> Iterator[tuple[str, bytes]]:
        for line in self._seen:
            yield f"the command line {line[:60]!r}", line

    def _look(self) -> None:
        while not self._is_over.wait(_LOOK_EVERY_S):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self._seen.add(place.read_bytes())


def _forms(secret: str) -> list[bytes]:
    data = secret.encode()
    # In base64, of 4 digits for 3 bytes, a text looks different at each of three places; the digits that depend on its
    # neighbours, too, are left out.
    shifted = [
        base64.b64encode(bytes(shift) + data)[-(-4 * shift // 3) : 4 * (shift + len(data)) // 3] for shift in range(3)
    ]
    return [data, urllib.parse.quote(secret, safe="").encode(), data.hex().encode(), *shifted]


def _decoded(content: bytes) -> Iterator[bytes]:
    yield content
    if content[:4] == content[-4:] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        yield repr(table.schema.metadata).encode()
        for column in table.columns:
            if not str(column.type).startswith("extension"):
                yield "\n".join(map(str, column.to_pylist())).encode()
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from _decoded(archive.read(name))
