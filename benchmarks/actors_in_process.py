"""Tune's actors as objects of the driver's process, so that thousands of trials measure Tune's driver and nothing else.

Stands in for `ray.air.execution._internal.RayActorManager` (Ray 2.60) inside a `TuneController`, which is otherwise
Tune's own: its trials, queue, searcher, scheduler, callbacks and snapshots. A task runs when its turn comes, first in,
first out. What a process costs (a second of start, a remote call a report) is missing on purpose.
"""

import itertools
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest import mock

from ray.air.execution._internal import TrackedActor

_MANAGER = "ray.tune.execution.tune_controller.RayActorManager"


class Trainable(Protocol):
    """One trial, as Tune's actors are."""

    def train(self) -> dict[str, Any]: ...


MakeTrainable = Callable[[Mapping[str, Any]], Trainable]
"""From a trial's configuration."""


@dataclass(slots=True)
class DriverTime:
    """Seconds and number of the driver's turns, by what they dealt with.

    Attributes:
        seconds_of: `start`, `report` (after which a trial goes on) and `end`; without what trials did in it.
        of_trials_s: what trials did.
        clock: in seconds; of the process's CPU where other work on the machine should not count.
    """

    seconds_of: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    of_trials_s: float = 0.0
    clock: Callable[[], float] = time.perf_counter
    num_of: Counter[str] = field(default_factory=Counter)
    _last_turn: float = 0.0
    _elsewhere_s: float = 0.0

    def begin(self) -> None:
        """The first turn begins: what a run needs once, however many trials it has, is not counted."""
        self._last_turn, self._elsewhere_s = self.clock(), 0.0

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What happens in this block is not the driver's."""
        began = self.clock()
        try:
            yield
        finally:
            self._elsewhere_s += self.clock() - began

    @contextmanager
    def in_trial(self) -> Iterator[None]:
        """What happens in this block a trial's own process would do."""
        before = self._elsewhere_s
        with self.elsewhere():
            yield
        self.of_trials_s += self._elsewhere_s - before

    def turn(self, kind: str) -> None:
        """Ends a turn: all since the last one belongs to it."""
        now = self.clock()
        self.seconds_of[kind] += now - self._last_turn - self._elsewhere_s
        self.num_of[kind] += 1
        self._last_turn, self._elsewhere_s = now, 0.0


@contextmanager
def actors_in_process(make: MakeTrainable, spent: DriverTime) -> Iterator[None]:
    """Every Tune run in this block trains what `make` makes."""
    with mock.patch(_MANAGER, side_effect=lambda resource_manager: _Actors(make, spent)):
        yield


@dataclass(slots=True)
class _Handle:
    """An actor as a `Trial` sees it, which asks it at its start where it runs."""

    trainable: Trainable

    @property
    def get_auto_filled_metrics(self) -> "_Handle":
        return self

    def remote(self, debug_metrics_only: bool) -> dict[str, Any]:
        return {"node_ip": "127.0.0.1", "pid": 0}


@dataclass(frozen=True, slots=True)
class _Task:
    """Attributes: config: of the trial that an actor takes over; None for one more report of the trial that it has."""

    actor: TrackedActor
    on_result: Callable[..., None]
    config: Mapping[str, Any] | None


class _Actors:
    """What of a `RayActorManager` a `TuneController` asks for."""

    def __init__(self, make: MakeTrainable, spent: DriverTime) -> None:
        self._make, self._spent = make, spent
        spent.begin()
        self._ids = itertools.count()
        self._waiting: deque[tuple[TrackedActor, Mapping[str, Any]]] = deque()
        self._tasks: deque[_Task] = deque()
        self._live_actors_to_ray_actors_resources: dict[TrackedActor, tuple[_Handle, None]] = {}

    def add_actor(
        self, cls: Any, kwargs: Mapping[str, Any], resource_request: Any, **callbacks: Callable[..., None]
    ) -> TrackedActor:
        actor = TrackedActor(next(self._ids), **callbacks)
        self._waiting.append((actor, kwargs["config"]))
        return actor

    def schedule_actor_task(
        self,
        tracked_actor: TrackedActor,
        method_name: str,
        args: Any = None,
        kwargs: Any = None,
        on_result: Callable[..., None] | None = None,
        on_error: Callable[..., None] | None = None,
        _return_future: bool = False,
    ) -> None:
        if method_name in ("train", "reset") and on_result is not None:
            self._tasks.append(_Task(tracked_actor, on_result, args[0] if method_name == "reset" else None))

    def next(self, timeout: float | None = None) -> bool:
        """Deals with one event, as Tune's manager does: starts come first."""
        if self._waiting:
            actor, config = self._waiting.popleft()
            with self._spent.in_trial():
                handle = _Handle(self._make(config))
            self._live_actors_to_ray_actors_resources[actor] = handle, None
            actor._on_start(actor)
            self._spent.turn("start")
            return True
        if not self._tasks:
            return False
        self._deal_with(self._tasks.popleft())
        return True

    def _deal_with(self, task: _Task) -> None:
        handle, _ = self._live_actors_to_ray_actors_resources[task.actor]
        if task.config is not None:
            with self._spent.in_trial():
                handle.trainable = self._make(task.config)
            task.on_result(task.actor, True)
            self._spent.turn("start")
            return
        with self._spent.in_trial():
            result = handle.trainable.train()
        task.on_result(task.actor, result)
        goes_on = bool(self._tasks) and self._tasks[-1].actor == task.actor and self._tasks[-1].config is None
        self._spent.turn("report" if goes_on else "end")

    def remove_actor(self, tracked_actor: TrackedActor, kill: bool = False, stop_future: Any = None) -> bool:
        was_live = self._live_actors_to_ray_actors_resources.pop(tracked_actor, None) is not None
        if was_live and tracked_actor._on_stop:
            tracked_actor._on_stop(tracked_actor)
        return False  # nothing is left to wait for

    def clear_actor_task_futures(self, tracked_actor: TrackedActor) -> None:
        self._tasks = deque(task for task in self._tasks if task.actor != tracked_actor)

    def is_actor_started(self, tracked_actor: TrackedActor) -> bool:
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: TrackedActor) -> bool:
        return False

    def get_live_actors_resources(self) -> dict[str, float]:
        return {}

    def cleanup(self) -> None:
        self._waiting.clear()
        self._tasks.clear()
        self._live_actors_to_ray_actors_resources.clear()

    @property
    def num_pending_actors(self) -> int:
        return len(self._waiting)

    @property
    def num_live_actors(self) -> int:
        return len(self._live_actors_to_ray_actors_resources)

    @property
    def num_total_actors(self) -> int:
        return self.num_pending_actors + self.num_live_actors

    @property
    def num_actor_tasks(self) -> int:
        return len(self._tasks)
