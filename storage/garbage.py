"""Features and embeddings that nobody needs: what may go, why, and how it goes.

Enters: a store, and which features results refer to. Leaves: a list; and, when asked, less in the store. Every folder
of features stands by itself (`pipelines/shards/reuse.py` copies rows), so no folder is needed by another one's marker;
embeddings are of no use without their features.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from storage.embedding_store import EmbeddingStore
from storage.errors import StorageError
from storage.feature_store import MARKER, FeatureStore
from storage.object_store import ObjectInfo, ObjectStore
from storage.results_table import ResultsTable

_SHARD = re.compile(r"(part|quarantine)-\d+-[^/]+\.parquet")
_ORPHANED_SHARDS, _ORPHANED_EMBEDDINGS = "orphaned shards", "orphaned embeddings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Garbage:
    """Objects of one folder, of features or of embeddings of some, that may go together.

    Attributes:
        why: `no result refers to it`, `interrupted` (no marker was ever written) or `orphaned shards` (beside those
            that the marker names); of embeddings `embeddings without features` or `orphaned embeddings`.
        objects: the marker first, so that a reader who comes meanwhile sees features that are not complete.
        embedding_id: of embeddings.
    """

    dataset: str
    fingerprint: str
    why: str
    objects: tuple[ObjectInfo, ...]
    embedding_id: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(info.size_bytes for info in self.objects)

    @property
    def modified_at(self) -> float:
        """When the newest of it was written."""
        return max(info.modified_at for info in self.objects)

    @property
    def prefix(self) -> str:
        """Of its folder."""
        folder = f"{self.dataset}/{self.fingerprint}/"
        return f"embeddings/{folder}{self.embedding_id}/" if self.embedding_id else f"features/{folder}"

    @property
    def is_orphaned(self) -> bool:
        """Whether it lies beside what a marker names, which stays."""
        return self.why in (_ORPHANED_SHARDS, _ORPHANED_EMBEDDINGS)


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
    are not complete, and so do their embeddings: the same command completes them. Embeddings of features that go now
    come after these.
    """
    garbage: list[Garbage] = []
    unreadable: list[str] = []
    kept: set[tuple[str, str]] = set(referred)
    for (dataset, fingerprint), objects in _folders(store.list("features/"), depth=2).items():
        features = FeatureStore(store, dataset=dataset, fingerprint=fingerprint)
        is_referred = (dataset, fingerprint) in referred
        try:
            why, going = _going(features, objects, is_referred=is_referred, written_before=written_before)
        except StorageError:
            unreadable.append(features.prefix)
            kept.add((dataset, fingerprint))
            continue
        if len(going) < len(objects):
            kept.add((dataset, fingerprint))
        if going:
            going.sort(key=lambda info: (not info.key.endswith(MARKER), info.key))
            found = Garbage(dataset=dataset, fingerprint=fingerprint, why=why, objects=tuple(going))
            garbage.append(found)
    of_embeddings = _embeddings(store, kept=kept, written_before=written_before)
    return FoundGarbage(garbage=(*garbage, *of_embeddings.garbage), unreadable=(*unreadable, *of_embeddings.unreadable))


def _embeddings(store: ObjectStore, *, kept: Collection[tuple[str, str]], written_before: float) -> FoundGarbage:
    """Args: kept: features whose embeddings stay."""
    garbage: list[Garbage] = []
    unreadable: list[str] = []
    for (dataset, fingerprint, embedding_id), objects in _folders(store.list("embeddings/"), depth=3).items():
        features = FeatureStore(store, dataset=dataset, fingerprint=fingerprint)
        why, going = "embeddings without features", list(objects)
        if (dataset, fingerprint) in kept:
            why = _ORPHANED_EMBEDDINGS
            try:
                named = EmbeddingStore(features, embedding_id).committed_keys()
            except StorageError:
                unreadable.append(f"embeddings/{dataset}/{fingerprint}/{embedding_id}/")
                continue
            going = [] if named is None else _beside(objects, named, written_before=written_before)
        elif max(info.modified_at for info in objects) >= written_before:
            going = []
        if going:
            going.sort(key=lambda info: (not info.key.endswith(MARKER), info.key))
            found = Garbage(
                dataset=dataset, fingerprint=fingerprint, why=why, objects=tuple(going), embedding_id=embedding_id
            )
            garbage.append(found)
    return FoundGarbage(garbage=tuple(garbage), unreadable=tuple(unreadable))


def delete_garbage(store: ObjectStore, garbage: Garbage) -> bool:
    """Deletes it, unless its folder was written to since it was found; may be repeated after an interruption.

    Returns:
        Whether it was deleted.
    """
    there = {info.key: info for info in store.list(garbage.prefix)}
    known = {info.key: info.modified_at for info in garbage.objects}
    touched = any(info.modified_at != known.get(key, info.modified_at) for key, info in there.items())
    strangers = not garbage.is_orphaned and not there.keys() <= known.keys()
    if touched or strangers or _is_needed(store, garbage):
        return False
    for info in garbage.objects:
        store.delete(info.key)
    return True


def _is_needed(store: ObjectStore, garbage: Garbage) -> bool:
    """Whether embeddings have features again, or a marker that names any of what is to go."""
    if not garbage.embedding_id:
        return False
    features = FeatureStore(store, dataset=garbage.dataset, fingerprint=garbage.fingerprint)
    if not garbage.is_orphaned:
        return next(iter(store.list(features.prefix)), None) is not None
    named = EmbeddingStore(features, garbage.embedding_id).committed_keys()
    return named is None or not named.isdisjoint(info.key for info in garbage.objects)


def _going(
    features: FeatureStore, objects: Sequence[ObjectInfo], *, is_referred: bool, written_before: float
) -> tuple[str, list[ObjectInfo]]:
    is_old = max(info.modified_at for info in objects) < written_before
    marker = features.marker()
    if marker is None:
        return "interrupted", list(objects) if is_old and not is_referred else []
    if is_old and not is_referred:
        return "no result refers to it", list(objects)
    return _ORPHANED_SHARDS, _beside(objects, features.object_keys(marker), written_before=written_before)


def _beside(objects: Sequence[ObjectInfo], named: Collection[str], *, written_before: float) -> list[ObjectInfo]:
    """Old shards that a marker does not name."""
    return [
        info
        for info in objects
        if info.key not in named and _SHARD.fullmatch(info.key.rpartition("/")[2]) and info.modified_at < written_before
    ]


def _folders(objects: Iterable[ObjectInfo], *, depth: int) -> dict[tuple[str, ...], list[ObjectInfo]]:
    """By the names of the folders below the first one: of features data set / fingerprint."""
    folders: dict[tuple[str, ...], list[ObjectInfo]] = {}
    for info in objects:
        _, *names, _ = info.key.split("/")
        if len(names) == depth:  # what lies deeper is not ours
            folders.setdefault(tuple(names), []).append(info)
    return folders
