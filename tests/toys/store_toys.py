"""What tests of stores ask of any of them, and stores that behave as a test wants."""

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from storage.errors import ObjectNotFound
from storage.object_store import ObjectInfo, ObjectStore

T = TypeVar("T")


def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """The keys that begin with `prefix`, in the order of the listing."""
    return [info.key for info in store.list(prefix)]


class MemoryStore:
    """`ObjectStore` in a dict. Its clock goes on by a second with each write."""

    def __init__(self) -> None:
        self.uri = "memory"
        self.objects: dict[str, tuple[bytes, float]] = {}
        self._clock = itertools.count(1)

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise ObjectNotFound(f"memory has no object {key!r}")
        return self.objects[key][0]

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self.get(key)[start : start + length]

    def size_bytes(self, key: str) -> int | None:
        return len(self.objects[key][0]) if key in self.objects else None

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data, float(next(self._clock))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        mine = data, float(next(self._clock))
        return self.objects.setdefault(key, mine) is mine

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for key, (data, modified_at) in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield ObjectInfo(key=key, size_bytes=len(data), modified_at=modified_at)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)


class HookedStore:
    """A store that calls `before(number, name)` and `after(number, name)` around each of its calls, which count from 0.

    A listing is one call, made in full.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        before: Callable[[int, str], None] = lambda number, name: None,
        after: Callable[[int, str], None] = lambda number, name: None,
    ) -> None:
        self.uri = store.uri
        self._store, self._before, self._after = store, before, after
        self._numbers = itertools.count()

    def get(self, key: str) -> bytes:
        return self._call("get", lambda: self._store.get(key))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self._call("get_range", lambda: self._store.get_range(key, start, length))

    def size_bytes(self, key: str) -> int | None:
        return self._call("size_bytes", lambda: self._store.size_bytes(key))

    def put(self, key: str, data: bytes) -> None:
        self._call("put", lambda: self._store.put(key, data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._call("put_if_absent", lambda: self._store.put_if_absent(key, data))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._call("list", lambda: list(self._store.list(prefix))))

    def delete(self, key: str) -> None:
        self._call("delete", lambda: self._store.delete(key))

    def _call(self, name: str, work: Callable[[], T]) -> T:
        number = next(self._numbers)
        self._before(number, name)
        result = work()
        self._after(number, name)
        return result


class Killed(BaseException):
    """The process is gone: nothing that the code catches."""


def kill_at(number: int, *, applied: bool) -> dict[str, Callable[[int, str], None]]:
    """Hooks for `HookedStore`: the process dies at this call, and the store has carried it out or not."""

    def hook(call: int, _: str) -> None:
        if call >= number:
            raise Killed

    return {"after" if applied else "before": hook}
