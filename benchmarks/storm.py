"""A job on Ray nodes in network namespaces that is disturbed while it works: the faults, and what it does after each.

Enters: a cluster and the words of a job. Leaves: the faults as they were met, and the job's store when it has ended.
"""

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.ray_nodes import Node, RayNodes

_WAIT_S = 600.0
_KEPT = ("results/", "features/")
_NOT_AT_WORK = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
_MOST_SKEW_S = 7200.0
_ENDED = ("UNKNOWN", "FAILED", "STOPPED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Met:
    """A fault as it happened.

    Attributes:
        num_kept: objects in the job's store when it began.
        lasted_s: from its beginning until all was healed, or was started again.
        recovery_s: from then until the job wrote something; None where it had nothing more to write.
        resubmitted: whether the job ended and was sent again.
    """

    fault: str
    where: str
    num_kept: int
    lasted_s: float
    recovery_s: float | None
    resubmitted: bool


class Storm:
    """A job that is disturbed.

    Args:
        name: of its prefix in the bucket, and of its submissions.
        words: of the job.
    """

    def __init__(self, nodes: RayNodes, name: str, words: Sequence[str], chance: random.Random) -> None:
        self._nodes, self._words, self._chance = nodes, words, chance
        self._name, self._num_submitted = name, 0
        self.unexpected: list[str] = []
        self.store = nodes.store(name)
        self._faults: dict[str, Callable[[], str | None]] = {
            "worker process killed": self._kill_worker,
            "node without power": self._lose_node,
            "node cut off, healed": self._cut_node,
            "spot notice, drained": self._drain_node,
            "head without power": self._lose_head,
            "S3 away": self._cut_s3,
            "S3 late": self._slow_s3,
            "disk full": self._fill_disk,
            "clock wrong": self._wrong_clock,
        }
        self._submit()

    def num_kept(self) -> int:
        """Objects of the job's store that stay."""
        return sum(1 for prefix in _KEPT for _ in self.store.list(prefix))

    def meet(self, fault: str) -> Met | None:
        """None where it came too late: there was nothing left that it could have met."""
        num_kept, num_submitted, began = self.num_kept(), self._num_submitted, time.monotonic()
        where = self._faults[fault]()
        if where is None:
            return None
        lasted_s = time.monotonic() - began
        self._submit_again_if_ended()
        recovery_s = self._wait_for_more()
        resubmitted = self._num_submitted > num_submitted
        if resubmitted and not _may_end_the_job(fault, where, num_kept):
            self.unexpected.append(f"the job ended by: {fault}, {where}")
        met = Met(
            fault=fault,
            where=where,
            num_kept=num_kept,
            lasted_s=lasted_s,
            recovery_s=recovery_s,
            resubmitted=resubmitted,
        )
        print(f"{time.strftime('%H:%M:%S')} {met}", file=sys.stderr, flush=True)
        return met

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._faults)

    def wait_for_more(self, num: int) -> bool:
        """Until so many objects more are kept, and a moment; whether the job still runs then."""
        wanted = self.num_kept() + num
        for _ in _looks(f"job {self._job}"):
            if self._nodes.job_status(self._job) == "SUCCEEDED":
                return False
            if self._submit_again_if_ended():
                self.unexpected.append("the job ended without a fault")
            if self.num_kept() >= wanted:
                break
        time.sleep(self._chance.uniform(0, 2))
        return self._nodes.job_status(self._job) != "SUCCEEDED"

    def finish(self) -> None:
        for _ in _looks(f"job {self._job}", every_s=1.0):
            if self._nodes.job_status(self._job) == "SUCCEEDED":
                return
            self._submit_again_if_ended()

    @property
    def _job(self) -> str:
        return f"{self._name}-{self._num_submitted}"

    def _submit(self) -> None:
        self._num_submitted += 1
        words = ["python", "jobs/sweep.py", *self._words, f"storage.uri={self._nodes.uri(self._name)}"]
        for _ in _looks("a head that takes jobs", every_s=2):
            done = self._nodes.submit(self._job, words, wait=False)
            if not done.returncode:
                return
            if "No available agent" not in done.stdout:  # a head that has just begun
                raise RuntimeError(f"the job was not taken: {done.stdout[-2000:]}")

    def _submit_again_if_ended(self) -> bool:
        """A job that a fault has ended is sent again, as its user would do."""
        for _ in _looks("the head"):
            if status := self._nodes.job_status(self._job):
                break
        ended = status in _ENDED
        if ended:
            print(f"{self._job} is {status}: {self._nodes.job_log(self._job)[-3000:]}", file=sys.stderr, flush=True)
            self._submit()
        return ended

    def _wait_for_more(self) -> float | None:
        before, began = self.num_kept(), time.monotonic()
        for _ in _looks(f"job {self._job}", every_s=0.3):
            if self.num_kept() > before:
                return time.monotonic() - began
            if self._nodes.job_status(self._job) == "SUCCEEDED":
                return None
            self._submit_again_if_ended()
        raise AssertionError("looks end or raise")

    def _any_worker(self) -> Node:
        return self._chance.choice(self._nodes.workers)

    def _any_node(self) -> Node:
        return self._chance.choice([self._nodes.head, *self._nodes.workers])

    def _kill_worker(self) -> str | None:
        for _ in _looks("a process that works"):
            busy = {
                pid: node.name
                for node in self._nodes.workers
                for pid, words in node.machine.processes().items()
                if words.startswith("ray::") and not words.startswith(_NOT_AT_WORK)
            }
            if busy:
                pid = self._chance.choice(sorted(busy))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return busy[pid]
            if self._nodes.job_status(self._job) == "SUCCEEDED":
                return None
        raise AssertionError("looks end or raise")

    def _lose_node(self) -> str:
        node = self._any_worker()
        self._nodes.lose(node)
        time.sleep(self._chance.uniform(0, 10))
        self._nodes.revive()
        return node.name

    def _cut_node(self) -> str:
        node = self._any_worker()
        node.machine.cut()
        away_s = self._chance.uniform(2, 40)
        time.sleep(away_s)
        node.machine.heal()
        self._revive_when_known()
        return f"{node.name}, {away_s:.0f} s"

    def _drain_node(self) -> str:
        node = self._any_worker()
        self._nodes.drain(node, deadline_s=10)
        time.sleep(10)
        self._nodes.lose(node)
        self._nodes.revive()
        return node.name

    def _lose_head(self) -> str:
        """With the workers, which start Ray anew as `ray up` has them do, or alone: they end when they miss it."""
        with_all = self._chance.random() < 0.5
        for node in (self._nodes.head, *(self._nodes.workers if with_all else ())):
            self._nodes.lose(node)
        self._nodes.revive()
        return "all nodes" if with_all else "head"

    def _cut_s3(self) -> str:
        away_s = self._chance.uniform(10, 150)
        self._nodes.cut_s3()
        time.sleep(away_s)
        self._nodes.heal_s3()
        return f"{away_s:.0f} s"

    def _slow_s3(self) -> str:
        late_s, for_s = self._chance.uniform(0.5, 3), self._chance.uniform(10, 40)
        self._nodes.slow_s3(late_s)
        time.sleep(for_s)
        self._nodes.slow_s3(0)
        return f"{late_s:.1f} s an answer, {for_s:.0f} s"

    def _fill_disk(self) -> str:
        node = self._any_node()
        filled, for_s = node.machine.fill(self._nodes.disk), self._chance.uniform(5, 30)
        time.sleep(for_s)
        filled.unlink(missing_ok=True)
        self._revive_when_known()
        return f"{node.name}, {for_s:.0f} s"

    def _wrong_clock(self) -> str:
        node = self._any_worker()  # a head whose clock differs from the kernel's takes no jobs in Ray 2.60
        self._nodes.lose(node)
        node.skew_s = self._chance.uniform(-_MOST_SKEW_S, _MOST_SKEW_S)
        self._nodes.revive()
        return f"{node.name}, {node.skew_s / 60:+.0f} min"

    def _revive_when_known(self) -> None:
        """Whoever was given up ends some seconds after it is reached again."""
        time.sleep(8)
        self._nodes.revive()


def _may_end_the_job(fault: str, where: str, num_kept: int) -> bool:
    """Whether docs/operations.md says so: faults of the head, and of a store that has not answered the job yet."""
    return fault == "head without power" or where.startswith("head") or (fault == "S3 away" and not num_kept)


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Looks twice a second.

    Raises:
        RuntimeError: it has not happened after ten minutes.
    """
    for _ in _looks(what):
        if happened():
            return


def _looks(what: str, *, every_s: float = 0.5) -> Iterator[None]:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        yield
        time.sleep(every_s)
    raise RuntimeError(f"waited {_WAIT_S:.0f} s for {what}")
