"""From clips to views of a page: reads their audio and puts together what `reports` shows."""

import functools
from collections.abc import Callable, Sequence

from pipelines.audits.clip_audio import map_audio
from pipelines.audits.excerpts import Excerpt, cut_excerpt
from pipelines.decoding.rules import Undecodable
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip
from reports.clip_cards import ClipView, SoundView


def clip_views(
    recordings: Recordings,
    clips: Sequence[Clip],
    *,
    excerpt_s: float,
    clip_time_limit_s: float = 120.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, ClipView]:
    """clip_id → view of every clip, each read once; one that cannot be read is shown with the reason."""
    once = list({clip.clip_id: clip for clip in clips}.values())
    found = {}
    cut = functools.partial(cut_excerpt, max_s=excerpt_s)
    excerpts = map_audio(recordings, once, cut, clip_time_limit_s=clip_time_limit_s)
    for done, (clip, excerpt) in enumerate(excerpts, start=1):
        found[clip.clip_id] = _view(clip, excerpt)
        on_progress(done, len(once))
    return found


def _view(clip: Clip, excerpt: Excerpt | Undecodable) -> ClipView:
    facts = [("label", ", ".join(clip.labels) or "none"), ("group", clip.group)]
    if clip.fold is not None:
        facts.append(("fold", str(clip.fold)))
    if isinstance(excerpt, Undecodable):
        return ClipView(clip_id=clip.clip_id, facts=facts, note=f"cannot be read: {excerpt.reason}, {excerpt.detail}")
    shown = f", first {excerpt.excerpt_s:g} s shown" if excerpt.excerpt_s < excerpt.duration_s - 0.1 else ""
    facts += [
        ("duration", f"{excerpt.duration_s:.2f} s{shown}"),
        ("rate", f"{excerpt.sample_rate_hz:,} Hz"),
        ("channels", str(excerpt.num_channels)),
    ]
    sound = SoundView(
        seconds=excerpt.excerpt_s,
        envelope=excerpt.envelope,
        log_mel=excerpt.log_mel,
        mel_hz=excerpt.mel_hz,
        mp3=excerpt.mp3,
    )
    return ClipView(clip_id=clip.clip_id, facts=facts, sound=sound)
