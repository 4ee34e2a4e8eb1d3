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
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from benchmarks.node_network import Network, NoNamespaces
from benchmarks.ray_nodes import RayNodes
from benchmarks.scaling_job import ACTORS_A_CPU, CLIPS_PER_SHARD, LARGE_SHARD, NUM_EPOCHS
from benchmarks.sleeping import CLIP_S
from benchmarks.stub_sweep import SLEEPING_EPOCH_S
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.shards.plan import bytes_per_row

_CPUS_A_NODE = 2
_NODES, _CPUS, _CLIPS = 1000, 16, 10**8  # of the paper's cluster
_CLIPS_PER_S = 709 / 2  # on a CPU: WAV of 5 s, from files to files (benchmarks/featurize.py, 2026-11-21)
_LARGER = LARGE_SHARD // CLIPS_PER_SHARD
_PER_S = {
    "featurize": ACTORS_A_CPU / CLIP_S,
    "large shards": ACTORS_A_CPU / CLIP_S * _LARGER,
    "sweep": 1 / SLEEPING_EPOCH_S,
}  # of clips and epochs, on a CPU
_FEW = {"featurize": 20, "sweep": 2}  # clips and trials a CPU
_COSTS = ("driver_s", "gcs_s", "driver_bytes")
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
            for place, num_nodes in enumerate([1, 2] if arguments.quick else arguments.nodes)
            for run in measure(num_nodes, clips_a_cpu, trials_a_cpu, is_first=not place)
        ]
    except NoNamespaces as e:
        print(f"not run: {e}", file=sys.stderr)
        return 2
    print_runs(runs)
    print_on_paper(runs)
    print_figures(runs)
    return 0


def measure(num_nodes: int, clips_a_cpu: int, trials_a_cpu: int, *, is_first: bool) -> list[Run]:
    """Args: is_first: measures large shards, too, which tell what a clip costs beside what its shard does."""
    num_cpus = num_nodes * _CPUS_A_NODE
    work = {"featurize": clips_a_cpu * num_cpus, "sweep": trials_a_cpu * num_cpus}
    if is_first:
        work["large shards"] = _LARGER * work["featurize"]
    with Network() as network, RayNodes(network, cpus=[_CPUS_A_NODE] * num_nodes) as nodes:
        for what in _FEW:  # files are read that a new node has not read yet
            send(nodes, what, _FEW[what] * num_cpus, "few")
        return [measured(nodes, what, num) for what, num in work.items()]


def measured(nodes: RayNodes, what: str, num: int) -> Run:
    gcs_before_s, num_cpus = gcs_cpu_s(nodes), _CPUS_A_NODE * len(nodes.workers)
    told = send(nodes, what, num, "measured")
    run = Run(
        what=what,
        num_nodes=len(nodes.workers),
        num=num,
        per_s=told["per_s"],
        asleep_per_s=num_cpus * _PER_S[what],
        seconds=told["seconds"],
        driver_s=told["driver_cpu_s"],
        gcs_s=gcs_cpu_s(nodes) - gcs_before_s,
        driver_bytes=told["driver_bytes"],
    )
    print(run, file=sys.stderr, flush=True)
    return run


def send(nodes: RayNodes, what: str, num: int, turn: str) -> dict[str, Any]:
    """What the job tells of itself."""
    name = f"{what}-{turn}".replace(" ", "-")
    done = nodes.submit(name, ["python", "benchmarks/scaling_job.py", what, str(num), nodes.uri(name)])
    if done.returncode:
        raise RuntimeError(done.stdout[-3000:])
    told: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"per_s"')))
    return told


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
    """What a far larger cluster would wait for, if what one clip, one shard and one trial cost stays as it is."""
    small, large = (next(run for run in runs if run.what == what) for what in ("featurize", "large shards"))
    num_more = large.num - small.num
    # Not below nothing, where a clip costs less than two runs differ by chance.
    clip = {what: max(0.0, getattr(large, what) - getattr(small, what)) / num_more for what in _COSTS}
    shard = {what: CLIPS_PER_SHARD * (per_one(runs, "featurize", what) - clip[what]) for what in _COSTS}
    trial = {what: per_one(runs, "sweep", what) for what in _COSTS}
    a_shard = PipelineSettings().shard_bytes // bytes_per_row(FeatureSpec())
    all_of_it = {what: _CLIPS * (clip[what] + shard[what] / a_shard) for what in _COSTS}
    num_cpus, num_shards = _NODES * _CPUS, _CLIPS / a_shard
    print(f"\non paper: {_NODES:,} nodes of {_CPUS} CPUs, {_CLIPS:,} clips of 5 s, {_CLIPS_PER_S:.0f} clips/s a CPU")
    print(f"  {num_shards:,.0f} shards of {a_shard:,} clips, which is the rule for the default features")
    driver = f"driver, {1e6 * clip['driver_s']:,.0f} µs a clip, {1e3 * shard['driver_s']:,.0f} ms a shard"
    gcs = f"GCS, {1e6 * clip['gcs_s']:,.0f} µs a clip, {1e3 * shard['gcs_s']:,.0f} ms a shard"
    memory = f"driver, {clip['driver_bytes'] / 1024:,.2f} KiB a clip, {shard['driver_bytes'] / 1024:,.0f} a shard"
    longest_s = max(trial["driver_s"], trial["gcs_s"])
    for what, told in (
        ("to compute, on all CPUs", f"{_CLIPS / _CLIPS_PER_S / num_cpus:12,.0f} s"),
        (f"to fetch, at {_GETS_PER_S:,} GET/s", f"{_CLIPS / _GETS_PER_S:12,.0f} s, divided by the number of prefixes"),
        (driver, f"{all_of_it['driver_s']:12,.0f} s"),
        (gcs, f"{all_of_it['gcs_s']:12,.0f} s"),
        (memory, f"{all_of_it['driver_bytes'] / 2**30:12,.0f} GiB"),
        ("one driver feeds at most", f"{_CLIPS / all_of_it['driver_s'] / _CLIPS_PER_S:12,.0f} CPUs"),
        (f"trials: driver {1e3 * trial['driver_s']:,.0f} ms, GCS {1e3 * trial['gcs_s']:,.0f} ms",
         f"{1 / longest_s:12,.0f} trials/s of {NUM_EPOCHS} epochs"),
        ("so that all CPUs are busy", f"{num_cpus * longest_s / 60:12,.0f} min must a trial take"),
    ):  # fmt: skip
        print(f"  {what:46s}{told}")


def print_figures(runs: Sequence[Run]) -> None:
    for what in ("featurize", "sweep"):
        largest = max((run for run in runs if run.what == what), key=lambda run: run.num_nodes)
        efficiency = largest.per_s / largest.asleep_per_s
        print(f"figure scaling.{what}_efficiency_on_{largest.num_nodes}_nodes {efficiency:.2f}")
        print(f"figure scaling.{what}_driver_ms_each {1000 * per_one(runs, what, 'driver_s'):.2f}")


def per_one(runs: Sequence[Run], work: str, what: str) -> float:
    """Of one more clip or trial: the slope over all runs of this work, without what each run costs once."""
    of = [run for run in runs if run.what == work]
    return float(np.polyfit([run.num for run in of], [getattr(run, what) for run in of], 1)[0])


if __name__ == "__main__":
    sys.exit(main())
