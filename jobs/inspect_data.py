"""A look at the data: one HTML page with waveforms, spectrograms and players of a few clips of every class.

python jobs/inspect_data.py data.root=<ESC-50 tree> clips_per_label=3

Needs the recordings alone, no features and no Ray. The page fetches nothing; it holds at most max_clips clips of about
60 kB, so 9 MB with the defaults. (The job is not called inspect.py: Python's own module of that name would be hidden
from every library that imports it.)

Exit code: 0, also where some clips cannot be read, which the page tells; 2 for bad input.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.clip_views import clip_views
from jobs.command_line import parse_settings, usage
from jobs.console import progress, run_job, say
from jobs.settings import JobSettings
from jobs.stages import find_recordings, write_page
from pipelines.audits.survey import Survey, draw_by_label, survey_recordings
from pipelines.files.recordings import recordings_of
from pipelines.iq.uri import example_of
from pipelines.manifest import Clip, Manifest
from reports.data_page import DataOverview, render_data_page
from storage.errors import InvalidInput, hold_rules


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectSettings(JobSettings):
    """What is shown; of the settings of the main job, data, report and pipeline.clip_time_limit_s are used.

    Attributes:
        clips_per_label: fewer where max_clips would not do.
        max_clips: in all; where even one clip of each class is too many, the commonest classes are shown.
        excerpt_s: seconds of each clip that are shown.
        max_files_read: for durations and rates; of more clips, as many are drawn at random.
        seed: of everything drawn.
    """

    clips_per_label: int = 3
    max_clips: int = 150
    excerpt_s: float = 5.0
    max_files_read: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            name: (getattr(self, name) >= 1, "1 or more") for name in ("clips_per_label", "max_clips", "max_files_read")
        }
        hold_rules("setting", self, {**rules, "excerpt_s": (0 < self.excerpt_s <= 60, "above 0, up to 60")})


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_inspect, argv, usage=usage(__doc__, InspectSettings))


def _inspect(words: Sequence[str]) -> None:
    settings = parse_settings(InspectSettings, words)
    manifest = find_recordings(settings)
    _hold_sound(manifest, settings.data.source)
    with progress("read files, clips") as tell:
        survey = survey_recordings(
            manifest,
            max_clips=settings.max_files_read,
            seed=settings.seed,
            clip_time_limit_s=settings.pipeline.clip_time_limit_s,
            on_progress=tell,
        )
    chosen = draw_by_label(
        manifest,
        clips_per_label=settings.clips_per_label,
        max_clips=settings.max_clips,
        seed=settings.seed,
    )
    with progress("draw, clips") as tell:
        views = clip_views(
            recordings_of(manifest),
            [clip for clips in chosen.values() for clip in clips],
            excerpt_s=settings.excerpt_s,
            clip_time_limit_s=settings.pipeline.clip_time_limit_s,
            on_progress=tell,
        )
    overview = _overview(manifest, settings.data.source, survey)
    by_label = {label: [views[clip.clip_id] for clip in clips] for label, clips in chosen.items()}
    page = render_data_page(overview, by_label)
    path = write_page(page, f"{manifest.dataset}-data.html", settings.report)
    say(f"{survey.num_clips} files read, {len(survey.unreadable)} of them cannot be decoded")
    say(f"page: {path} ({len(page.encode()) / 1e6:.1f} MB)")


def _hold_sound(manifest: Manifest, source: str) -> None:
    if any(example_of(clip.uri) for clip in manifest.clips):
        raise InvalidInput(
            "data.source",
            given=source,
            allowed="a source of sound recordings",
            remedy="jobs/check.py tells what is in a file of IQ samples.",
        )


def _overview(manifest: Manifest, source: str, survey: Survey) -> DataOverview:
    clips = manifest.clips
    by_fold_and_label: dict[str, Counter[str]] = {}
    for clip in clips:
        for label in clip.labels or ("",):
            by_fold_and_label.setdefault(label, Counter())[str(clip.fold)] += 1
    return DataOverview(
        dataset=manifest.dataset,
        source=source,
        num_clips=len(clips),
        num_by_label={label: counts.total() for label, counts in by_fold_and_label.items()},
        num_by_fold=_folds(clips),
        num_by_group=Counter(clip.group for clip in clips),
        num_folds_by_label=by_fold_and_label,
        num_read=survey.num_clips,
        durations_s=survey.durations_s,
        num_by_rate_hz=survey.num_by_rate_hz,
        num_by_channels=survey.num_by_channels,
        unreadable=survey.unreadable,
    )


def _folds(clips: Sequence[Clip]) -> Mapping[str, int]:
    numbers = Counter(clip.fold for clip in clips if clip.fold is not None)
    return {str(fold): numbers[fold] for fold in sorted(numbers)}


if __name__ == "__main__":
    sys.exit(main())
