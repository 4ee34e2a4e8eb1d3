"""Breaks a cluster of several machines while it works, again and again, and says whether its results show it.

python benchmarks/chaos.py [--faults 30] [--seed 0] [--only <kind> …] [--recordings <ESC-50 tree>]

A user outside sends `jobs/sweep.py` with `ray job submit` to Ray nodes in network namespaces (ray_nodes.py), which read
the recordings from S3, compute features and search. Undisturbed first; then again, into a store of its own, and again,
while faults are drawn: a worker process killed; a node without power; one cut off, and healed; one that is drained
after a spot notice and then ends; the head without power; S3 away, and late; a full disk; a node that starts again with
a wrong clock. What ended is started again as an autoscaler would do it, and the same job is submitted again where it
has ended. Each one's table is then held to what holds of every sweep, and to the undisturbed one, row by row, and its
features to the undisturbed ones, value by value.

Where a job ends although docs/operations.md says that it goes on, that is told as a fault of ours, too.

A recovery is how long after a fault the job wrote something that is kept: a shard, an epoch, a decision. A wrong
clock is one of Python's `time.time`; what signs requests to S3 reads another one. Trials may fail a hundred times
(`sweep.max_failures`): with the default, one that is hit three times is given up and the sweep goes on without it.
"""

import argparse
import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks import kill_sweep
from benchmarks.machine import print_machine
from benchmarks.node_network import Network, NoNamespaces
from benchmarks.ray_nodes import RayNodes
from benchmarks.storm import Met, Storm
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.feature_store import FeatureStore, complete_features
from storage.object_store import ObjectStore

_MOST_BETWEEN = 12  # objects that are kept between a recovery and the next fault


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the faults and their moments")
    parser.add_argument("--only", nargs="+", help="faults of these kinds alone, as the table names them")
    parser.add_argument("--recordings", type=Path, help="an ESC-50 tree; without one, invented sounds")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    print_machine(("ray", "optuna", "torch", "moto"), num_cores=len(os.sched_getaffinity(0)))
    met: list[Met] = []
    faults: list[str] = []
    try:
        with Network() as network, RayNodes(network, cpus=[1, 1]) as nodes, recordings(arguments.recordings) as folder:
            upload(folder, nodes.store("recordings"))
            for found in storms(nodes, random.Random(arguments.seed), arguments.faults, arguments.only, met):
                faults += found
    except NoNamespaces as e:
        print(f"not run: {e}", file=sys.stderr)
        return 2
    except Exception as e:  # what was met until then is told too
        traceback.print_exc()
        faults.append(f"the run ended early: {e}")
    print_met(met)
    print("\n".join(f"  FAULT {fault}" for fault in faults) or "  no fault")
    print(f"figure cluster.faults_survived {0 if faults else len(met)}")
    return 1 if faults else 0


@contextlib.contextmanager
def recordings(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        yield write_synthetic_dataset(Path(folder) / "recordings", num_clips_per_class=5)


def upload(folder: Path, store: ObjectStore) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.put(path.relative_to(folder).as_posix(), path.read_bytes())


def storms(
    nodes: RayNodes, chance: random.Random, num_faults: int, only: Sequence[str] | None, met: list[Met]
) -> Iterator[list[str]]:
    """Runs the job undisturbed, and then disturbed, into a new store each time, until so many faults were met.

    Args:
        only: kinds of faults; None for all.
        met: the faults that were met are appended.

    Yields:
        What is wrong with the store of each disturbed job.
    """
    scheduler = "adaptive"
    words = [*kill_sweep.settings(scheduler, 1), f"data.root={nodes.uri('recordings')}", "pipeline.num_actors=2"]
    calm = Storm(nodes, "calm", words, chance)
    calm.finish()
    kinds = list(itertools.islice(itertools.cycle(only or calm.kinds), num_faults))
    chance.shuffle(kinds)
    for number in itertools.count(1):
        disturbed = Storm(nodes, f"storm{number}", words, chance)
        while kinds and disturbed.wait_for_more(chance.randrange(_MOST_BETWEEN)):
            happened = disturbed.meet(kinds[-1])
            if happened is not None:
                met.append(happened)
                kinds.pop()
        disturbed.finish()
        found = kill_sweep.faults_of(disturbed.store, scheduler)
        found += kill_sweep.differences(kill_sweep.read_tables(disturbed.store), kill_sweep.read_tables(calm.store))
        found += feature_faults(disturbed.store, calm.store)
        found += disturbed.unexpected
        print(f"{time.strftime('%H:%M:%S')} storm {number} is over: {found or 'no fault'}", file=sys.stderr, flush=True)
        yield found
        if not kinds:
            return


def feature_faults(ours: ObjectStore, undisturbed: ObjectStore) -> list[str]:
    """Features that are missing, or have other clips, counts or values than the undisturbed job's."""
    complete = complete_features(undisturbed)
    if complete_features(ours) != complete or len(complete) != 1:
        return [f"features: complete are {complete_features(ours)}, without faults {complete}"]
    ((dataset, fingerprint),) = complete
    stored = [FeatureStore(store, dataset=dataset, fingerprint=fingerprint) for store in (ours, undisturbed)]
    rows, others = (each.read().sort_by([("clip_id", "ascending"), ("variant", "ascending")]) for each in stored)
    quarantined, marker = (each.quarantine().num_rows for each in stored), stored[0].marker()
    found = [] if rows.equals(others) else ["features: other rows than without faults"]
    if len({*quarantined}) > 1 or marker is None or marker["num_clips"] != rows.num_rows:
        found.append(f"features: clips are lost: {marker}")
    return found


def print_met(met: Sequence[Met]) -> None:
    print(f"\n  {'':4s}{'fault':24s}{'where':28s}{'kept':>6s}{'lasted, s':>11s}{'recovery, s':>13s}  job")
    for number, each in enumerate(met, 1):
        recovery = "–" if each.recovery_s is None else f"{each.recovery_s:.1f}"
        row = f"{each.fault:24s}{each.where:28s}{each.num_kept:6d}{each.lasted_s:11.1f}{recovery:>13s}"
        print(f"  {number:<4d}{row}  {'sent again' if each.resubmitted else ''}")
    print(f"\n  {'fault':24s}{'times':>6s}{'median recovery, s':>20s}{'longest':>9s}{'sent again':>12s}")
    for fault, times in Counter(each.fault for each in met).items():
        of = [each for each in met if each.fault == fault]
        seconds = [each.recovery_s for each in of if each.recovery_s is not None]
        median, longest = (f"{np.median(seconds):.1f}", f"{max(seconds):.1f}") if seconds else ("–", "–")
        print(f"  {fault:24s}{times:6d}{median:>20s}{longest:>9s}{sum(each.resubmitted for each in of):12d}")


if __name__ == "__main__":
    sys.exit(main())
