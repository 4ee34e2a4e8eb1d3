"""The stages that jobs share: open the store, featurize, split, load a trial's data, write a report."""

import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from cluster.metrics import count_s3_bytes
from cluster.session import cluster_resources
from cluster.versions import installed
from jobs.console import print_table, progress, say
from jobs.places import ReportSettings, StorageSettings
from jobs.settings import DataSettings, JobSettings
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import FeaturizeResult, PipelineSettings, featurize
from pipelines.manifest import Manifest
from pipelines.sources import read_manifest
from reports import (
    CONFIRMED_HEADER,
    GROUP_HEADER,
    LeaderboardRow,
    SweepResults,
    are_told,
    by_fold,
    confirmed_lines,
    confirmed_title,
    ends,
    finals_of,
    fold_header,
    fold_lines,
    fold_rows,
    front_lines,
    group_lines,
    group_scores,
    is_experiment,
    is_literature,
    leaderboard,
    leaderboard_header,
    leaderboard_lines,
    load_sweep,
    objectives_of,
    pareto_rows,
    render_page,
)
from reports.audit_of_stops import stops_line
from reports.confirmed import newest_confirmed
from reports.figures import draw_figures
from storage import traffic
from storage.errors import InvalidInput, StorageError
from storage.local import LocalObjectStore
from storage.object_store import ObjectStore, open_store, probe
from storage.results_table import ResultsTable

# Reasons of a quarantine that another machine, another library or more time may not find.
_MAY_PASS = ("timed_out", "decoder_crashed", "out_of_memory", "internal_error")
_WORST_GROUPS, _BEST_GROUPS = 5, 3  # what a terminal shows of many
_MANY_FILES = 5000  # fewer are looked at before anybody would ask what goes on


def open_checked_store(settings: StorageSettings) -> ObjectStore:
    """Opens the store, refuses one on which results would not be safe, and clears it of writes that were killed."""
    traffic.listen(count_s3_bytes)  # as soon as there is a Ray session
    store = open_store(settings.uri, endpoint_url=settings.endpoint_url)
    probe(store)
    if isinstance(store, LocalObjectStore):
        store.clear_unfinished()
    return store


def require_root(data: DataSettings) -> None:
    """Refuses settings that name no recordings.

    Raises:
        InvalidInput: `data.root` is empty.
    """
    if not data.root:
        raise InvalidInput(
            "data.root",
            given="",
            allowed="a data set",
            remedy="Give data.root=<ESC-50 tree>, or make one with jobs/synthesize.py.",
        )


def find_recordings(settings: JobSettings) -> Manifest:
    """Reads the manifest of the recordings that the settings name."""
    require_root(settings.data)
    data = settings.data
    with progress("look at recordings, files") as tell:
        manifest = read_manifest(
            data.source,
            root=data.root,
            name=data.resolved_name,
            endpoint_url=data.endpoint_url,
            label_level=data.label_level,
            on_progress=lambda done, total: tell(done, total) if total > _MANY_FILES else None,
        )
    say(f"data set {manifest.dataset}: {len(manifest.clips)} clips, {len(manifest.labels)} labels{_left_out(manifest)}")
    return manifest


def _left_out(manifest: Manifest) -> str:
    if not manifest.left_out:
        return ""
    kinds = Counter(PurePosixPath(path).suffix.lower() or "no extension" for path in manifest.left_out)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return f"; {len(manifest.left_out)} files left out ({named}), jobs/check.py names them"


def make_features(manifest: Manifest, settings: JobSettings, store: ObjectStore) -> FeaturizeResult:
    """Makes the features complete and says what came of it. Needs an initialised Ray."""
    return complete_features_of(manifest, settings.features, settings.pipeline, store)


def complete_features_of(
    manifest: Manifest, spec: FeatureSpec, pipeline: PipelineSettings, store: ObjectStore
) -> FeaturizeResult:
    """As `make_features`, of a spec that no setting names."""
    pipeline = pipeline.resolved(cluster_resources().num_gpus, spec)
    backend = f"backend {pipeline.backend} on {pipeline.device}"
    with progress("featurize, clips") as tell:
        result = featurize(
            manifest,
            spec,
            store,
            pipeline,
            on_progress=lambda done, total: tell(done, total, backend),
        )
    with_features = result.num_clips - result.num_quarantined
    variants = f" (and {result.num_variants_quarantined} variants)" if result.num_variants_quarantined else ""
    copied = f", {result.num_clips_copied} copied from earlier versions" if result.num_clips_copied else ""
    say(
        f"features {spec.fingerprint}: {result.num_clips} clips = "
        f"{with_features} with features ({result.num_rows} rows) + {result.num_quarantined} quarantined{variants}; "
        f"{result.num_clips_computed} computed now{copied}"
    )
    if result.num_quarantined or result.num_variants_quarantined:
        reasons = result.features.quarantine().to_pandas()["reason"].value_counts()
        say("quarantine: " + ", ".join(f"{count} {reason}" for reason, count in reasons.items()))
        again = [reason for reason in _MAY_PASS if reason in reasons.index]
        if again:
            say(f"a machine may be to blame for some of these; pipeline.retry=[{','.join(again)}] tries them again")
    return result


