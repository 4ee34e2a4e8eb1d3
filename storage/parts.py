"""A folder of immutable parts and the marker that makes them complete: what features and embeddings have in common.

    part-00003-<hash>.parquet    rows of one shard; other kinds than `part` are named likewise
    _MANIFEST.json               written last: which parts there are, how many rows, and what they hold

Enters: keys and a marker. Leaves: the same. Which columns a part has, its owner knows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from storage.errors import ObjectNotFound, StorageError
from storage.json_text import parse_json
from storage.object_store import ObjectStore

MARKER = "_MANIFEST.json"


class Parts:
    """The parts under one prefix, which ends with `/`. The methods are atomic; any process may call them.

    Args:
        fields: of the marker; one that lacks any is damaged.
        defaults: of fields that markers of earlier versions lack.
    """

    def __init__(
        self, store: ObjectStore, prefix: str, *, fields: Sequence[str], defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.store, self.prefix = store, prefix
        self._fields, self._defaults = fields, dict(defaults or {})

    @property
    def uri(self) -> str:
        return f"{self.store.uri}/{self.prefix}"

    def key(self, index: int, clips_hash: str, *, kind: str = "part") -> str:
        return f"{self.prefix}{kind}-{index:05d}-{clips_hash}.parquet"

    def finished(self) -> set[tuple[int, str]]:
        """(index, clips_hash) of every part that is there and not empty; one listing."""
        there = (info for info in self.store.list(self.prefix + "part-") if info.size_bytes)
        keys = (info.key.removeprefix(self.prefix) for info in there)
        names = (key.removeprefix("part-").removesuffix(".parquet").partition("-") for key in keys)
        return {(int(index), clips_hash) for index, _, clips_hash in names}

    def commit(self, marker: dict[str, Any]) -> dict[str, Any]:
        """Writes the marker; a second commit changes nothing.

        Returns:
            The marker that is stored: the first one, whoever wrote it.
        """
        data = json.dumps(marker, indent=1, sort_keys=True).encode()
        return marker if self.store.put_if_absent(self.prefix + MARKER, data) else self.marker() or marker

    def replace(self, marker: dict[str, Any]) -> None:
        """Writes the marker in the place of one that names other parts; there is one at every moment."""
        self.store.put(self.prefix + MARKER, json.dumps(marker, indent=1, sort_keys=True).encode())

    def marker(self) -> dict[str, Any] | None:
        """What the marker says, or None while there is none.

        Raises:
            StorageError: the marker is damaged.
        """
        try:
            found = {**self._defaults, **parse_json(self.store.get(self.prefix + MARKER))}
            return {name: found[name] for name in self._fields}
        except ObjectNotFound:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise StorageError(
                f"{self.uri}{MARKER} is damaged ({e!r}). Delete it and run again; nothing is recomputed."
            ) from e

    def withdraw(self) -> None:
        """Takes the marker away: nothing is complete any longer, the parts stay."""
        self.store.delete(self.prefix + MARKER)

    def has_all(self, keys: set[str]) -> bool:
        """Whether all these objects are there and not empty; one listing."""
        return keys <= {info.key for info in self.store.list(self.prefix) if info.size_bytes}
