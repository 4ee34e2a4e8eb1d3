"""What scaling.py sends to a cluster: features and trials that sleep; prints what they cost the driver, as JSON.

python benchmarks/scaling_job.py featurize <clips> <storage uri>
python benchmarks/scaling_job.py "large shards" <clips> <storage uri>     twenty times as many clips, as long a shard
python benchmarks/scaling_job.py sweep <trials> <storage uri>
"""

import functools
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.sleeping import CLIP_S, SPEC, sleeping_decode
from benchmarks.stub_sweep import SWEEP_ROW, sleeping_trainable, stub_plan
from cluster.session import ClusterResources, ray_session
from pipelines.featurize import PipelineSettings, featurize
from pipelines.manifest import Clip, Manifest
from pipelines.shards.worker import ShardWorker
from storage.object_store import ObjectStore, open_store
from sweeps import run_sweep

CLIPS_PER_SHARD, LARGE_SHARD, ACTORS_A_CPU, NUM_EPOCHS = 20, 400, 2, 5


def main(what: str, num: int, uri: str) -> None:
    measures: dict[str, Callable[[int, ObjectStore, ClusterResources, Pace], None]] = {
        "featurize": featurize_asleep,
        "large shards": functools.partial(featurize_asleep, clips_per_shard=LARGE_SHARD),
        "sweep": sweep_asleep,
    }
    store, pace = open_store(uri), Pace()
    with ray_session() as resources:
        began, cpu_began, peak_began = time.perf_counter(), time.process_time(), _peak_bytes()
        measures[what](num, store, resources, pace)
        told = {
            "per_s": pace.per_s(),
            "seconds": time.perf_counter() - began,
            "driver_cpu_s": time.process_time() - cpu_began,
            "driver_bytes": _peak_bytes() - peak_began,
        }
    print(json.dumps(told))


class Pace:
    """When how much was done."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []

    def tell(self, done: int) -> None:
        self._points.append((time.perf_counter(), done))

    def per_s(self) -> float:
        """In the middle half of the work, when every process has started and none has run out; NaN of little work."""
        most = max(done for _, done in self._points)
        middle = [point for point in self._points if most / 4 <= point[1] <= 3 * most / 4]
        if len(middle) < 2:
            return math.nan
        (began, first), (ended, last) = middle[0], middle[-1]
        return (last - first) / (ended - began)


def featurize_asleep(
    num_clips: int,
    store: ObjectStore,
    resources: ClusterResources,
    pace: Pace,
    clips_per_shard: int = CLIPS_PER_SHARD,
) -> None:
    """Every part of a run but decoding: Ray Data, processes of their own, shards on S3, reconciling, commit."""
    store.put("clip", b"x")  # on S3, as every node reads it
    clips = tuple(
        Clip(clip_id=f"{number:09d}", recording_id=f"{number:09d}", uri=f"{store.uri}/clip", labels=("x",))
        for number in range(num_clips)
    )
    manifest = Manifest(name="asleep", root="/", clips=clips)
    settings = PipelineSettings(
        backend="cpu", clips_per_shard=clips_per_shard, num_actors=int(ACTORS_A_CPU * resources.num_cpus)
    )
    for_s = CLIP_S * CLIPS_PER_SHARD / clips_per_shard
    sleeping = functools.partial(ShardWorker, decode=functools.partial(sleeping_decode, for_s=for_s))
    with mock.patch("pipelines.featurize.ShardWorker", sleeping):
        result = featurize(manifest, SPEC, store, settings, on_progress=lambda done, in_all: pace.tell(done))
    if result.num_rows != num_clips:
        raise AssertionError(f"{result.num_rows} rows of {num_clips} clips")


def sweep_asleep(num_trials: int, store: ObjectStore, resources: ClusterResources, pace: Pace) -> None:
    plan = stub_plan(num_trials, NUM_EPOCHS, concurrency=int(resources.num_cpus))
    with mock.patch("sweeps.run_sweep.train_trial", sleeping_trainable):
        outcome = run_sweep(
            plan,
            None,  # type: ignore[arg-type]
            store,
            sweep_row=SWEEP_ROW,
            on_progress=lambda now: pace.tell(now.seed_epochs),
        )
    if outcome.num_trials_run != num_trials:
        raise AssertionError(f"{outcome.num_trials_run} of {num_trials} trials")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
