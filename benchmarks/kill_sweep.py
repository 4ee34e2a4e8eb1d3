"""Kills a sweep with SIGKILL at random moments, again and again, and says whether its results show it.

python benchmarks/kill_sweep.py [--kills 20] [--storage local s3] [--schedulers seed_epochs adaptive]
    [--concurrency 1 2]

`jobs/sweep.py` runs a small real sweep on a Ray head of its own. The victim is drawn: the driver, with its whole
process group; the process that trains; or the head, with all that runs on it. A moment is a random number of epochs
and a random part of two seconds more or, where a restarted sweep has come so far already, so many seconds after its
start: from the beginning to when all is trained, ends are recorded and the report is written. What has ended is started
again, by the same command, until the sweep is at its end. Then its table is held to what holds of every sweep
(sweep_consistency.py), its suggestions and decisions are made again from its rows (sweeps/replay.py) and, at
concurrency 1, it is held to the table of a sweep that nothing disturbed, row by row. The S3 is moto, in a process of
its own. On each store every scheduler has a sweep at every concurrency, which is killed so many times.
"""

import argparse
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks import sweep_consistency
from benchmarks.machine import print_machine
from benchmarks.ray_head import Head
from benchmarks.results_table import moto
from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps import SweepPlan
from sweeps.ledger import Ledger
from sweeps.replay import ReplayDiffers, replay, replay_turns

