"""Which commits of a results table lie together in larger objects: a numbered log beside the table.

    results/<table>/sweep=<sweep_id>/<commit>.parquet                     a commit
    compacted/<table>/sweep=<sweep_id>/00000007-<random>.rows.parquet     a segment: the rows of many commits
    compacted/<table>/sweep=<sweep_id>/00000007-<random>.commits.parquet  and the names of these commits
    compacted/<table>/sweep=<sweep_id>/00000007.json                      generation 7: the segments that count
    compacted/<table>/sweep=<sweep_id>/tidied-00000007                    what generation 7 made needless may be gone

A generation is written after all that it names, by one conditional PUT under the next number; that PUT is the switch.
Nothing in the log is ever written twice, and a generation holds every commit that an earlier one held. So a commit
counts where the newest generation names it, and as an object of its own otherwise: once, at every moment.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import pyarrow as pa

from storage.errors import DamagedObject, ObjectNotFound, StorageError
from storage.json_text import parse_json
from storage.object_store import ObjectInfo, ObjectStore
from storage.parquet import read_parquet, to_parquet
from storage.result_rows import READ_THREADS, schema_of

T = TypeVar("T")
# Copies of segments that stand in a table's own folder, for readers that know of no generations.
COPY = "compacted-"
_LOOKS = 10
_GENERATION = re.compile(r"(\d{8})\.json")
_TIDIED = re.compile(r"tidied-(\d{8})")
_COPIED = re.compile(COPY + r"(\d{8})-[0-9a-f]+")
_SEGMENT = re.compile(r"((\d{8})-[0-9a-f]+)\.(?:rows|commits)\.parquet")


@dataclass(frozen=True, order=True, kw_only=True, slots=True)
class Partition:
    """One sweep's rows of one table: what is compacted by itself."""

    table: str
    sweep_id: str

    @property
    def commits_prefix(self) -> str:
        return f"results/{self.table}/sweep={self.sweep_id}/"

    @property
    def log_prefix(self) -> str:
        return f"compacted/{self.table}/sweep={self.sweep_id}/"

    def commit_key(self, commit: str) -> str:
        return f"{self.commits_prefix}{commit}.parquet"

    def commit_of(self, key: str) -> str:
        """`commit_key` the other way round."""
        return key.removeprefix(self.commits_prefix).removesuffix(".parquet")

    def generation_key(self, number: int) -> str:
        return f"{self.log_prefix}{number:08d}.json"

    def tidied_key(self, number: int) -> str:
        return f"{self.log_prefix}tidied-{number:08d}"

    def rows_key(self, segment: str) -> str:
        return f"{self.log_prefix}{segment}.rows.parquet"

    def names_key(self, segment: str) -> str:
        return f"{self.log_prefix}{segment}.commits.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The rows of many commits in one object.

    Attributes:
        name: the generation that it was written for, and a random part: no name is ever used twice.
        size_bytes: of the object with the rows.
        memory_bytes: of the rows as an Arrow table.
    """

    name: str
    num_commits: int
    num_rows: int
    size_bytes: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What is compacted of a partition. Number 0 is the beginning, which no object stands for."""

    number: int = 0
    segments: tuple[Segment, ...] = ()


def encode_generation(generation: Generation) -> bytes:
    """JSON that depends on the generation alone."""
    return json.dumps({"version": 1, **asdict(generation)}, indent=1, sort_keys=True).encode()


def read_generation(store: ObjectStore, key: str) -> Generation:
    """Raises `ObjectNotFound`, or `StorageError` when the object is damaged or of a later version."""
    data = store.get(key)
    try:
        fields: dict[str, Any] = parse_json(data)
        if fields["version"] != 1:
            raise StorageError(f"{store.uri}: {key!r} is of a later version. Read it with a newer melsweep.")
        segments = tuple(Segment(**segment) for segment in fields["segments"])
        return Generation(number=int(fields["number"]), segments=segments)
    except (KeyError, TypeError, ValueError) as e:
        raise StorageError(
            f"{store.uri}: {key!r} is damaged ({e}). Restore it from a copy; the rows that it names are whole."
        ) from e


def newest_generation(
    store: ObjectStore, partition: Partition, *, written_before: float | None = None, least: int = 0
) -> Generation:
    """The newest generation of a partition, or the newest of those written before a moment (seconds since 1970).

    Args:
        least: the number of one that is there and may be the answer whenever it was written; 0 for none.
    """
    numbers = _generation_numbers(store.list(partition.log_prefix), written_before)
    number = max(numbers.get(partition, 0), least)
    return read_generation(store, partition.generation_key(number)) if number else Generation()


def tidied_generations(store: ObjectStore, partition: Partition) -> list[int]:
    """The numbers of generations that a partition was tidied up to, in their order; earlier ones may be forgotten."""
    names = (info.key.removeprefix(partition.log_prefix) for info in store.list(f"{partition.log_prefix}tidied-"))
    return [int(match[1]) for name in names if (match := _TIDIED.fullmatch(name))]


def unless_replaced(look: Callable[[], T]) -> T:
    """What `look` finds; it looks again if an object that was listed has gone by the time it is read.

    That is what a compaction does to who has looked just before it was tidied up; the rows lie elsewhere now.

    Raises:
        ObjectNotFound: so it was time after time. That is no compaction: something is lost.
    """
    for _ in range(_LOOKS - 1):
        try:
            return look()
        except ObjectNotFound:
            continue
    return look()


