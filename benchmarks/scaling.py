"""What more machines bring, and what stays with the driver: features and trials that sleep, on 1, 2, 4 and 8 nodes.

python benchmarks/scaling.py [--quick] [--nodes 1 2 4 8]

Ray nodes in network namespaces with two declared CPUs each (ray_nodes.py), S3 on another address. Clips take a
twentieth of a second to decode and epochs half a second, asleep, so that one machine bears them all; everything else
is done: Ray Data, processes, shards, Tune, commits, reconciling. Every number of nodes has the same work a CPU. Where
all went well the seconds stay the same; what the driver computes per clip and per trial says where it ends.

Last, on paper, from these constants: what 1,000 nodes of 16 CPUs and 100,000,000 clips would wait for.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from benchmarks.node_network import Network, NoNamespaces
from benchmarks.ray_nodes import RayNodes
from benchmarks.scaling_job import NUM_EPOCHS
from benchmarks.sleeping import CLIP_S
from benchmarks.stub_sweep import SLEEPING_EPOCH_S

_CPUS_A_NODE = 2
_CLIP_S_ON_A_CPU, _NODES, _CPUS, _CLIPS = 1 / 500, 1000, 16, 10**8  # of the paper's cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Attributes:
    asleep_s: what the work takes without anything else, on all CPUs.
    driver_s: CPU of the driver. driver_bytes: by which its memory grew at most.
    """

    what: str
    num_nodes: int
    num: int
    asleep_s: float
    seconds: float
    driver_s: float
    driver_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one and two nodes, little work: noisy")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments = parser.parse_args(argv)
    print_machine(("ray", "optuna", "pyarrow"), num_cores=len(os.sched_getaffinity(0)))
    clips_a_cpu, trials_a_cpu = (100, 2) if arguments.quick else (400, 6)
    try:
        runs = [
            run
            for num_nodes in ([1, 2] if arguments.quick else arguments.nodes)
            for run in measure(num_nodes, clips_a_cpu, trials_a_cpu)
        ]
    except NoNamespaces as e:
        print(f"not run: {e}", file=sys.stderr)
        return 2
    print_runs(runs)
    print_on_paper(runs)
    print_figures(runs)
    return 0


def measure(num_nodes: int, clips_a_cpu: int, trials_a_cpu: int) -> list[Run]:
    num_cpus = num_nodes * _CPUS_A_NODE
    with Network() as network, RayNodes(network, cpus=[_CPUS_A_NODE] * num_nodes) as nodes:
        found = []
        asleep_s = {"featurize": clips_a_cpu * CLIP_S / 2, "sweep": trials_a_cpu * NUM_EPOCHS * SLEEPING_EPOCH_S}
        for what, num in (("featurize", clips_a_cpu * num_cpus), ("sweep", trials_a_cpu * num_cpus)):
            for turn in ("first", "second"):  # in the first one processes start and import
                words = ["python", "benchmarks/scaling_job.py", what, str(num), nodes.uri(f"{what}-{turn}")]
                done = nodes.submit(f"{what}-{turn}", words)
                if done.returncode:
                    raise RuntimeError(done.stdout[-3000:])
                told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"seconds"')))
            found.append(
                Run(
                    what=what,
                    num_nodes=num_nodes,
                    num=num,
                    asleep_s=asleep_s[what],
                    seconds=told["seconds"],
                    driver_s=told["driver_cpu_s"],
                    driver_bytes=told["driver_bytes"],
                )
            )
            print(found[-1], file=sys.stderr, flush=True)
    return found


def print_runs(runs: Sequence[Run]) -> None:
    cells = f"{'nodes':>6s}{'CPUs':>6s}{'done':>8s}{'s':>8s}{'asleep, s':>11s}{'driver, ms each':>17s}{'KiB each':>10s}"
    print(f"\n{'':12s}{cells}")
    for run in runs:
        each_ms, kib = 1000 * run.driver_s / run.num, run.driver_bytes / run.num / 1024
        row = f"{run.what:12s}{run.num_nodes:6d}{run.num_nodes * _CPUS_A_NODE:6d}{run.num:8d}{run.seconds:8.1f}"
        print(f"{row}{run.asleep_s:11.1f}{each_ms:17.2f}{kib:10.1f}")
    print("each: of a clip, of a trial with its epochs")


def print_on_paper(runs: Sequence[Run]) -> None:
    """What a far larger cluster would wait for, if the driver's cost of a clip and of a trial stays as it is."""
    clip, trial = (_per_one([run for run in runs if run.what == what]) for what in ("featurize", "sweep"))
    num_cpus = _NODES * _CPUS
    print(f"\non paper: {_NODES:,} nodes of {_CPUS} CPUs, {_CLIPS:,} clips, {1 / _CLIP_S_ON_A_CPU:.0f} clips/s a CPU")
    print(f"  to compute, on all CPUs            {_CLIPS * _CLIP_S_ON_A_CPU / num_cpus:12,.0f} s")
    print(f"  to fetch, at 5,500 GET/s a prefix  {_CLIPS / 5500:12,.0f} s, divided by the number of prefixes")
    print(f"  driver, {1e6 * clip:6.0f} µs a clip          {_CLIPS * clip:12,.0f} s")
    print(f"  one driver feeds at most           {1 / clip:12,.0f} clips/s, {_CLIP_S_ON_A_CPU / clip:,.0f} CPUs")
    shortest = f"trials of {num_cpus * trial / 60:,.0f} min on every CPU"
    print(f"  and {1 / trial:,.1f} trials/s with {NUM_EPOCHS} epochs each: {shortest}")


def print_figures(runs: Sequence[Run]) -> None:
    for what in ("featurize", "sweep"):
        of = [run for run in runs if run.what == what]
        first, last = min(of, key=lambda run: run.num_nodes), max(of, key=lambda run: run.num_nodes)
        print(f"figure scaling.{what}_efficiency_on_{last.num_nodes}_nodes {first.seconds / last.seconds:.2f}")
        print(f"figure scaling.{what}_driver_ms_each {1000 * _per_one(of):.2f}")


def _per_one(runs: Sequence[Run]) -> float:
    """Seconds of the driver for one more: the slope over all runs, so that what each run costs once is not in it."""
    slope = np.polyfit([run.num for run in runs], [run.driver_s for run in runs], 1)[0]
    return float(slope)


if __name__ == "__main__":
    sys.exit(main())
