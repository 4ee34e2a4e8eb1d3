"""Turns a data set into log-mel features in the feature store; run again, it computes only what is missing.

python jobs/featurize.py data.root=<ESC-50 tree> storage.uri=s3://bucket/prefix
python jobs/featurize.py --plan data.root=<ESC-50 tree>

Where the clips of a data set have changed, unchanged ones are copied from earlier versions of it in the same store.
--plan (or --dry-run) computes a few clips in a temporary folder, prints what the run would read and store, how long it
would take and, with cluster.price_per_cpu_hour=…, cost; it starts no Ray and writes nothing. It knows the cores of this
machine only; for a cluster give pipeline.num_actors.
"""

import sys
from collections.abc import Sequence

from cluster.job_metadata import tell_job
from cluster.session import ray_session
from jobs.command_line import parse_settings, usage
from jobs.console import lines_of_progress, print_table, run_job, say
from jobs.plan_rows import Hours, cost_rows, estimate_features, feature_rows, free_space
from jobs.settings import JobSettings
from jobs.stages import find_recordings, make_features, open_checked_store
from storage.object_store import open_store

_PLAN = ("--plan", "--dry-run")


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_featurize, argv, usage=usage(__doc__, JobSettings))


def _featurize(words: Sequence[str]) -> None:
    settings = parse_settings(JobSettings, [word for word in words if word not in _PLAN])
    if set(words) & set(_PLAN):
        _plan(settings)
        return
    lines_of_progress(every_s=settings.log.line_every_s)
    manifest = find_recordings(settings)
    store = open_checked_store(settings.storage)
    with ray_session(address=settings.cluster.address, num_cpus=settings.cluster.num_cpus):
        tell_job(dataset=manifest.dataset, fingerprint=settings.features.fingerprint, storage=store.uri)
        result = make_features(manifest, settings, store)
    say(f"stored in {result.features.uri}")


def _plan(settings: JobSettings) -> None:
    manifest = find_recordings(settings)
    store = open_store(settings.storage.uri, endpoint_url=settings.storage.endpoint_url)
    found = estimate_features(manifest, settings, store)
    hours = Hours(cpu=found.seconds * found.num_actors / 3600, gpu=None if settings.pipeline.device == "cuda" else 0.0)
    rows = [*feature_rows(found), *cost_rows(hours, settings.cluster)]
    print_table(f"Plan of features {settings.features.fingerprint}", ("what", "how much"), rows)
    for line in free_space(store, found.missing_bytes):
        say(line)
    say("nothing was written")


if __name__ == "__main__":
    sys.exit(main())
