"""A store that is away while a file says so, for the driver or for the workers; tests import this as `away_store`."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from storage.errors import StoreOutOfReach
from storage.local import LocalObjectStore
from storage.object_store import ObjectInfo

AWAY = "the store does not answer. Check that it is up."
PATIENCE_S = 0.3


def store_away_for(whom: Literal["driver", "workers"], folder: Path, switch: Path) -> LocalObjectStore:
    """A store in `folder`, out of reach after a moment of patience while the file `switch` exists."""
    driver = os.getpid()

    class Away(LocalObjectStore):  # local to this function, so that it travels to workers as it is
        def get(self, key: str) -> bytes:
            self._wait()
            return super().get(key)

        def get_range(self, key: str, start: int, length: int) -> bytes:
            self._wait()
            return super().get_range(key, start, length)

        def size_bytes(self, key: str) -> int | None:
            self._wait()
            return super().size_bytes(key)

        def put(self, key: str, data: bytes) -> None:
            self._wait()
            super().put(key, data)

        def put_if_absent(self, key: str, data: bytes) -> bool:
            self._wait()
            return super().put_if_absent(key, data)

        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            self._wait()
            return super().list(prefix)

        def delete(self, key: str) -> None:
            self._wait()
            super().delete(key)

        def _wait(self) -> None:
            if switch.exists() and (os.getpid() == driver) == (whom == "driver"):
                time.sleep(PATIENCE_S)
                raise StoreOutOfReach(AWAY)

    return Away(folder)
