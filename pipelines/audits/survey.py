"""What a data set's files are: lengths, rates, channels, and which cannot be read.

Enters: a manifest. Leaves: a `Survey` over all clips, or over a drawn sample where there are many.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.audits.clip_audio import map_audio
from pipelines.decoding.decode import Waveform
from pipelines.decoding.rules import Undecodable
from pipelines.files.recordings import recordings_of
from pipelines.manifest import Clip, Manifest
from storage.identity import derive_seed


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What the files of some clips have.

    Attributes:
        num_clips: that were tried; all of the data set or a sample.
        durations_s: of the clips that could be read.
        num_by_rate_hz, num_by_channels: clips by what their files have.
        unreadable: (clip_id, reason, detail).
    """

    num_clips: int
    durations_s: tuple[float, ...]
    num_by_rate_hz: Mapping[int, int]
    num_by_channels: Mapping[int, int]
    unreadable: tuple[tuple[str, str, str], ...]


def survey_recordings(
    manifest: Manifest,
    *,
    max_clips: int,
    seed: int,
    clip_time_limit_s: float = 120.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Decodes the clips, or `max_clips` drawn by `seed`; a bad file becomes a line of `unreadable`."""
    clips = draw_clips(manifest.clips, max_clips, np.random.default_rng(derive_seed("survey", seed)))
    durations_s, rates_hz, channels, unreadable = [], Counter[int](), Counter[int](), []
    facts = map_audio(recordings_of(manifest), clips, _facts, clip_time_limit_s=clip_time_limit_s)
    for done, (clip, found) in enumerate(facts, start=1):
        on_progress(done, len(clips))
        if isinstance(found, Undecodable):
            unreadable.append((clip.clip_id, found.reason, found.detail))
            continue
        durations_s.append(found[0])
        rates_hz[found[1]] += 1
        channels[found[2]] += 1
    return Survey(
        num_clips=len(clips),
        durations_s=tuple(durations_s),
        num_by_rate_hz=dict(sorted(rates_hz.items())),
        num_by_channels=dict(sorted(channels.items())),
        unreadable=tuple(unreadable),
    )


def _facts(waveform: Waveform) -> tuple[float, int, int]:
    """Seconds, the file's rate and channels."""
    rate_hz = waveform.sample_rate_hz
    return len(waveform.samples) / rate_hz, waveform.source_rate_hz or rate_hz, waveform.num_channels


def draw_by_label(
    manifest: Manifest, *, clips_per_label: int, max_clips: int, seed: int
) -> dict[str, tuple[Clip, ...]]:
    """Some clips of every label, the same for the same seed whatever other labels there are.

    Where that would be more than max_clips, fewer clips are drawn of each label, and where even one of each is too
    many, the commonest labels are kept. Clips without label stand under the empty text.
    """
    by_label: dict[str, list[Clip]] = {}
    for clip in manifest.clips:
        for label in clip.labels or ("",):
            by_label.setdefault(label, []).append(clip)
    commonest = sorted(by_label, key=lambda label: (-len(by_label[label]), label))[:max_clips]
    num_each = max(1, min(clips_per_label, max_clips // max(1, len(commonest))))
    return {
        label: draw_clips(by_label[label], num_each, np.random.default_rng(derive_seed("look", seed, label)))
        for label in sorted(commonest)
    }


def draw_clips(clips: tuple[Clip, ...] | list[Clip], number: int, generator: np.random.Generator) -> tuple[Clip, ...]:
    """`number` different clips, or all where there are no more, in their order."""
    if len(clips) <= number:
        return tuple(clips)
    return tuple(clips[place] for place in sorted(generator.choice(len(clips), number, replace=False)))