def list_commits(store: ObjectStore, table: str, sweep_id: str | None) -> dict[Partition, dict[str, ObjectInfo]]:
    """Partition → commit → the object of its own that it has, for one sweep or all.

    Who asks for the newest generation as well has to do that *afterwards*: whatever is missing from the listing as it
    was deleted before, that generation names.
    """
    found: dict[Partition, dict[str, ObjectInfo]] = defaultdict(dict)
    for info in store.list(_prefix("results", table, sweep_id)):
        partition, name = _split(info.key)
        if partition and name.endswith(".parquet") and not name.startswith(COPY):
            found[partition][name.removesuffix(".parquet")] = info
    return found


def newest_generations(store: ObjectStore, table: str, sweep_id: str | None) -> dict[Partition, Generation]:
    """Partition → its newest generation, for one sweep or all; partitions without one are left out."""
    numbers = _generation_numbers(store.list(_prefix("compacted", table, sweep_id)))
    keys = [partition.generation_key(number) for partition, number in numbers.items()]
    with ThreadPoolExecutor(READ_THREADS) as pool:
        generations = list(pool.map(lambda key: read_generation(store, key), keys))
    return dict(zip(numbers, generations, strict=True))


def read_names(store: ObjectStore, partition: Partition, segments: Iterable[Segment]) -> list[str]:
    """The commits of segments, in their order. Raises `ObjectNotFound` when a segment has gone."""
    keys = [partition.names_key(segment.name) for segment in segments]
    with ThreadPoolExecutor(READ_THREADS) as pool:
        return [name for names in pool.map(lambda key: _names(store, key), keys) for name in names]


def encode_names(names: Sequence[str]) -> bytes:
    """Parquet bytes that `read_names` understands."""
    return to_parquet(pa.table({"commit": pa.array(names, pa.string())}))


def snapshot(store: ObjectStore, table: str, *, sweep_id: str | None = None) -> list[ObjectInfo]:
    """Objects that together hold every committed row of a table once: segments, and commits that lie in none.

    Raises:
        ObjectNotFound: a compaction has replaced what was being looked at; ask again.
        InvalidInput: there is no such table.
    """
    schema_of(table)
    commits = list_commits(store, table, sweep_id)
    generations = newest_generations(store, table, sweep_id)
    objects = []
    for partition in sorted(commits.keys() | generations.keys()):
        segments = generations.get(partition, Generation()).segments
        own = commits.get(partition, {})
        taken = set(read_names(store, partition, segments)) if own else set()
        objects += [ObjectInfo(key=partition.rows_key(s.name), size_bytes=s.size_bytes) for s in segments]
        objects += [info for commit, info in own.items() if commit not in taken]
    return objects


def partitions(store: ObjectStore, table: str, sweep_id: str | None = None) -> list[Partition]:
    """Every sweep that has commits or a log in a table."""
    listings = [store.list(_prefix(base, table, sweep_id)) for base in ("results", "compacted")]
    found = {_split(info.key)[0] for objects in listings for info in objects}
    return sorted(partition for partition in found if partition)


def listed_segments(store: ObjectStore, partition: Partition) -> Iterator[tuple[ObjectInfo, int, str]]:
    """The objects of all segments, of whatever generation: object, number of the generation, name of the segment."""
    for info in store.list(partition.log_prefix):
        match = _SEGMENT.fullmatch(info.key.removeprefix(partition.log_prefix))
        if match:
            yield info, int(match[2]), match[1]


def copied_for(commit: str) -> int | None:
    """The generation that a segment was written for whose copy has this name among the commits; None for no copy."""
    match = _COPIED.fullmatch(commit)
    return int(match[1]) if match else None


@contextmanager
def segment_damage_told(store: ObjectStore, key: str) -> Iterator[None]:
    """Says what to do about a damaged object of a segment: unlike a commit's, it must not be deleted."""
    try:
        yield
    except DamagedObject as e:
        if not key.startswith("compacted/"):
            raise
        raise DamagedObject(
            f"{store.uri}: {key!r} is damaged ({e.__cause__}). Restore it from a copy; the rows of a segment may also "
            f"lie, byte for byte, below results/ as {COPY}….parquet."
        ) from e


def _names(store: ObjectStore, key: str) -> list[str]:
    with segment_damage_told(store, key):
        names: list[str] = read_parquet(store, key).column("commit").to_pylist()
    return names


def _generation_numbers(objects: Iterable[ObjectInfo], written_before: float | None = None) -> dict[Partition, int]:
    newest: dict[Partition, int] = {}
    for info in objects:
        partition, name = _split(info.key)
        match = _GENERATION.fullmatch(name)
        is_old = written_before is None or info.modified_at < written_before
        if partition and match and is_old:
            newest[partition] = max(newest.get(partition, 0), int(match[1]))
    return newest


def _prefix(base: str, table: str, sweep_id: str | None) -> str:
    return f"{base}/{table}/" + (f"sweep={sweep_id}/" if sweep_id is not None else "")


def _split(key: str) -> tuple[Partition | None, str]:
    """`results/trials/sweep=a/t0.parquet` → its partition and `t0.parquet`; no partition for what is not ours."""
    parts = key.split("/")
    if len(parts) != 4 or not parts[2].startswith("sweep="):
        return None, ""
    return Partition(table=parts[1], sweep_id=parts[2].removeprefix("sweep=")), parts[3]
