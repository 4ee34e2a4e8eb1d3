"""The audit of two CSV files as a person sees it: a table or JSON, and an exit code.

Enters: the names of two files. Leaves: 0 or 1, or an error where a comparison that was asked for was not made.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.console import print_table, progress, say
from pipelines.audits.leak_audit import Overlap, audit_tables, read_clip_table
from storage.errors import InvalidInput

_NUM_EXAMPLES = 3
_HEADER = ("kind", "column", "in first", "in second", "in both", "share of second", "examples")


@dataclass(frozen=True, kw_only=True, slots=True)
class TableAuditSettings:
    """Which files, where their audio lies, and the columns where `audit_tables` should not look for them itself."""

    first: str = ""
    second: str = ""
    audio_root: str = ""
    id_column: str = ""
    group_column: str = ""
    uri_column: str = ""
    format: Literal["text", "json"] = "text"


def run_table_audit(settings: TableAuditSettings) -> int:
    """Compares two CSV files and prints what they share.

    Returns:
        1 if anything overlaps, else 0.

    Raises:
        InvalidInput: a file cannot be used, or nothing overlaps and a comparison that was asked for was not made, or
            not over all rows.
    """
    for field, path in (("first", settings.first), ("second", settings.second)):
        if not path:
            raise InvalidInput(field, given="", allowed="a CSV file", remedy=f"Give {field}=<file.csv>.")
    first = read_clip_table(settings.first, field="first")
    second = read_clip_table(settings.second, field="second")
    with _progress(settings) as tell:
        overlaps = audit_tables(
            first,
            second,
            id_column=settings.id_column,
            group_column=settings.group_column,
            uri_column=settings.uri_column,
            audio_root=settings.audio_root,
            on_progress=tell,
        )
    leaky = any(overlap.shared for overlap in overlaps)
    if settings.format == "json":
        complete = not any(overlap.shortfall for overlap in overlaps)
        comparisons = [_as_json(overlap) for overlap in overlaps]
        print(json.dumps({"overlaps": leaky, "complete": complete, "comparisons": comparisons}, indent=1))
    else:
        _show(overlaps, f"{settings.first} and {settings.second}")
    if not leaky:
        _refuse_shortfall(overlaps, settings)
    return 1 if leaky else 0


def _refuse_shortfall(overlaps: Sequence[Overlap], settings: TableAuditSettings) -> None:
    """No overlap was found, but where nobody looked there may be some."""
    asked_by = {"clip id": "id_column", "group": "group_column", "identical audio": "audio_root"}
    for overlap in overlaps:
        if overlap.shortfall:
            field = asked_by[overlap.kind]
            raise InvalidInput(
                field,
                given=f"{getattr(settings, field)} ({overlap.shortfall})",
                allowed="a comparison that can be made over all rows",
                remedy=f"No overlap was found in the rest. Correct the files, or leave out {field}.",
            )


@contextlib.contextmanager
def _progress(settings: TableAuditSettings) -> Iterator[Callable[[int, int], None]]:
    if settings.format == "json":  # nothing but the JSON may stand on stdout
        yield lambda done, total: None
        return
    with progress("hash audio, clips") as tell:
        yield tell


def _show(overlaps: Sequence[Overlap], title: str) -> None:
    print_table(title, _HEADER, [_row(overlap) for overlap in overlaps])
    for overlap in overlaps:
        for name, num_empty in (("first", overlap.num_empty_first), ("second", overlap.num_empty_second)):
            if num_empty:
                say(f"{overlap.kind}: {num_empty} rows of {name} have no {overlap.column} and were not compared")
        if overlap.unreadable:
            say(f"{overlap.kind}: {len(overlap.unreadable)} files could not be read and were not compared:")
        for line in overlap.unreadable:
            say(f"  {line}")
    found = [f"{len(overlap.shared)} {overlap.kind}" for overlap in overlaps if overlap.shared]
    say(f"overlap: {', '.join(found)}" if found else "no overlap in what was compared")


def _row(overlap: Overlap) -> tuple[str, ...]:
    if overlap.not_compared:
        return (overlap.kind, overlap.column, "–", "–", "–", "–", overlap.not_compared)
    share = overlap.share_of_second
    return (
        overlap.kind,
        overlap.column,
        str(overlap.num_first),
        str(overlap.num_second),
        str(len(overlap.shared)),
        "–" if share is None else f"{share:.1%}",
        ", ".join(overlap.shared[:_NUM_EXAMPLES]),
    )


def _as_json(overlap: Overlap) -> dict[str, Any]:
    compared = not overlap.not_compared
    return {
        "kind": overlap.kind,
        "column": overlap.column or None,
        "not_compared": overlap.not_compared or None,
        "num_first": overlap.num_first if compared else None,
        "num_second": overlap.num_second if compared else None,
        "num_both": len(overlap.shared) if compared else None,
        "share_of_second": overlap.share_of_second,
        "shared": list(overlap.shared),
        "num_empty_first": overlap.num_empty_first,
        "num_empty_second": overlap.num_empty_second,
        "unreadable": list(overlap.unreadable),
    }
