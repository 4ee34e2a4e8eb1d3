"""A look at a data set as one HTML page: what there is, and a few clips of every class to see and hear.

Enters: counts and `ClipView`s. Leaves: the page as text. It holds pictures and players, so its size is the number of
clips times about 60 kB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.clip_cards import ClipView, clip_grid, how_to_read
from reports.document import document
from reports.markup import Markup, element, join
from reports.tables import facts, table
from reports.text import NO_VALUE, counted

_MAX_GROUPS = 12
_MAX_NAMES = 40
_MAX_UNREADABLE = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOverview:
    """What is said of the whole data set.

    Attributes:
        num_by_label, num_by_fold, num_by_group: clips; a clip of several labels counts for each of them.
        num_folds_by_label: label → fold → clips.
        num_read: clips whose files were read for what follows.
        durations_s, num_by_rate_hz, num_by_channels: of those that could be.
        unreadable: (clip_id, reason, detail) of the others.
    """

    dataset: str
    source: str
    num_clips: int
    num_by_label: Mapping[str, int]
    num_by_fold: Mapping[str, int]
    num_by_group: Mapping[str, int]
    num_folds_by_label: Mapping[str, Mapping[str, int]]
    num_read: int
    durations_s: Sequence[float]
    num_by_rate_hz: Mapping[int, int]
    num_by_channels: Mapping[int, int]
    unreadable: Sequence[tuple[str, str, str]]


def render_data_page(overview: DataOverview, clips_by_label: Mapping[str, Sequence[ClipView]]) -> str:
    """The page.

    Args:
        clips_by_label: the clips to show; labels that are missing here are named as not shown.
    """
    shown = sum(len(views) for views in clips_by_label.values())
    header = element(
        "header",
        element("p", "A look at the data", class_="eyebrow"),
        element("h1", overview.dataset),
        element("p", _summary(overview, shown), class_="lead"),
        element("p", _unreadable_notice(overview), class_="notice", role="note") if overview.unreadable else None,
    )
    sections = [_label_section(label, overview, views) for label, views in clips_by_label.items()]
    body = element(
        "main",
        _counts_section(overview),
        _unreadable_section(overview),
        _clips_section(overview, clips_by_label),
        *sections,
    )
    footer = element("footer", element("p", f"Made from the recordings alone, source {overview.source}."))
    return document(f"{overview.dataset}: a look at the data", join(header, body, footer), with_audio=True)


def _summary(overview: DataOverview, shown: int) -> str:
    labels = counted(len(overview.num_by_label), "class", "classes")
    groups = counted(len(overview.num_by_group), "group")
    return f"{counted(overview.num_clips, 'clip')} of {labels} and {groups}; {shown} of them are shown below."


def _counts_section(overview: DataOverview) -> Markup:
    folds = list(overview.num_by_fold)
    header = [("class", "name"), ("clips", "number"), *((f"fold {fold}", "number") for fold in folds)]
    rows = [
        (_named(label), number, *(overview.num_folds_by_label[label].get(fold, 0) for fold in folds))
        for label, number in sorted(overview.num_by_label.items())
    ]
    total = ("all clips", overview.num_clips, *(overview.num_by_fold[fold] for fold in folds))
    return element(
        "section",
        element("h2", "What there is"),
        facts(_file_facts(overview)),
        table("Clips by class and fold", header, [total, *rows], highlight_first=True),
        element("p", "A clip with several labels counts for each of them.", class_="caption"),
    )


def _file_facts(overview: DataOverview) -> list[tuple[str, str]]:
    num_readable = len(overview.durations_s)
    drawn = "all clips" if overview.num_read == overview.num_clips else f"{overview.num_read:,} clips drawn at random"
    return [
        ("files read", f"{drawn}; {num_readable:,} can be decoded, {len(overview.unreadable):,} cannot"),
        ("duration", _durations(overview.durations_s)),
        ("sample rate", _shares(overview.num_by_rate_hz, "{:,} Hz")),
        ("channels", _shares(overview.num_by_channels, "{}")),
        ("clips per group", _group_sizes(overview.num_by_group)),
        ("folds", ", ".join(f"{fold}: {number:,}" for fold, number in overview.num_by_fold.items()) or "none given"),
    ]


def _durations(durations_s: Sequence[float]) -> str:
    if not durations_s:
        return NO_VALUE
    ordered = sorted(durations_s)
    median = ordered[len(ordered) // 2]
    hours = sum(ordered) / 3600
    return f"{ordered[0]:.2f} s to {ordered[-1]:.2f} s, median {median:.2f} s; {hours:.2f} h together"


def _shares(numbers: Mapping[int, int], form: str) -> str:
    return (
        ", ".join(f"{form.format(value)} ({counted(number, 'clip')})" for value, number in numbers.items()) or NO_VALUE
    )


def _group_sizes(num_by_group: Mapping[str, int]) -> str:
    sizes = sorted(num_by_group.values())
    largest = sorted(num_by_group.items(), key=lambda item: (-item[1], item[0]))[:_MAX_GROUPS]
    names = ", ".join(f"{group} ({number:,})" for group, number in largest if number > 1)
    return f"{sizes[0]:,} to {sizes[-1]:,}, median {sizes[len(sizes) // 2]:,}" + (
        f"; largest: {names}" if names else ""
    )


def _unreadable_notice(overview: DataOverview) -> str:
    verb = "cannot be read and would be quarantined" if len(overview.unreadable) > 1 else "cannot be read"
    return f"{counted(len(overview.unreadable), 'clip')} of {overview.num_read:,} {verb}."


def _unreadable_section(overview: DataOverview) -> Markup | None:
    if not overview.unreadable:
        return None
    rows = list(overview.unreadable)[:_MAX_UNREADABLE]
    header = (("clip", "name"), ("reason", "name"), ("detail", "words"))
    left_out = len(overview.unreadable) - len(rows)
    return element(
        "section",
        element("h2", "Quarantine"),
        table("Clips that cannot be read", header, rows),
        element("p", f"{left_out:,} more are not listed.", class_="caption") if left_out else None,
    )


def _clips_section(overview: DataOverview, clips_by_label: Mapping[str, Sequence[ClipView]]) -> Markup:
    left_out = [_named(label) for label in overview.num_by_label if label not in clips_by_label]
    verb = "is" if len(left_out) == 1 else "are"
    names = ", ".join(left_out[:_MAX_NAMES]) + (" …" if len(left_out) > _MAX_NAMES else "")
    words = f"{counted(len(left_out), 'class', 'classes')} with fewer clips {verb} not shown: {names}."
    return element(
        "section",
        element("h2", "Clips"),
        how_to_read(),
        element("p", words, class_="notice", role="note") if left_out else None,
    )


def _label_section(label: str, overview: DataOverview, views: Sequence[ClipView]) -> Markup:
    of = f"{len(views)} of {counted(overview.num_by_label[label], 'clip')}, drawn at random"
    return element("section", element("h2", _named(label)), element("p", of, class_="caption"), clip_grid(views))


def _named(label: str) -> str:
    return label or "(no label)"