_ROOT = Path(__file__).parents[1]
Victim = Literal["driver", "worker", "head"]
_WEIGHTS: dict[Victim, float] = {"driver": 0.45, "worker": 0.4, "head": 0.15}
_SEEDS, _EPOCHS, _NUM_TRIALS, _BUDGET = (1, 2), 6, 8, 6.0
_GRACE_EPOCHS, _REDUCTION_FACTOR = 1, 2
_SCHEDULERS = {
    "seed_epochs": ("sweep.scheduler=seed_epochs",),
    "pausing": ("sweep.scheduler=seed_epochs", "sweep.rungs.kind=pause"),
    "adaptive": ("sweep.scheduler=adaptive", f"sweep.budget={_BUDGET}"),
}
_WAIT_S = 300.0
_CLOCKS = {"ended_at", "decided_at", "epoch_seconds", "train_seconds"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """Attributes:
    num_epochs: rows of `epochs` in the store at that moment.
    after_s: seconds after the job was started.
    """

    victim: Victim
    num_epochs: int
    after_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a sweep runs: its recordings, its store, and a folder for what its jobs write on this machine."""

    recordings: Path
    uri: str
    folder: Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of every sweep")
    parser.add_argument("--storage", nargs="+", choices=("local", "s3"), default=["local", "s3"])
    parser.add_argument("--schedulers", nargs="+", choices=_SCHEDULERS, default=["seed_epochs", "adaptive"])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2], help="trials at once")
    parser.add_argument("--seed", type=int, default=0, help="of the victims and moments")
    arguments = parser.parse_args(argv)
    print_machine(("ray", "optuna", "torch", "moto"), num_cores=len(os.sched_getaffinity(0)))
    faults: dict[str, list[str]] = {kind: [] for kind in arguments.storage}
    with tempfile.TemporaryDirectory(prefix="melsweep-kills-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        uris = {kind: stack.enter_context(_storage(kind, name)) for kind in arguments.storage}
        recordings = write_synthetic_dataset(folder / "recordings", num_clips_per_class=5)
        for scheduler, concurrency in itertools.product(arguments.schedulers, arguments.concurrency):
            words, name = settings(scheduler, concurrency), f"{scheduler}-{concurrency}"
            calm = Place(recordings=recordings, uri=f"{folder}/calm/{name}", folder=folder / "calm")
            rows = undisturbed(words, calm)
            for kind, uri in uris.items():
                place = Place(recordings=recordings, uri=f"{uri}/{name}", folder=folder / kind / name)
                chance = random.Random(f"{arguments.seed} {kind} {name}")
                kills = kill_again_and_again(words, place, chance, arguments.kills, in_all=len(rows["epochs"]))
                _print_kills(f"{scheduler} on {kind}, {concurrency} at once, {len(rows['epochs'])} epochs", kills)
                found = faults_of(open_store(place.uri), scheduler)
                if concurrency == 1:
                    found += differences(read_tables(open_store(place.uri)), rows)
                print("\n".join(f"  FAULT {fault}" for fault in found) or "  no fault", flush=True)
                faults[kind] += found
    num_kills = arguments.kills * len(arguments.schedulers) * len(arguments.concurrency)
    for kind, found in faults.items():
        print(f"figure sweep.kills_survived_{kind} {0 if found else num_kills}")
    return 1 if any(faults.values()) else 0


def settings(scheduler: str, concurrency: int) -> list[str]:
    """Of the sweep, for jobs/sweep.py."""
    words = [
        "sweep.architectures=[cnn]",
        f"sweep.num_trials={_NUM_TRIALS}",
        f"sweep.seeds=[{','.join(map(str, _SEEDS))}]",
        f"sweep.epochs={_EPOCHS}",
        f"sweep.grace_epochs={_GRACE_EPOCHS}",
        f"sweep.reduction_factor={_REDUCTION_FACTOR}",
        *_SCHEDULERS[scheduler],
        f"sweep.max_concurrent_trials={concurrency}",
        # A trial whose process dies more often is given up, the sweep goes on without it, and other trials follow.
        "sweep.max_failures=100",
        # Each would be a sweep of its own, in the same tables; which stops are audited is drawn by the trial's id.
        "sweep.confirm.best=0",
        "sweep.audit.share=0",
        "sweep.trial.model.width=8",
        "pipeline.clips_per_shard=10",
    ]
    return words


def undisturbed(words: Sequence[str], place: Place) -> dict[str, pd.DataFrame]:
    """The tables of a sweep that nothing disturbs."""
    with Head(num_cpus=2) as head:
        _end_well(words, place, head)
    return read_tables(open_store(place.uri))


def kill_again_and_again(
    words: Sequence[str], place: Place, chance: random.Random, num_kills: int, *, in_all: int
) -> list[Kill]:
    """Runs a sweep to its end through so many kills.

    Args:
        in_all: epochs that the sweep trains, over which the kills are spread, its end included.

    Raises:
        RuntimeError: nothing happens any more, or the sweep does not end.
    """
    moments = sorted(chance.choices(range(in_all + 1), k=num_kills))
    victims = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=num_kills)
    found = []
    with contextlib.ExitStack() as stack:
        run = _Run(words, place)
        stack.callback(run.end)
        for victim, moment in zip(victims, moments, strict=True):
            run.wait_for(moment, chance)
            killed, after_s = run.kill(victim)
            found.append(Kill(victim=killed, num_epochs=run.num_epochs(), after_s=after_s))
            print(f"{time.strftime('%H:%M:%S')} {found[-1]}", file=sys.stderr, flush=True)
        run.finish()
    return found


class _Run:
    """A job on a head, either of which may have to be started again."""

    def __init__(self, words: Sequence[str], place: Place) -> None:
        self._words, self._place, self._store = words, place, open_store(place.uri)
        self._head = Head(num_cpus=2)
        self._start()

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_at

    def num_epochs(self) -> int:
        return sum(1 for _ in self._store.list("results/epochs/"))

    def wait_for(self, moment: int, chance: random.Random) -> None:
        """Until so many epochs are there and a moment more; where they are there already, some seconds of the job.

        A job that comes to its end before is started again, and then takes up a sweep that has ended.
        """
        until_s = chance.uniform(0, 15) if self.num_epochs() >= moment else 0.0
        delay_s = chance.uniform(0, 2)
        for _ in self._looks():
            if self._has_ended() or (self.num_epochs() >= moment and self.age_s >= until_s):
                break
        time.sleep(delay_s)
        self._has_ended()

    def kill(self, victim: Victim) -> tuple[Victim, float]:
        """Kills, and starts again what does not by itself.

        Returns:
            What was killed, the driver where nothing is left to be trained, and after how many seconds of the job.
        """
        if victim == "worker":
            for _ in self._looks():  # there is none between two trials
                trainers = [pid for pid, words in self._head.processes().items() if _is_trainer(words)]
                if trainers:
                    os.kill(trainers[0], signal.SIGKILL)
                    return victim, self.age_s
                if self._has_ended():
                    victim = "driver"
                    break
        after_s = self.age_s
        if victim == "head":
            self._head.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._job.wait(15)  # it may notice by itself, or hang until somebody ends it
        self._kill_job()
        if victim == "head":
            self._head = Head(num_cpus=2)
        self._start()
        return victim, after_s

    def finish(self) -> None:
        """Runs the job to its end; one that gave a trial up is run again, as its user would do it."""
        for _ in range(4):
            if self._job.wait(_WAIT_S * 2) == 0:
                break
            self._start()
        else:
            raise RuntimeError(f"the sweep does not end: {self._log.read_text()[-3000:]}")

    def end(self) -> None:
        self._kill_job()
        self._head.kill()

    def _start(self) -> None:
        self._place.folder.mkdir(parents=True, exist_ok=True)
        self._log = self._place.folder / "job.log"
        with self._log.open("a") as log:
            self._job = subprocess.Popen(
                _command(self._words, self._place, self._head),
                cwd=self._place.folder,
                env={**os.environ, **self._head.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started_at = time.monotonic()

    def _kill_job(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._job.pid, signal.SIGKILL)
        self._job.wait()

    def _has_ended(self) -> bool:
        """Whether the job was done, and starts it again; likewise where it has given a trial up, for example."""
        code = self._job.poll()
        if code is not None:
            self._start()
        return code == 0

    def _looks(self) -> Iterator[None]:
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            yield
            time.sleep(0.1)
        raise RuntimeError(f"nothing happened for {_WAIT_S:.0f} s: {self._log.read_text()[-3000:]}")


def read_tables(store: ObjectStore) -> dict[str, pd.DataFrame]:
    """The tables of a store's only sweep, in the order of their keys."""
    results = ResultsTable(store)
    tables = {name: results.read(name).to_pandas() for name in sweep_consistency.KEYS}
    return {
        name: rows.sort_values(list(sweep_consistency.KEYS[name]), ignore_index=True) for name, rows in tables.items()
    }


def faults_of(store: ObjectStore, scheduler: str) -> list[str]:
    """What is wrong with the sweep by itself."""
    results, whole = ResultsTable(store), _EPOCHS * len(_SEEDS)
    names = (*sweep_consistency.KEYS, "failures")
    rows: dict[str, list[dict[str, Any]]] = {name: results.read(name).to_pylist() for name in names}
    found = sweep_consistency.row_faults(rows, seeds=_SEEDS, epochs=_EPOCHS)
    plan = _plan_of(results, scheduler)
    found += _replay_faults(plan, results)
    if plan.takes_turns:
        return found + sweep_consistency.decision_faults(rows, whole=whole, budget=plan.budget_epochs)
    rungs = plan.rung_places(0)
    found += sweep_consistency.stop_faults(rows, rungs, whole=whole)
    arrivals = sweep_consistency.arrivals(rows, rungs, _commit_times(store, rows))
    return found + sweep_consistency.rung_faults(arrivals, reduction_factor=_REDUCTION_FACTOR)


def _plan_of(results: ResultsTable, scheduler: str) -> SweepPlan:
    (row,) = results.read("sweeps").to_pylist()
    of_data = {name: row[name] for name in ("dataset", "fingerprint", "split_hash")}
    plan = SweepPlan(settings=parse_settings(JobSettings, settings(scheduler, 1)).sweep, device="cpu", **of_data)
    assert plan.sweep_id == row["sweep_id"]
    return plan


def _replay_faults(plan: SweepPlan, results: ResultsTable) -> list[str]:
    """Suggestions and decisions that do not follow from what was known when they were made."""
    ledger = Ledger(results, plan.sweep_id)
    records, decisions = ledger.records(), ledger.decisions()
    try:
        if plan.takes_turns:
            return [] if list(replay_turns(plan, records, decisions)) else ["no turn is replayed"]
        return [] if list(replay(plan, records)) else ["no suggestion is replayed"]
    except ReplayDiffers as e:
        return [f"replay differs: {e}"]


def _commit_times(store: ObjectStore, rows: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, int], float]:
    """When every epoch was committed, by the store's clock, whose steps may be whole seconds."""
    at = {
        info.key.rpartition("/")[2].removesuffix(".parquet"): info.modified_at for info in store.list("results/epochs/")
    }
    return {
        (row["trial_id"], row["seed_epoch"]): at[f"{row['trial_id']}-seed{row['seed']}-epoch{row['epoch']:04d}"]
        for row in rows["epochs"]
    }


