"""Turns a data set into log-mel features in the feature store; run again, it computes only what is missing.

python jobs/featurize.py data.root=<ESC-50 tree> storage.uri=s3://bucket/prefix
python jobs/featurize.py --dry-run data.root=<ESC-50 tree>

Where the clips of a data set have changed, unchanged ones are copied from earlier versions of it in the same store.
--dry-run computes a few clips in a temporary folder, prints what the run would store and how long it would take, starts
no Ray and writes nothing. It knows the cores of this machine only; for a cluster give pipeline.num_actors.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.session import ray_session
from jobs.command_line import parse_settings, usage
from jobs.console import lines_of_progress, print_table, run_job, say
from jobs.settings import JobSettings
from jobs.stages import find_recordings, in_bytes, make_features, open_checked_store
from pipelines.estimate import Estimate, estimate
from storage.object_store import open_store

_DRY_RUN = "--dry-run"


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_featurize, argv, usage=usage(__doc__, JobSettings))


def _featurize(words: Sequence[str]) -> None:
    settings = parse_settings(JobSettings, [word for word in words if word != _DRY_RUN])
    if _DRY_RUN in words:
        _estimate(settings)
        return
    lines_of_progress(every_s=settings.log.line_every_s)
    manifest = find_recordings(settings)
    store = open_checked_store(settings.storage)
    with ray_session(address=settings.cluster.address, num_cpus=settings.cluster.num_cpus):
        result = make_features(manifest, settings, store)
    say(f"stored in {result.features.uri}")


def _estimate(settings: JobSettings) -> None:
    manifest = find_recordings(settings)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    num_gpus = 1 if settings.pipeline.device == "cuda" else 0
    pipeline = settings.pipeline.resolved(num_gpus, settings.features)
    num_actors = pipeline.num_actors or settings.cluster.num_cpus or os.cpu_count() or 1
    found = estimate(manifest, settings.features, store, pipeline, num_actors=num_actors)
    print_table(f"Dry run of features {settings.features.fingerprint}", ("what", "how much"), _rows(found))
    if "://" not in store.uri:
        free_bytes = shutil.disk_usage(_existing(Path(store.uri))).free
        short = ", which is not enough" if free_bytes < found.missing_bytes else ""
        say(f"free in {store.uri}: {in_bytes(free_bytes)}{short}")
    say("nothing was written")


def _rows(found: Estimate) -> list[tuple[str, str]]:
    sampled = f"measured on {found.num_sampled} clips here, {found.num_sampled_quarantined} of them without features"
    return [
        ("clips", str(found.num_clips)),
        ("  stored already", str(found.num_finished)),
        ("  copied from earlier versions", str(found.num_copied)),
        ("  to compute", str(found.num_to_compute)),
        ("rows, about", str(found.num_rows)),
        ("shards", str(found.num_shards)),
        ("size of all features, about", in_bytes(found.size_bytes)),
        ("  still to be stored, about", in_bytes(found.missing_bytes)),
        (f"time with {found.num_actors} actors, about", f"{found.seconds:.0f} s"),
        ("estimate", sampled),
    ]


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


if __name__ == "__main__":
    sys.exit(main())
