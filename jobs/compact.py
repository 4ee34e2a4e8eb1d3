"""Brings the many small objects of the results tables together in a few large ones; sweeps may run meanwhile.

python jobs/compact.py storage.uri=s3://bucket/prefix
python jobs/compact.py storage.uri=s3://bucket/prefix --dry-run
python jobs/compact.py storage.uri=s3://bucket/prefix delete=true

Compacted rows are read from the large objects from then on. The small ones stay until the job is run with delete=true
at least grace_hours later; it also puts the large ones into the tables' own folders. While it does that, a tool that
reads those folders by itself may miss rows, and sees none twice; storage.results.results sees all of them at any time.
--dry-run tells what there is to do and changes nothing. The job may be interrupted and run again, and by two at once.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.command_line import parse_settings, usage
from jobs.console import print_table, progress, run_job, say
from jobs.places import StorageSettings
from jobs.stages import in_bytes, open_checked_store
from storage.compaction import MIN_GRACE_S, compact, tidy, uncompacted
from storage.errors import hold_rules
from storage.generations import Partition, partitions
from storage.object_store import ObjectInfo, ObjectStore, open_store
from storage.result_rows import schema_of
from storage.schemas import TABLES

_DRY_RUN = "--dry-run"
_HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactSettings:
    """Where, what, and whether to delete.

    Attributes:
        tables: empty for all of them.
        sweep_id: of one sweep or experiment; empty for all.
        min_commits: a sweep's table with fewer new commits is left as it is.
        delete: also deletes small objects that were compacted at least grace_hours ago.
        grace_hours: readers and writers that are slower than this are told to try again, so it is never short.
    """

    storage: StorageSettings = field(default_factory=StorageSettings)
    tables: tuple[str, ...] = ()
    sweep_id: str = ""
    min_commits: int = 2
    delete: bool = False
    grace_hours: float = 24.0

    def __post_init__(self) -> None:
        least = MIN_GRACE_S / _HOUR_S
        rules = {
            "min_commits": (self.min_commits >= 1, "1 or more"),
            "grace_hours": (self.grace_hours >= least, f"{least:.2f} or more"),
        }
        hold_rules("compact", self, rules)
        for table in self.tables:
            schema_of(table)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_compact, argv, usage=usage(__doc__, CompactSettings))


def _compact(words: Sequence[str]) -> None:
    settings = parse_settings(CompactSettings, [word for word in words if word != _DRY_RUN])
    if _DRY_RUN in words:
        store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
        _print_plan(store, settings, _small_objects(store, settings))
        say("nothing was written")
        return
    store = open_checked_store(settings.storage)
    small = _small_objects(store, settings)
    _print_plan(store, settings, small)
    _bring_together(store, settings, small)
    if settings.delete:
        _tidy(store, settings)
    else:
        say(f"nothing was deleted; the same command with delete=true deletes what is {settings.grace_hours:g} h old.")


def _small_objects(store: ObjectStore, settings: CompactSettings) -> dict[Partition, list[ObjectInfo]]:
    found: dict[Partition, list[ObjectInfo]] = {}
    for table in settings.tables or TABLES:
        found |= uncompacted(store, table, sweep_id=settings.sweep_id or None)
    return {partition: objects for partition, objects in found.items() if len(objects) >= settings.min_commits}


def _print_plan(store: ObjectStore, settings: CompactSettings, small: dict[Partition, list[ObjectInfo]]) -> None:
    if not small:
        say(f"nothing new to compact in {store.uri}")
        return
    rows = [
        (partition.table, partition.sweep_id, str(len(objects)), in_bytes(sum(info.size_bytes for info in objects)))
        for partition, objects in small.items()
    ]
    print_table(f"To compact in {store.uri}", ("table", "sweep", "commits", "size"), rows)


def _bring_together(store: ObjectStore, settings: CompactSettings, small: dict[Partition, list[ObjectInfo]]) -> None:
    outcomes, num_commits, num_rows, num_segments = Counter[str](), 0, 0, 0
    in_all, before = sum(map(len, small.values())), 0
    with progress("compact, commits") as show:
        for partition, objects in small.items():

            def tell(done: int, _: int, before: int = before, partition: Partition = partition) -> None:
                show(min(before + done, in_all), in_all, f"{partition.table} {partition.sweep_id}")

            done = compact(store, partition, min_commits=settings.min_commits, tell=tell)
            outcomes[done.outcome] += 1
            num_commits += done.num_commits
            num_rows += done.num_rows
            num_segments += done.num_segments if done.num_commits else 0
            before += len(objects)
    if small:
        others = outcomes["another process was faster"]
        left = f"; {others} left to another process that was faster" if others else ""
        say(f"compacted {num_commits} commits with {num_rows} rows into {num_segments} objects{left}")


def _tidy(store: ObjectStore, settings: CompactSettings) -> None:
    settled_before = time.time() - settings.grace_hours * _HOUR_S
    num_deleted = num_copied = 0
    with progress("delete, objects") as show:
        for table in settings.tables or TABLES:
            for partition in partitions(store, table, settings.sweep_id or None):

                def tell(done: int, _: int, before: int = num_deleted, partition: Partition = partition) -> None:
                    show(before + done, None, f"{partition.table} {partition.sweep_id}")

                done = tidy(store, partition, settled_before=settled_before, tell=tell)
                num_deleted += done.num_deleted
                num_copied += done.num_copied
    say(f"deleted {num_deleted} objects; {num_copied} large ones put into the tables' folders")


if __name__ == "__main__":
    sys.exit(main())
