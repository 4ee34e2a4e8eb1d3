"""What more machines bring, and what stays with the driver: features and trials that sleep, on 1, 2, 4 and 8 nodes.

python benchmarks/scaling.py [--quick] [--nodes 1 2 4 8]

Ray nodes in network namespaces with two declared CPUs each (ray_nodes.py), S3 on another address. Clips take
two fifths of a second to decode and epochs half a second, asleep, so that one machine bears them all; everything else
is done: Ray Data, processes, shards, Tune, commits, reconciling. Every number of nodes has the same work a CPU. What
starts first takes the cores of this machine, so that the pace is that of the middle half of the work. What the driver
and Ray's GCS on the head compute per clip and per trial, and how the driver's memory grows, says where it ends.

Last, on paper, from these constants, from the pace of a CPU that benchmarks/featurize.py measured, and from what S3
promises: what 1,000 nodes of 16 CPUs and 100,000,000 clips would wait for.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from benchmarks.node_network import Network, NoNamespaces
from benchmarks.ray_nodes import RayNodes
from benchmarks.scaling_job import ACTORS_A_CPU, NUM_EPOCHS
from benchmarks.sleeping import CLIP_S
from benchmarks.stub_sweep import SLEEPING_EPOCH_S

_CPUS_A_NODE = 2
_NODES, _CPUS, _CLIPS = 1000, 16, 10**8  # of the paper's cluster
_CLIPS_PER_S = 709 / 2  # on a CPU: WAV of 5 s, from files to files (benchmarks/featurize.py, 2026-11-21)
_PER_S = {"featurize": ACTORS_A_CPU / CLIP_S, "sweep": 1 / SLEEPING_EPOCH_S}  # of clips and epochs, on a CPU
_FEW = {"featurize": 20, "sweep": 2}  # clips and trials a CPU
_GETS_PER_S = 5500  # of a prefix of S3, as its performance guide says


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Attributes:
    per_s: clips, or epochs of all trials, in the middle half of the work.
    asleep_per_s: if nothing else took time, on all CPUs.
    driver_s, gcs_s: CPU of the driver, and of Ray's GCS on the head while the job was there.
    driver_bytes: by which the driver's memory grew at most.
    """

    what: str
    num_nodes: int
    num: int
    per_s: float
    asleep_per_s: float
    seconds: float
    driver_s: float
    gcs_s: float
    driver_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one and two nodes, little work: noisy")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    print_machine(("ray", "optuna", "pyarrow"), num_cores=len(os.sched_getaffinity(0)))
    clips_a_cpu, trials_a_cpu = (80, 4) if arguments.quick else (320, 8)
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
        for what, num in (("featurize", clips_a_cpu * num_cpus), ("sweep", trials_a_cpu * num_cpus)):
            for turn in ("first", "second"):  # in the first one files are read that a new node has not read yet
                number = num if turn == "second" else _FEW[what] * num_cpus
                words = ["python", "benchmarks/scaling_job.py", what, str(number), nodes.uri(f"{what}-{turn}")]
                gcs_before_s = gcs_cpu_s(nodes)
                done = nodes.submit(f"{what}-{turn}", words)
                if done.returncode:
                    raise RuntimeError(done.stdout[-3000:])
                told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"per_s"')))
            found.append(
                Run(
                    what=what,
                    num_nodes=num_nodes,
                    num=num,
                    per_s=told["per_s"],
                    asleep_per_s=num_cpus * _PER_S[what],
                    seconds=told["seconds"],
                    driver_s=told["driver_cpu_s"],
                    gcs_s=gcs_cpu_s(nodes) - gcs_before_s,
                    driver_bytes=told["driver_bytes"],
                )
            )
            print(found[-1], file=sys.stderr, flush=True)
    return found


