"""The audit of a whole data set as a person meets it: progress, a table, a page, and an exit code."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.clip_views import clip_views
from jobs.console import print_table, progress, say
from jobs.settings import JobSettings
from jobs.stages import find_recordings, write_page
from pipelines.audits.copies import Copies, find_copies
from pipelines.audits.dataset_audit import (
    DatasetAuditSettings,
    duplicate_findings,
    not_checked,
    sound_findings,
    split_findings,
    worst_first,
)
from pipelines.files.recordings import recordings_of
from pipelines.manifest import Manifest
from pipelines.splits import SplitSettings, draw_parts
from reports.audit_page import render_audit_page, shown_findings
from storage.errors import InvalidInput, hold_rules
from storage.feature_store import FeatureStore
from storage.findings import KINDS, Finding, audit_key, is_leak, load_findings, save_findings
from storage.object_store import ObjectStore, open_store
from storage.split import Part, load_split

_NUM_EXAMPLES = 3
_HEADER = ("finding", "rows", "worst", "examples")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetAuditJobSettings(JobSettings):
    """Of the settings of the main job, data, features, split, storage, report and pipeline.clip_time_limit_s are used.

    Attributes:
        split_hash: of a stored split to audit; empty for the one that split.* would draw.
        examples: findings of each kind that the page shows with pictures and players, at most two clips each.
        excerpt_s: seconds of each clip that are shown.
    """

    audit: DatasetAuditSettings = field(default_factory=DatasetAuditSettings)
    split_hash: str = ""
    examples: int = 8
    excerpt_s: float = 5.0

    def __post_init__(self) -> None:
        rules = {
            "examples": (0 <= self.examples <= 50, "from 0 to 50"),
            "excerpt_s": (0 < self.excerpt_s <= 60, "above 0, up to 60"),
        }
        hold_rules("setting", self, rules)


def run_dataset_audit(settings: DatasetAuditJobSettings) -> int:
    """Audits the data set, stores the findings, writes the page and prints a summary.

    Returns:
        1 if anything leaks or contradicts itself (copies in different groups, overlaps of the split, conflicts of
        labels), else 0. Poor sound and unreadable clips are told and do not change it.

    Raises:
        InvalidInput: the settings name no data set, or the split that they ask for cannot be drawn.
        StorageError: there are no complete features of it, or a store is at fault.
    """
    manifest = find_recordings(settings)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    fingerprint = settings.features.fingerprint
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=fingerprint)
    num_quarantined = (features.marker() or {}).get("num_quarantined", 0)
    parts, policy = _parts(manifest, settings, store)
    copies = find_copies(manifest, features, settings.audit.near_duplicates)
    say(f"compared {copies.num_clips} clips by their features {fingerprint}")
    findings = worst_first(
        [
            *duplicate_findings(copies.pairs, settings.audit.near_duplicates),
            *split_findings(manifest, parts, copies.pairs),
            *_sound_findings(manifest, settings),
        ]
    )
    summary = _summary(manifest, settings, copies, policy, num_quarantined)
    key = save_findings(store, findings, dataset=manifest.dataset, fingerprint=fingerprint, summary=summary)
    path = _write_page(manifest, settings, store)
    left_out = summary["not_checked"]
    print_table(f"Audit of {manifest.dataset}", _HEADER, [_row(kind, findings, kind in left_out) for kind in KINDS])
    for words in dict.fromkeys(left_out.values()):
        say(f"{_kinds_in_words([kind for kind in left_out if left_out[kind] == words])}: {words}")
    say(f"split: {policy}")
    say(f"findings: {store.uri}/{key}")
    say(f"page: {path}")
    return 1 if any(map(is_leak, findings)) else 0


def _parts(manifest: Manifest, settings: DatasetAuditJobSettings, store: ObjectStore) -> tuple[dict[str, Part], str]:
    if settings.split_hash:
        split = load_split(store, dataset=manifest.dataset, split_hash=settings.split_hash)
        return dict(split.parts), f"{split.policy} (stored, {settings.split_hash})"
    try:
        return draw_parts(manifest, settings.split)
    except InvalidInput as e:
        if settings.split != SplitSettings():  # somebody asked for this very split
            raise
        return {}, f"not checked, as none can be drawn by default ({e.field}: {e.given}; allowed: {e.allowed})"


def _sound_findings(manifest: Manifest, settings: DatasetAuditJobSettings) -> list[Finding]:
    if "silence" in not_checked(settings.features, settings.audit):
        return []
    with progress("check sound, clips") as tell:
        return list(
            sound_findings(
                manifest,
                settings.audit,
                clip_time_limit_s=settings.pipeline.clip_time_limit_s,
                on_progress=tell,
            )
        )


def _summary(
    manifest: Manifest, settings: DatasetAuditJobSettings, copies: Copies, policy: str, num_quarantined: int
) -> dict[str, Any]:
    return {
        "dataset": manifest.dataset,
        "fingerprint": settings.features.fingerprint,
        "num_clips": len(manifest.clips),
        "num_clips_compared": copies.num_clips,
        "num_quarantined": num_quarantined,
        "num_windows_without_pattern": copies.num_without_pattern,
        "not_checked": not_checked(settings.features, settings.audit),
        "split": policy,
        "settings": dataclasses.asdict(settings.audit),
        "written_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _write_page(manifest: Manifest, settings: DatasetAuditJobSettings, store: ObjectStore) -> str:
    """Renders what was stored, not what is in memory: the page can show no more than the table holds."""
    fingerprint = settings.features.fingerprint
    findings, summary = load_findings(store, dataset=manifest.dataset, fingerprint=fingerprint)
    clips = {clip.clip_id: clip for clip in manifest.clips}
    shown = shown_findings(findings, per_kind=settings.examples)
    of_shown = [] if settings.features.is_iq else shown  # IQ samples are nothing to listen to
    ids = [clip_id for finding in of_shown for clip_id in (finding.clip_id, finding.other_clip_id) if clip_id]
    with progress("draw, clips") as tell:
        views = clip_views(
            recordings_of(manifest),
            [clips[clip_id] for clip_id in ids],
            excerpt_s=settings.excerpt_s,
            clip_time_limit_s=settings.pipeline.clip_time_limit_s,
            on_progress=tell,
        )
    page = render_audit_page(findings, summary, views, per_kind=settings.examples)
    store.put(audit_key(manifest.dataset, fingerprint, "page.html"), page.encode())
    return f"{write_page(page, f'{manifest.dataset}-audit.html', settings.report)} ({len(page.encode()) / 1e6:.1f} MB)"


def _row(kind: str, findings: Sequence[Finding], left_out: bool) -> tuple[str, ...]:
    if left_out:
        return kind.replace("_", " "), "–", "not checked", ""
    of_kind = [finding for finding in findings if finding.kind == kind]
    worst = of_kind[0] if of_kind else None
    value = "–" if worst is None or worst.value is None else f"{worst.value:.3g} {worst.measure}"
    if kind == "unreadable" and of_kind:
        value = ", ".join(f"{count} {reason}" for reason, count in Counter(f.measure for f in of_kind).most_common())
    names = [" = ".join(filter(None, (finding.clip_id, finding.other_clip_id))) for finding in of_kind]
    return kind.replace("_", " "), str(len(of_kind)), value, ", ".join(names[:_NUM_EXAMPLES])


def _kinds_in_words(kinds: Sequence[str]) -> str:
    return ", ".join(kind.replace("_", " ") for kind in kinds)