def write_report(store: ObjectStore, sweep_id: str, settings: ReportSettings) -> tuple[SweepResults, str]:
    """Writes the page of a sweep or an experiment, and beside it its figures as PNG files, here and into the store.

    Returns:
        What it is of and where it is: a path here, and for a store elsewhere its key there.
    """
    sweep = load_sweep(ResultsTable(store), sweep_id)
    page = render_page(sweep, leaderboard(sweep))
    path = write_page(page, f"{sweep_id}.html", settings)
    store.put(f"reports/{sweep_id}.html", page.encode())
    for name, png in draw_figures(sweep).items():
        write_page(png, f"{sweep_id}/{name}", settings)
        store.put(f"reports/{sweep_id}/{name}", png)
    elsewhere = f" and {store.uri}/reports/{sweep_id}.html" if "://" in store.uri else ""
    return sweep, f"{path}{elsewhere}"


def print_scores(sweep: SweepResults) -> None:
    """The leaderboard of a sweep, or the scores by fold of an experiment, as a table; a line where there are none.

    Below it the configurations of a complete confirmation; where groups are large enough, the scores of the best
    configuration, or of all folds, by group; and what the audit of a sweep's stops found.
    """
    if is_experiment(sweep):
        folds = fold_rows(sweep)
        if folds:
            print_table(f"Test scores of {sweep.sweep_id}", fold_header(sweep), fold_lines(sweep, folds))
        _print_groups(sweep, list(by_fold(sweep).values()), of="")
        if is_literature(sweep):
            say("protocol literature: epochs were chosen on the test folds; these scores are too good by that choice")
        return
    rows = leaderboard(sweep)
    if rows:
        title = f"Leaderboard of {sweep.sweep_id} (ranked by validation)"
        print_table(title, leaderboard_header(sweep), leaderboard_lines(sweep, rows))
    else:
        say("no configuration has finished all its seeds; the report says why")
    _print_best(sweep, rows)
    _print_front(sweep)
    audited = stops_line(sweep)
    if audited:
        say(audited)


def _print_best(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> None:
    """What has been confirmed, and the groups of the best configuration."""
    confirmed = newest_confirmed(sweep)
    if confirmed is None or not confirmed.is_complete:
        _print_groups(sweep, rows[:1], of=" of the first row")
        return
    finals = finals_of(sweep, rows, has_tests=False)
    print_table(confirmed_title(finals), CONFIRMED_HEADER, confirmed_lines(sweep, finals))
    source, best = finals.best_rows(sweep, rows)
    _print_groups(source, best, of=" of the first one confirmed")


def _print_front(sweep: SweepResults) -> None:
    """Of a sweep with several objectives, the configurations that no other one beats in all of them."""
    front = [row for row in pareto_rows(sweep) if row.is_on_front]
    if len(objectives_of(sweep)) > 1 and front:
        header, lines = front_lines(front)
        print_table(f"Pareto front of {sweep.sweep_id} (score on validation)", header, lines)


def _print_groups(sweep: SweepResults, rows: Sequence[LeaderboardRow], *, of: str) -> None:
    groups = group_scores(sweep, rows)
    if not are_told(groups):
        return
    shown = ends(groups, worst=_WORST_GROUPS, best=_BEST_GROUPS)
    some = "" if len(shown) == len(groups) else f": the {_WORST_GROUPS} worst and {_BEST_GROUPS} best of {len(groups)}"
    print_table(f"Test scores by group{of}{some}", GROUP_HEADER, group_lines(shown))


def write_page(page: str | bytes, name: str, settings: ReportSettings) -> str:
    """Writes a page, or a file that belongs to one, into the report folder and returns its path.

    Raises:
        InvalidInput: the folder cannot be written.
    """
    folder = LocalObjectStore(Path(settings.folder))
    try:
        folder.put(name, page.encode() if isinstance(page, str) else page)
    except StorageError as e:
        raise InvalidInput(
            "report.folder", given=settings.folder, allowed="a folder that can be written", remedy=str(e)
        ) from e
    return f"{folder.uri}/{name}"


def versions() -> dict[str, str]:
    """Python, machine and the packages that decide numbers."""
    return {**installed(), "machine": f"{platform.system()} {platform.machine()}"}


def in_bytes(size_bytes: float) -> str:
    """As people read sizes: 13.8 KB, 1.2 GB (powers of 1000)."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
