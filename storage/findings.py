"""The findings of an audit at rest: `audits/<dataset>/<fingerprint>/`, one Parquet table and a JSON summary.

Enters: findings. Leaves: the same table for any reader. A later audit of the same features replaces it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

from storage.errors import ObjectNotFound, StorageError
from storage.json_text import parse_json
from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet

Kind = Literal[
    "exact_duplicate",
    "near_duplicate",
    "label_conflict",
    "split_overlap",
    "silence",
    "clipping",
    "band_limited",
    "unreadable",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

FINDINGS_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # one of KINDS
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("other_clip_id", pa.string()),  # of the pair; null where the finding is about one clip
        pa.field("group", pa.string(), nullable=False),
        pa.field("other_group", pa.string()),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("other_labels", pa.list_(pa.string())),
        pa.field("measure", pa.string(), nullable=False),  # what `value` is, with its unit in the name
        pa.field("value", pa.float64()),  # null where nothing was measured
        pa.field("threshold", pa.float64()),  # the setting that `value` was held against
        pa.field("detail", pa.string(), nullable=False),  # one line of words
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One row: the columns of FINDINGS_SCHEMA."""

    kind: Kind
    clip_id: str
    group: str
    labels: tuple[str, ...]
    other_clip_id: str | None = None
    other_group: str | None = None
    other_labels: tuple[str, ...] | None = None
    measure: str = ""
    value: float | None = None
    threshold: float | None = None
    detail: str = ""


def is_leak(finding: Finding) -> bool:
    """Whether results are in doubt: a copy in another group, a conflict of labels, or an overlap of the split."""
    if finding.kind in ("exact_duplicate", "near_duplicate"):
        return finding.group != finding.other_group
    return finding.kind in ("label_conflict", "split_overlap")


def save_findings(
    store: ObjectStore, findings: Sequence[Finding], *, dataset: str, fingerprint: str, summary: dict[str, Any]
) -> str:
    """Stores the findings, the summary last, and returns the key of the table."""
    table = pa.Table.from_pylist([asdict(finding) for finding in findings], schema=FINDINGS_SCHEMA)
    key = audit_key(dataset, fingerprint, "findings.parquet")
    store.put(key, to_parquet(table))
    store.put(audit_key(dataset, fingerprint, "summary.json"), json.dumps(summary, indent=1, sort_keys=True).encode())
    return key


def load_findings(store: ObjectStore, *, dataset: str, fingerprint: str) -> tuple[list[Finding], dict[str, Any]]:
    """The findings and the summary of the last audit.

    Raises:
        StorageError: these features were never audited, or what is stored is damaged.
    """
    try:
        table = read_parquet(store, audit_key(dataset, fingerprint, "findings.parquet"))
        summary = parse_json(store.get(audit_key(dataset, fingerprint, "summary.json")))
        return [_finding(row) for row in table.to_pylist()], summary
    except ObjectNotFound as e:
        raise StorageError(f"{store.uri} has no audit of {dataset} {fingerprint}. Run jobs/audit.py.") from e
    except (ValueError, TypeError, KeyError) as e:
        raise StorageError(
            f"{store.uri}: the audit of {dataset} {fingerprint} is damaged ({e}). Run jobs/audit.py again."
        ) from e


def audit_key(dataset: str, fingerprint: str, name: str) -> str:
    """Where the file `name` of the last audit of these features lies."""
    return f"audits/{dataset}/{fingerprint}/{name}"


def _finding(row: dict[str, Any]) -> Finding:
    other = row["other_labels"]
    return Finding(**{**row, "labels": tuple(row["labels"]), "other_labels": None if other is None else tuple(other)})