def differences(ours: dict[str, pd.DataFrame], undisturbed: dict[str, pd.DataFrame]) -> list[str]:
    """Tables that differ in anything but clocks."""
    found = []
    for name, rows in ours.items():
        columns = [column for column in rows.columns if column not in _CLOCKS]
        try:
            pd.testing.assert_frame_equal(rows[columns], undisturbed[name][columns])
        except AssertionError as e:
            found.append(f"{name} differs from the undisturbed sweep's: {' '.join(str(e).split())[:300]}")
    return found


def _is_trainer(words: str) -> bool:
    return words.startswith("ray::") and "train" in words


def _command(words: Sequence[str], place: Place, head: Head) -> list[str]:
    where = [f"data.root={place.recordings}", f"storage.uri={place.uri}", f"cluster.address={head.address}"]
    where += [f"report.folder={place.folder}/report", f"log.folder={place.folder}/logs"]
    return [sys.executable, str(_ROOT / "jobs" / "sweep.py"), *where, *words]


def _end_well(words: Sequence[str], place: Place, head: Head) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **head.environment}
    done = subprocess.run(
        _command(words, place, head), env=environment, cwd=place.folder, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the undisturbed sweep failed: {done.stdout}{done.stderr}")


@contextlib.contextmanager
def _storage(kind: str, folder: str) -> Iterator[str]:
    if kind == "local":
        yield f"{folder}/stores"
        return
    with moto() as store:
        yield store.uri


def _print_kills(title: str, kills: Sequence[Kill]) -> None:
    print(f"\n{title}\n  {'':4s}{'killed':>8s}{'epochs':>8s}{'s of job':>10s}")
    for number, kill in enumerate(kills, 1):
        print(f"  {number:<4d}{kill.victim:>8s}{kill.num_epochs:8d}{kill.after_s:10.1f}")
    of = Counter(kill.victim for kill in kills)
    print("  " + ", ".join(f"{victim} {of[victim]}" for victim in _WEIGHTS), flush=True)


if __name__ == "__main__":
    sys.exit(main())
