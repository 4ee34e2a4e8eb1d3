"""Turns a data set into log-mel features in the feature store; run again, it computes only what is missing.

python jobs/featurize.py data.root=<ESC-50 tree> storage.uri=s3://bucket/prefix
"""

import sys
from collections.abc import Sequence

from cluster.session import ray_session
from jobs.console import run_job, say
from jobs.settings import JobSettings, describe, parse_settings
from jobs.stages import find_recordings, make_features, open_checked_store


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_featurize, argv, usage=f"{__doc__}\nSettings and their defaults:\n{describe(JobSettings)}")


def _featurize(words: Sequence[str]) -> None:
    settings = parse_settings(JobSettings, [word for word in words if word != "--smoke"])
    manifest = find_recordings(settings)
    store = open_checked_store(settings.storage)
    with ray_session(address=settings.cluster.address, num_cpus=settings.cluster.num_cpus):
        result = make_features(manifest, settings, store)
    say(f"stored in {result.features.uri}")


if __name__ == "__main__":
    sys.exit(main())
