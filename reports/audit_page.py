"""The audit of a data set as one HTML page.

Enters: findings at rest, and views of some clips. Leaves: the page as text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.clip_cards import ClipView, clip_card, clip_grid, how_to_read
from reports.document import document
from reports.markup import Markup, element, join
from reports.tables import facts, json_block, table
from reports.text import NO_VALUE, counted
from storage.findings import KINDS, Finding

_MAX_ROWS = 200

# kind → (heading, what it means, what to do)
_WORDS: Mapping[str, tuple[str, str]] = {
    "exact_duplicate": (
        "Exact duplicates",
        "Clips with the same decoded samples, whatever their names and lossless containers. In different groups they "
        "can end up in train and in test.",
    ),
    "near_duplicate": (
        "Near duplicates",
        "The same sound shifted, louder or softer, encoded again or under noise, in clips of different groups. The "
        "value is the correlation of the aligned patterns; in ESC-10 unrelated clips stay below 0.45.",
    ),
    "label_conflict": (
        "Label conflicts",
        "Identical or near-identical audio with different labels: at least one of them is wrong or incomplete.",
    ),
    "split_overlap": (
        "Split overlap",
        "Groups, recordings or copies in more than one part of the split: what is measured on them is not "
        "generalisation.",
    ),
    "silence": ("Silence", "Clips that are silent for most of their time."),
    "clipping": ("Clipping", "Clips with many samples at full scale in a row: the peaks are lost."),
    "band_limited": (
        "Band-limited sources",
        "Clips whose spectrum is dead above a sharp edge well below half of their sample rate: recorded or encoded at "
        "a lower rate than they are stored at. A model can learn the edge instead of the sound.",
    ),
    "unreadable": ("Unreadable", "Clips whose file is missing, cut off or no audio."),
}


def shown_findings(findings: Sequence[Finding], *, per_kind: int) -> list[Finding]:
    """The findings that the page shows with pictures and players: the first of every kind, the same clips once."""
    num_of_kind: Counter[str] = Counter()
    shown: dict[tuple[str, str | None], Finding] = {}
    for finding in findings:
        num_of_kind[finding.kind] += 1
        if num_of_kind[finding.kind] <= per_kind and finding.kind != "unreadable":
            shown.setdefault((finding.clip_id, finding.other_clip_id), finding)
    return list(shown.values())


def render_audit_page(
    findings: Sequence[Finding], summary: Mapping[str, Any], views: Mapping[str, ClipView], *, per_kind: int
) -> str:
    """The page.

    Args:
        findings: worst first within each kind.
        summary: as it lies beside the findings.
        views: by clip_id, of the clips in `shown_findings`; a clip without a view is only named.
    """
    by_kind: dict[str, list[Finding]] = {
        kind: [finding for finding in findings if finding.kind == kind] for kind in KINDS
    }
    shown = set(map(id, shown_findings(findings, per_kind=per_kind)))
    header = element(
        "header",
        element("p", "Data set audit", class_="eyebrow"),
        element("h1", summary["dataset"]),
        element("p", _lead(by_kind, summary), class_="lead"),
    )
    sections = [
        _kind_section(kind, of_kind, [finding for finding in of_kind if id(finding) in shown], views)
        for kind, of_kind in by_kind.items()
        if of_kind
    ]
    body = element("main", _overview_section(by_kind, summary), *sections, _settings_section(summary))
    footer = element("footer", element("p", f"Features {summary['fingerprint']}. Written {summary['written_at']}."))
    return document(f"{summary['dataset']}: audit", join(header, body, footer), with_audio=True)


def _lead(by_kind: Mapping[str, Sequence[Finding]], summary: Mapping[str, Any]) -> str:
    found = [f"{_WORDS[kind][0].lower()} {len(of_kind):,}" for kind, of_kind in by_kind.items() if of_kind]
    return f"{counted(summary['num_clips'], 'clip')}. {'Found: ' + ', '.join(found) if found else 'Nothing was found'}."


def _overview_section(by_kind: Mapping[str, Sequence[Finding]], summary: Mapping[str, Any]) -> Markup:
    header = (("finding", "name"), ("rows", "number"), ("what it means", "words"))
    left_out = summary["not_checked"]
    rows = [
        (_WORDS[kind][0], NO_VALUE if kind in left_out else len(of_kind), left_out.get(kind, _WORDS[kind][1]))
        for kind, of_kind in by_kind.items()
    ]
    compared = (
        f"{counted(summary['num_clips_compared'], 'clip')} with features; "
        f"{counted(summary['num_quarantined'], 'clip')} in quarantine were not compared; "
        f"{counted(summary['num_windows_without_pattern'], 'window')} with too little change for a near duplicate"
    )
    checked = left_out.get("silence", "every recording was decoded")
    pairs = [("compared for copies", compared), ("sound", checked), ("split", summary["split"])]
    return element(
        "section",
        element("h2", "What was looked for"),
        facts(pairs),
        table("Findings by kind", header, rows),
        how_to_read(),
    )


def _kind_section(
    kind: str, findings: Sequence[Finding], shown: Sequence[Finding], views: Mapping[str, ClipView]
) -> Markup:
    title, words = _WORDS[kind]
    left_out = len(findings) - _MAX_ROWS
    return element(
        "section",
        element("h2", f"{title} ({len(findings):,})"),
        element("p", words),
        _findings_table(title, findings[:_MAX_ROWS]),
        element("p", f"{left_out:,} more are in findings.parquet.", class_="caption") if left_out > 0 else None,
        *_pictures(shown, views),
    )


def _pictures(shown: Sequence[Finding], views: Mapping[str, ClipView]) -> list[Markup]:
    alone = [views[finding.clip_id] for finding in shown if not finding.other_clip_id and finding.clip_id in views]
    pairs = [_match(finding, views) for finding in shown if finding.other_clip_id]
    return [*pairs, clip_grid(alone)] if alone else pairs


def _match(finding: Finding, views: Mapping[str, ClipView]) -> Markup:
    cards = [clip_card(views[clip_id]) for clip_id in _clip_ids(finding) if clip_id in views]
    value = "" if finding.value is None else f"{finding.measure} {finding.value:.3g}: "
    return element(
        "div",
        element(
            "p", element("strong", f"{finding.clip_id} and {finding.other_clip_id}"), f" · {value}{finding.detail}"
        ),
        element("div", *cards, class_="clips"),
        class_="match",
    )


def _findings_table(title: str, findings: Sequence[Finding]) -> Markup:
    in_pairs = any(finding.other_clip_id for finding in findings)
    header = (
        ("clip", "name"),
        *((("other clip", "name"),) if in_pairs else ()),
        ("group", "name"),
        ("labels", "name"),
        ("measured", "name"),
        ("detail", "words"),
    )
    rows = [
        (
            finding.clip_id,
            *((finding.other_clip_id,) if in_pairs else ()),
            _both(finding.group, finding.other_group),
            _both(_joined(finding.labels), None if finding.other_labels is None else _joined(finding.other_labels)),
            finding.measure if finding.value is None else f"{finding.measure} {finding.value:.3g}",
            finding.detail,
        )
        for finding in findings
    ]
    return table(title, header, rows)


def _both(value: str, other: str | None) -> str:
    """The values of a pair, or the one that they share."""
    return value if other is None or other == value else f"{value} · {other}"


def _settings_section(summary: Mapping[str, Any]) -> Markup:
    return element("section", element("h2", "Settings"), json_block("Thresholds", summary["settings"]))


def _clip_ids(finding: Finding) -> list[str]:
    return [finding.clip_id, *([finding.other_clip_id] if finding.other_clip_id else [])]


def _joined(labels: Sequence[str]) -> str:
    return ", ".join(labels) or NO_VALUE
