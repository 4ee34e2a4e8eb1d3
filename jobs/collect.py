"""Lists features that no sweep refers to, their embeddings, and what interrupted runs left; delete=true deletes them.

python jobs/collect.py storage.uri=s3://bucket/prefix min_age_days=30
python jobs/collect.py storage.uri=s3://bucket/prefix min_age_days=30 delete=true

Features stay while a sweep of the results table refers to them, or while anything in their folder is younger than
min_age_days; embeddings stay while their features do, but for parts that their marker does not name. What was deleted
can be computed again. Splits, checkpoints, models, predictions, results and reports are never touched.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.command_line import parse_settings, usage
from jobs.console import print_table, progress, run_job, say
from jobs.places import StorageSettings
from jobs.stages import in_bytes
from storage.errors import hold_rules
from storage.garbage import Garbage, delete_garbage, find_garbage, referred_features
from storage.object_store import ObjectStore, open_store

_DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectSettings:
    """Where, how old, and whether to act.

    Attributes:
        min_age_days: nothing younger is garbage; runs that are under way write all the time.
        delete: false only lists.
    """

    storage: StorageSettings = field(default_factory=StorageSettings)
    min_age_days: float = 30.0
    delete: bool = False

    def __post_init__(self) -> None:
        hold_rules("collect", self, {"min_age_days": (self.min_age_days >= 0, "0 or more")})


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_collect, argv, usage=usage(__doc__, CollectSettings))


def _collect(words: Sequence[str]) -> None:
    settings = parse_settings(CollectSettings, words)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    now = time.time()
    found = find_garbage(store, referred=referred_features(store), written_before=now - settings.min_age_days * _DAY_S)
    for folder in found.unreadable:
        say(f"left alone, as its marker cannot be read: {folder}")
    if not found.garbage:
        say(f"nothing to collect in {store.uri}")
        return
    header = ("data set", "fingerprint", "why", "objects", "size", "newest, days")
    print_table(f"Garbage in {store.uri}", header, [_row(garbage, now) for garbage in found.garbage])
    in_all = in_bytes(sum(garbage.size_bytes for garbage in found.garbage))
    if settings.delete:
        _delete(store, found.garbage)
    else:
        say(f"{in_all} in all; nothing was deleted. The same command with delete=true deletes it.")


def _delete(store: ObjectStore, garbage: Sequence[Garbage]) -> None:
    freed_bytes = 0
    with progress("delete, folders") as tell:
        for number, item in enumerate(garbage):
            # Asked anew for each: a sweep may have begun meanwhile.
            in_use = (item.dataset, item.fingerprint) in referred_features(store) and not item.is_orphaned
            if in_use or not delete_garbage(store, item):
                say(f"left alone, as it came into use meanwhile: {item.prefix}")
            else:
                freed_bytes += item.size_bytes
            tell(number + 1, len(garbage))
    say(f"deleted {in_bytes(freed_bytes)}")


def _row(garbage: Garbage, now: float) -> tuple[str, ...]:
    age_days = max(now - garbage.modified_at, 0.0) / _DAY_S
    size = in_bytes(garbage.size_bytes)
    return garbage.dataset, garbage.fingerprint, garbage.why, str(len(garbage.objects)), size, f"{age_days:.1f}"


if __name__ == "__main__":
    sys.exit(main())
