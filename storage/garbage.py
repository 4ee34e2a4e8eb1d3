"""Features that nobody needs: what may go, why, and how it goes.

Enters: a store, and which features results refer to. Leaves: a list; and, when asked, less in the store. Every folder
of features stands by itself (`pipelines/shards/reuse.py` copies rows), so no folder is needed by another one's marker.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from storage.errors import StorageError
from storage.feature_store import MARKER, FeatureStore
from storage.object_store import ObjectInfo, ObjectStore
from storage.results_table import ResultsTable

_SHARD = re.compile(r"(part|quarantine)-\d+-[^/]+\.parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Garbage:
    """Objects of one folder of features that may go together.

    Attributes:
        why: `no result refers to it`, `interrupted` (no marker was ever written) or `orphaned shards` (beside those
            that the marker names).
        objects: the marker first, so that a reader who comes meanwhile sees features that are not complete.
    """

    dataset: str
    fingerprint: str
    why: str
    objects: tuple[ObjectInfo, ...]

    @property
    def size_bytes(self) -> int:
        return sum(info.size_bytes for info in self.objects)

    @property
    def modified_at(self) -> float:
        """When the newest of it was written."""
        return max(info.modified_at for info in self.objects)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundGarbage:
    """What may go, and folders that are left alone because their marker cannot be read."""

    garbage: tuple[Garbage, ...]
    unreadable: tuple[str, ...]


def referred_features(store: ObjectStore) -> set[tuple[str, str]]:
    """(data set, fingerprint) of every sweep, whatever came of it.

    Raises:
        StorageError: the table of sweeps cannot be read; nothing is known to be garbage then.
    """
    sweeps = ResultsTable(store).read("sweeps")
    return set(zip(sweeps.column("dataset").to_pylist(), sweeps.column("fingerprint").to_pylist(), strict=True))


def find_garbage(store: ObjectStore, *, referred: Collection[tuple[str, str]], written_before: float) -> FoundGarbage:
    """What no result refers to and nobody has written to since `written_before` (seconds since 1970).

    A folder is young, and stays, as long as any of its objects is. Features that a sweep refers to stay even where they
    are not complete: the same command completes them.
    """
    garbage: list[Garbage] = []
    unreadable: list[str] = []
    for (dataset, fingerprint), objects in _folders(store.list("features/")).items():
        features = FeatureStore(store, dataset=dataset, fingerprint=fingerprint)
        is_referred = (dataset, fingerprint) in referred
        try:
            why, going = _going(features, objects, is_referred=is_referred, written_before=written_before)
        except StorageError:
            unreadable.append(features.prefix)
            continue
        if going:
            going.sort(key=lambda info: (not info.key.endswith(MARKER), info.key))
            found = Garbage(dataset=dataset, fingerprint=fingerprint, why=why, objects=tuple(going))
            garbage.append(found)
    return FoundGarbage(garbage=tuple(garbage), unreadable=tuple(unreadable))


def delete_garbage(store: ObjectStore, garbage: Garbage) -> bool:
    """Deletes it, unless its folder was written to since it was found; may be repeated after an interruption.

    Returns:
        Whether it was deleted.
    """
    features = FeatureStore(store, dataset=garbage.dataset, fingerprint=garbage.fingerprint)
    there = {info.key: info for info in store.list(features.prefix)}
    known = {info.key: info.modified_at for info in garbage.objects}
    touched = any(info.modified_at != known.get(key, info.modified_at) for key, info in there.items())
    strangers = garbage.why != "orphaned shards" and not there.keys() <= known.keys()
    if touched or strangers:
        return False
    for info in garbage.objects:
        store.delete(info.key)
    return True


def _going(
    features: FeatureStore, objects: Sequence[ObjectInfo], *, is_referred: bool, written_before: float
) -> tuple[str, list[ObjectInfo]]:
    is_old = max(info.modified_at for info in objects) < written_before
    marker = features.marker()
    if marker is None:
        return "interrupted", list(objects) if is_old and not is_referred else []
    if is_old and not is_referred:
        return "no result refers to it", list(objects)
    named = features.object_keys(marker)
    orphans = [
        info
        for info in objects
        if info.key not in named
        and _SHARD.fullmatch(info.key.removeprefix(features.prefix))
        and info.modified_at < written_before
    ]
    return "orphaned shards", orphans


def _folders(objects: Iterable[ObjectInfo]) -> dict[tuple[str, str], list[ObjectInfo]]:
    folders: dict[tuple[str, str], list[ObjectInfo]] = {}
    for info in objects:
        parts = info.key.split("/")
        if len(parts) == 4:  # features / data set / fingerprint / object; what lies deeper is not ours
            folders.setdefault((parts[1], parts[2]), []).append(info)
    return folders
