"""What a sweep of thousands of trials costs beside its training: each report, each trial, memory, restart, leaderboard.

python benchmarks/sweep_overhead.py [--quick] [--trials 5000] [--epochs 20] [--s3-trials 500]

Trials train nothing. `run_sweep` runs as ever, with Tune's own controller, our searcher, rungs, ledger and watch; only
the actors are objects of the driver's process (actors_in_process.py), so that thousands of trials take minutes. Plain
Ray Tune with ASHA runs in the same way, with random values and the loggers it brings. What both cost with a process for
every trial is measured with few trials, last. Three things are told apart: the driver; Optuna's suggestions, whose time
grows with the trials that a study has seen; and the commits that a trial's own process makes. Plain Tune's values are
random, so figures of the driver, its ratios to plain Tune's and the worst growth are without Optuna; what its
suggestions cost and how they grow are figures of their own, `sweep.optuna_…` and `sweep.overhead_with_optuna_vs_tune`.

One sweep gives a row for every size: what it had cost when so many trials had ended. There all is read by a process
that takes the sweep up (the first one gathers the small commits, the next ones find few objects) and by a leaderboard.
Growth is the slope of log seconds over log trials: 1 is linear. Seconds are those of the wall or, with --clock cpu, of
the process's CPU, to which other work on the machine adds little; waiting for a disk or S3 is not in these. The S3 is
moto, in a process of its own: its listings take the longer the more objects a bucket has, which S3's do not, hence
fewer trials.
"""

import argparse
import gc
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import optuna
import psutil
import pyarrow as pa
from ray import tune

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.actors_in_process import DriverTime, actors_in_process
from benchmarks.machine import print_machine
from benchmarks.results_table import moto
from benchmarks.stub_sweep import (
    SWEEP_ROW,
    PlainTrial,
    StubTrial,
    ledger_of,
    run_plain_tune,
    stub_plan,
    stub_trainable,
)
from cluster.session import ray_session
from reports import leaderboard, load_sweep
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps import SweepPlan, run_sweep
from sweeps.watch import SweepProgress

T = TypeVar("T")
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
_SHARES = (0.1, 0.2, 0.4, 1.0)  # of the trials, at which all is measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What a sweep had cost when so many trials had ended, in seconds since its start.

    Attributes:
        reports_s: of the driver, for reports after which a trial goes on.
        trials_s: of the driver, for all else but Optuna's suggestions: trials begin and end.
        optuna_s: of Optuna's suggestions.
        commits_s: of what trials commit themselves.
        grown_mib: by how much the driver's memory had grown.
        restart_s, again_s: to take the sweep up for the first and the second time; None where that is not measured.
        board_s: to read the results and make the leaderboard.
    """

    num_trials: int
    num_reports: int
    reports_s: float
    trials_s: float
    optuna_s: float
    commits_s: float
    grown_mib: float
    restart_s: float | None = None
    again_s: float | None = None
    board_s: float | None = None

    @property
    def driver_s(self) -> float:
        return self.reports_s + self.trials_s


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few trials: within a minute, and noisy")
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--s3-trials", type=int, default=500)
    parser.add_argument("--adaptive-trials", type=int, default=1000, help="of an adaptive sweep; 0 for none")
    parser.add_argument("--process-trials", type=int, default=12, help="with a process each; 0 for none")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="of all seconds but those of processes")
    arguments = parser.parse_args(argv)
    clock = arguments.clock
    num_epochs, num_trials = arguments.epochs, arguments.trials
    num_s3_trials, num_process_trials = arguments.s3_trials, arguments.process_trials
    num_adaptive_trials = arguments.adaptive_trials
    if arguments.quick:
        num_trials, num_epochs, num_s3_trials, num_process_trials, num_adaptive_trials = 60, 5, 20, 0, 0
    print_machine(("ray", "optuna", "pyarrow", "boto3", "moto"), num_cores=len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder:
        local = _in_own_process(measure_ours, open_store(f"{folder}/ours"), num_trials, num_epochs, clock)
        print_marks(f"ours, local folder, {num_epochs} epochs a trial", local)
        if num_adaptive_trials:
            store = open_store(f"{folder}/adaptive")
            adaptive = _in_own_process(measure_ours, store, num_adaptive_trials, num_epochs, clock, "adaptive")
            print_marks(f"ours, adaptive, local folder, budget of {num_epochs} epochs a trial", adaptive)
        plain = _in_own_process(measure_plain, f"{folder}/plain", num_trials, num_epochs, clock)
        print_marks(f"plain Ray Tune with ASHA, {num_epochs} epochs a trial", plain)
    with moto() as store:
        s3 = _in_own_process(measure_ours, store, num_s3_trials, num_epochs, clock)
    print_marks(f"ours, S3 (moto), {num_epochs} epochs a trial", s3)
    if num_process_trials:
        processes = _in_own_process(measure_processes, num_process_trials, num_epochs)
        _print_processes(processes, num_process_trials)
    print_figures({"local": local, "s3": s3}, plain)
    if num_process_trials:
        print(f"figure sweep.overhead_vs_tune_with_processes {processes[0] / processes[1]:.2f}")
    return 0


def _in_own_process(work: Callable[..., T], *arguments: Any) -> T:
    """So that each contender's memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def measure_ours(
    store: ObjectStore, num_trials: int, num_epochs: int, clock: str, scheduler: str = "seed_epochs"
) -> list[Mark]:
    """One sweep of ours with actors in process; a mark at each size. Leaves the sweep in the store."""
    plan = stub_plan(num_trials, num_epochs, scheduler=scheduler)
    ledger, spent = ledger_of(store, plan), DriverTime(clock=CLOCKS[clock])
    with ExitStack() as stack:
        stack.enter_context(ray_session(address="local", num_cpus=1))
        optuna_time = stack.enter_context(_time_of_optuna(CLOCKS[clock]))
        stack.enter_context(actors_in_process(lambda config: StubTrial(config, ledger), spent))
        marks = _Marks(num_trials, spent, optuna_time, lambda: _readers(store, plan, CLOCKS[clock]))

        def on_progress(now: SweepProgress) -> None:
            marks.see(now.trials_ended)

        run_sweep(plan, None, store, sweep_row=SWEEP_ROW, on_progress=on_progress)  # type: ignore[arg-type]
    return marks.found