def gcs_cpu_s(nodes: RayNodes) -> float:
    """Seconds of CPU that the head's GCS has computed so far."""
    (pid,) = (pid for pid, words in nodes.head.machine.processes().items() if "gcs_server" in words.split(" ")[0])
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def print_runs(runs: Sequence[Run]) -> None:
    head = f"{'nodes':>6s}{'CPUs':>6s}{'done':>8s}{'s':>8s}{'per s':>9s}{'asleep':>8s}"
    print(f"\n{'':12s}{head}{'driver, ms':>12s}{'GCS, ms':>9s}{'KiB':>8s}")
    for run in runs:
        each_ms, kib = 1000 * run.driver_s / run.num, run.driver_bytes / run.num / 1024
        row = f"{run.what:12s}{run.num_nodes:6d}{run.num_nodes * _CPUS_A_NODE:6d}{run.num:8d}{run.seconds:8.1f}"
        row += f"{run.per_s:9.1f}{run.asleep_per_s:8.1f}"
        print(f"{row}{each_ms:12.2f}{1000 * run.gcs_s / run.num:9.2f}{kib:8.1f}")
    print(
        "done: clips, trials; per s: clips, epochs, in the middle half of the work; asleep: if nothing else took time"
    )
    print("ms and KiB: of a clip, of a trial with its epochs")


def print_on_paper(runs: Sequence[Run]) -> None:
    """What a far larger cluster would wait for, if what one clip and one trial cost stays as it is."""
    clips, trials = ([run for run in runs if run.what == what] for what in ("featurize", "sweep"))
    clip_s, trial_s = per_one(clips, "driver_s"), per_one(trials, "driver_s")
    clip_gcs_s, trial_gcs_s = per_one(clips, "gcs_s"), per_one(trials, "gcs_s")
    clip_bytes = per_one(clips, "driver_bytes")
    num_cpus = _NODES * _CPUS
    print(f"\non paper: {_NODES:,} nodes of {_CPUS} CPUs, {_CLIPS:,} clips, {_CLIPS_PER_S:.0f} clips/s a CPU")
    for what, told in (
        ("to compute, on all CPUs", f"{_CLIPS / _CLIPS_PER_S / num_cpus:12,.0f} s"),
        (f"to fetch, at {_GETS_PER_S:,} GET/s", f"{_CLIPS / _GETS_PER_S:12,.0f} s, divided by the number of prefixes"),
        (f"driver, {1e6 * clip_s:,.0f} µs a clip", f"{_CLIPS * clip_s:12,.0f} s"),
        (f"GCS, {1e6 * clip_gcs_s:,.0f} µs a clip", f"{_CLIPS * clip_gcs_s:12,.0f} s"),
        (f"driver, {clip_bytes / 1024:,.2f} KiB a clip", f"{_CLIPS * clip_bytes / 2**30:12,.0f} GiB"),
        ("one driver feeds at most", f"{1 / clip_s:12,.0f} clips/s, {1 / clip_s / _CLIPS_PER_S:,.0f} CPUs"),
        (f"driver, {1e3 * trial_s:,.1f} ms a trial", f"{1 / trial_s:12,.1f} trials/s of {NUM_EPOCHS} epochs"),
        (f"GCS, {1e3 * trial_gcs_s:,.1f} ms a trial", f"{1 / trial_gcs_s:12,.1f} trials/s"),
        ("so that all CPUs are busy", f"{num_cpus * max(trial_s, trial_gcs_s) / 60:12,.0f} min must a trial take"),
    ):
        print(f"  {what:35s}{told}")


def print_figures(runs: Sequence[Run]) -> None:
    for what in ("featurize", "sweep"):
        of = [run for run in runs if run.what == what]
        largest = max(of, key=lambda run: run.num_nodes)
        efficiency = largest.per_s / largest.asleep_per_s
        print(f"figure scaling.{what}_efficiency_on_{largest.num_nodes}_nodes {efficiency:.2f}")
        print(f"figure scaling.{what}_driver_ms_each {1000 * per_one(of, 'driver_s'):.2f}")


def per_one(runs: Sequence[Run], what: str) -> float:
    """Of one more clip or trial: the slope over all runs, so that what each run costs once is not in it."""
    return float(np.polyfit([run.num for run in runs], [getattr(run, what) for run in runs], 1)[0])


if __name__ == "__main__":
    sys.exit(main())
