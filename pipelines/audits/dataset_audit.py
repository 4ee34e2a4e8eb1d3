"""The audit of a whole data set: what leaks, what contradicts itself, what is poor.

Enters: pairs of copies, the parts of a split, and the recordings. Leaves: findings. The recordings are decoded once,
for what log-mels do not show.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.audits.clip_audio import Decode, map_audio
from pipelines.audits.copies import Pair
from pipelines.audits.near_duplicates import NearDuplicateSettings
from pipelines.audits.sound_checks import SoundCheckSettings, SoundMeasures, is_finding, measure_sound
from pipelines.decoding.decode import decode
from pipelines.decoding.rules import Undecodable
from pipelines.feature_spec import FeatureSpec
from pipelines.files.recordings import recordings_of
from pipelines.manifest import Clip, Manifest
from pipelines.splits import inseparable
from storage.findings import KINDS, Finding, Kind
from storage.split import Part

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetAuditSettings:
    """Thresholds of the findings.

    Attributes:
        recordings: decode every recording once, for silence, clipping and bandwidth.
        num_processes: that decode; 0 for one per core.
    """

    near_duplicates: NearDuplicateSettings = field(default_factory=NearDuplicateSettings)
    sound: SoundCheckSettings = field(default_factory=SoundCheckSettings)
    recordings: bool = True
    num_processes: int = 0


def not_checked(spec: FeatureSpec, settings: DatasetAuditSettings) -> dict[Kind, str]:
    """Which kinds of finding an audit of such features leaves out, and why, in words."""
    of_recordings: tuple[Kind, ...] = ("silence", "clipping", "band_limited", "unreadable")
    words: dict[Kind, str] = {}
    if not settings.recordings:
        words |= dict.fromkeys(of_recordings, "not checked (audit.recordings=false)")
    if spec.is_iq:
        no_pattern = "not checked: IQ samples have no bands of sound whose levels a copy keeps; equal samples are found"
        no_scale = "not checked: IQ samples are no sound: there is no full scale, and no half of the rate that is empty"
        in_quarantine = "not checked: IQ samples were read for the features; what could not be is in the quarantine"
        words |= {"near_duplicate": no_pattern, **dict.fromkeys(of_recordings, no_scale), "unreadable": in_quarantine}
    return words


def duplicate_findings(pairs: Sequence[Pair], settings: NearDuplicateSettings) -> Iterator[Finding]:
    """The pairs as findings; each once more where its labels contradict each other."""
    for pair in pairs:
        exact = pair.correlation is None
        measured: dict[str, Any] = {
            "measure": "equal_samples" if exact else "correlation",
            "value": 1.0 if exact else pair.correlation,
            "threshold": None if exact else settings.min_correlation,
        }
        same_group = ", in the same group" if pair.first.group == pair.second.group else ""
        detail = "the same samples" if exact else f"{_lag_in_words(pair.lag_s)}"
        yield _pair_finding(
            "exact_duplicate" if exact else "near_duplicate", pair, detail=detail + same_group, **measured
        )
        if set(pair.first.labels) != set(pair.second.labels):
            labels = " and ".join("|".join(clip.labels) or "no label" for clip in (pair.first, pair.second))
            yield _pair_finding("label_conflict", pair, detail=f"labelled {labels}", **measured)


def split_findings(manifest: Manifest, parts: Mapping[str, Part], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """What lies in more than one part of a split: clips of one group or recording, and copies.

    Args:
        parts: clip_id → part. Clips that the split does not have are not judged.
    """
    bound = inseparable(manifest)
    members: dict[str, list[Clip]] = defaultdict(list)
    for clip in manifest.clips:
        if clip.clip_id in parts:
            members[bound[clip.clip_id]].append(clip)
    for clips in members.values():
        by_part = {parts[clip.clip_id]: clip for clip in reversed(clips)}
        for (one, first), (other, second) in itertools.combinations(sorted(by_part.items()), 2):
            detail = f"one group or recording in {one} and {other}"
            yield _pair_finding("split_overlap", Pair(first=first, second=second), measure="group", detail=detail)
    for pair in pairs:
        part, other_part = parts.get(pair.first.clip_id), parts.get(pair.second.clip_id)
        if part and other_part and part != other_part:
            exact = pair.correlation is None
            yield _pair_finding(
                "split_overlap",
                pair,
                measure="equal_samples" if exact else "correlation",
                value=1.0 if exact else pair.correlation,
                detail=f"{'a copy' if exact else 'a near copy'} in {part} and {other_part}",
            )


def sound_findings(
    manifest: Manifest,
    settings: DatasetAuditSettings,
    *,
    clip_time_limit_s: float = 120.0,
    on_progress: Progress = lambda done, total: None,
    decode: Decode = decode,
) -> Iterator[Finding]:
    """Decodes every clip once and tells silence, clipping, narrow bands and what cannot be read.

    A clip whose decoder crashes or hangs is one that cannot be read.
    """
    measured = map_audio(
        recordings_of(manifest),
        manifest.clips,
        functools.partial(measure_sound, settings=settings.sound),
        num_processes=settings.num_processes,
        clip_time_limit_s=clip_time_limit_s,
        decode=decode,
    )
    for done, (clip, found) in enumerate(measured, start=1):
        on_progress(done, len(manifest.clips))
        if isinstance(found, Undecodable):
            yield _clip_finding("unreadable", clip, measure=found.reason, detail=found.detail)
            continue
        kinds = is_finding(found, settings.sound)
        yield from (_sound_finding(kind, clip, found, settings.sound) for kind in kinds if kinds[kind])


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """By kind in the order of KINDS, then by how far the value lies from harmless."""
    smaller_is_worse = {"band_limited"}

    def order(finding: Finding) -> tuple[int, float, str, str]:
        value = finding.value or 0.0
        badness = value if finding.kind in smaller_is_worse else -value
        return KINDS.index(finding.kind), badness, finding.clip_id, finding.other_clip_id or ""

    return sorted(findings, key=order)


def _sound_finding(kind: str, clip: Clip, found: SoundMeasures, settings: SoundCheckSettings) -> Finding:
    words = {
        "silence": f"below {settings.silence_db:g} dB of full scale for {found.silent_share:.0%} of the time",
        "clipping": f"{found.clipped_share:.2%} of samples in runs at full scale",
        "band_limited": f"nothing above {found.bandwidth_hz / 1000:.1f} kHz, "
        f"stored at {found.sample_rate_hz / 1000:g} kHz",
    }
    columns = {
        "silence": ("silent_share", found.silent_share, settings.silence_share),
        "clipping": ("clipped_share", found.clipped_share, settings.clipped_share),
        "band_limited": ("bandwidth_share", found.bandwidth_share, settings.bandwidth_share),
    }
    measure, value, threshold = columns[kind]
    return _clip_finding(kind, clip, measure=measure, value=value, threshold=threshold, detail=words[kind])


def _clip_finding(kind: Any, clip: Clip, **columns: Any) -> Finding:
    return Finding(kind=kind, clip_id=clip.clip_id, group=clip.group, labels=clip.labels, **columns)


def _pair_finding(kind: Any, pair: Pair, **columns: Any) -> Finding:
    other = pair.second
    return _clip_finding(
        kind, pair.first, other_clip_id=other.clip_id, other_group=other.group, other_labels=other.labels, **columns
    )


def _lag_in_words(lag_s: float | None) -> str:
    if lag_s is None:
        return "in windows at places that were drawn"
    if abs(lag_s) < 0.03:
        return "at the same place"
    return f"{abs(lag_s):.2f} s {'later' if lag_s > 0 else 'earlier'} in the second"