def measure_plain(folder: str, num_trials: int, num_epochs: int, clock: str) -> list[Mark]:
    """The same of plain Ray Tune, whose results lie below a folder."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new one prints a banner even at verbosity 0
    spent = DriverTime(clock=CLOCKS[clock])
    marks = _Marks(num_trials, spent, [0.0], dict)

    class Watch(tune.Callback):
        num_ended = 0

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.num_ended += 1
            marks.see(self.num_ended)

    with (
        ray_session(address="local", num_cpus=1),
        actors_in_process(lambda config: PlainTrial(config, num_epochs), spent),
    ):
        run_plain_tune(num_trials, num_epochs, folder, [Watch()])
    return marks.found


def measure_processes(num_trials: int, num_epochs: int) -> tuple[float, float]:
    """Seconds of a sweep of ours and of plain Ray Tune, both with a process for every trial; two trials at once."""
    plan = stub_plan(num_trials, num_epochs)
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder, ray_session(address="local", num_cpus=2):
        ours = open_store(f"{folder}/ours")
        with mock.patch("sweeps.run_sweep.train_trial", stub_trainable):
            ours_s = _seconds(lambda: run_sweep(plan, None, ours, sweep_row=SWEEP_ROW))  # type: ignore[arg-type]
        return ours_s, _seconds(lambda: run_plain_tune(num_trials, num_epochs, f"{folder}/plain", []))


class _Marks:
    """Makes a mark whenever a sweep has come to the next size."""

    def __init__(
        self, num_trials: int, spent: DriverTime, optuna_time: list[float], read: Callable[[], dict[str, float]]
    ) -> None:
        self._sizes = sorted({max(2, round(share * num_trials)) for share in _SHARES})
        self._spent, self._optuna_time, self._read = spent, optuna_time, read
        self._began_with = _memory_mib()
        self.found: list[Mark] = []

    def see(self, num_ended: int) -> None:
        if not self._sizes or num_ended < self._sizes[0]:
            return
        self._sizes.pop(0)
        grown_mib = _memory_mib() - self._began_with
        with self._spent.elsewhere():
            read = self._read()
        seconds, reports_s = self._spent.seconds_of, self._spent.seconds_of["report"]
        self.found.append(
            Mark(
                num_trials=num_ended,
                num_reports=self._spent.num_of["report"],
                reports_s=reports_s,
                trials_s=sum(seconds.values()) - reports_s - self._optuna_time[0],
                optuna_s=self._optuna_time[0],
                commits_s=self._spent.of_trials_s,
                grown_mib=grown_mib,
                **read,
            )
        )
        print(f"{time.strftime('%H:%M:%S')} {self.found[-1]}", file=sys.stderr, flush=True)


def _readers(store: ObjectStore, plan: SweepPlan, clock: Clock) -> dict[str, float]:
    """Times those who read a sweep at this moment, and leaves its table as it was."""
    try:
        restart_s = _seconds(lambda: _take_up(store, plan), clock)
        board_s = _seconds(lambda: leaderboard(load_sweep(ResultsTable(store), plan.sweep_id)), clock)
        return {"restart_s": restart_s, "again_s": _seconds(lambda: _take_up(store, plan), clock), "board_s": board_s}
    finally:
        for info in list(store.list("compacted/")):
            store.delete(info.key)
        gc.collect()  # or the memory of readers would count as the driver's
        pa.default_memory_pool().release_unused()


def _take_up(store: ObjectStore, plan: SweepPlan) -> None:
    """All that `run_sweep` does before it trains."""
    with mock.patch("sweeps.run_sweep._tune"):
        run_sweep(plan, None, store, sweep_row=SWEEP_ROW)  # type: ignore[arg-type]


@contextmanager
def _time_of_optuna(clock: Clock) -> Iterator[list[float]]:
    """One number: seconds that studies were asked for suggestions."""
    spent, ask = [0.0], optuna.study.Study.ask

    def timed(*arguments: Any) -> optuna.Trial:
        began = clock()
        trial = ask(*arguments)
        spent[0] += clock() - began
        return trial

    with mock.patch.object(optuna.study.Study, "ask", timed):
        yield spent


def _seconds(work: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def _memory_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def growth(marks: Sequence[Mark], seconds: Callable[[Mark], float | None]) -> float:
    """Slope of log seconds over log trials, by least squares."""
    points = [(math.log(mark.num_trials), math.log(max(value, 1e-9))) for mark in marks if (value := seconds(mark))]
    num_trials, spent = np.array(points).T
    return float(np.polyfit(num_trials, spent, deg=1)[0])


_GROWING: dict[str, Callable[[Mark], float | None]] = {
    "reports": lambda mark: mark.reports_s,
    "trials": lambda mark: mark.trials_s,
    "optuna": lambda mark: mark.optuna_s,
    "commits": lambda mark: mark.commits_s,
    "memory": lambda mark: mark.grown_mib,
    "restart": lambda mark: mark.restart_s,
    "restart_again": lambda mark: mark.again_s,
    "leaderboard": lambda mark: mark.board_s,
}


def print_marks(title: str, marks: Sequence[Mark]) -> None:
    """A table, and below it how everything grows."""
    print(f"\n{title}")
    print(f"  {'':8s}{'driver, ms':>20s}{'Optuna':>10s}{'commits':>11s}{'memory':>10s}{'restart, s':>20s}{'board':>9s}")
    print(f"  {'trials':8s}{'a report':>10s}{'a trial':>10s}{'ms/trial':>10s}{'ms/report':>11s}{'MiB':>10s}", end="")
    print(f"{'first':>10s}{'again':>10s}{'s':>9s}")
    for mark in marks:
        per_trial, per_report = 1e3 / mark.num_trials, 1e3 / mark.num_reports
        cells = f"{mark.reports_s * per_report:10.2f}{mark.trials_s * per_trial:10.1f}{mark.optuna_s * per_trial:10.1f}"
        cells += f"{mark.commits_s * per_report:11.2f}{mark.grown_mib:10.0f}"
        read = [mark.restart_s, mark.again_s, mark.board_s]
        cells += "".join(
            " " * width if s is None else f"{s:{width}.1f}" for s, width in zip(read, (10, 10, 9), strict=True)
        )
        print(f"  {mark.num_trials:<8d}{cells}")
    if len(marks) > 1:
        found = {name: of for name, of in _GROWING.items() if all(of(mark) for mark in marks)}
        told = ", ".join(f"{name.replace('_', ' ')} {growth(marks, of):.2f}" for name, of in found.items())
        print(f"  growth: {told}", flush=True)


def _print_processes(seconds: tuple[float, float], num_trials: int) -> None:
    ours, plain = (value / num_trials for value in seconds)
    print(f"\na process a trial, {num_trials} trials: ours {ours:.2f} s a trial, plain Ray Tune {plain:.2f} s")


def print_figures(ours: dict[str, list[Mark]], plain: list[Mark]) -> None:
    """Of the largest sweeps; seconds as ratios where there is something to compare."""
    last = ours["local"][-1]
    ours_s = last.driver_s + last.commits_s
    print(f"figure sweep.overhead_vs_tune {ours_s / plain[-1].driver_s:.2f}")
    print(f"figure sweep.overhead_with_optuna_vs_tune {(ours_s + last.optuna_s) / plain[-1].driver_s:.2f}")
    print(f"figure sweep.driver_vs_tune {last.driver_s / plain[-1].driver_s:.2f}")
    for where, marks in ours.items():
        last = marks[-1]
        print(f"figure sweep.ms_per_report_{where} {1e3 * (last.reports_s + last.commits_s) / last.num_reports:.2f}")
        print(f"figure sweep.ms_per_trial_{where} {1e3 * last.trials_s / last.num_trials:.1f}")
        print(f"figure sweep.optuna_ms_per_trial_{where} {1e3 * last.optuna_s / last.num_trials:.1f}")
        if len(marks) > 1:
            print(f"figure sweep.optuna_growth_{where} {growth(marks, _GROWING['optuna']):.2f}")
            slopes = {name: growth(marks, of) for name, of in _GROWING.items() if name != "optuna"}
            worst = max(slopes, key=lambda name: slopes[name])
            print(f"figure sweep.worst_growth_{where} {slopes[worst]:.2f} ({worst.replace('_', ' ')}, Optuna aside)")


if __name__ == "__main__":
    sys.exit(main())
