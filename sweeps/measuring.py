"""Measures what a trial of an architecture costs, in fresh processes on a node that is reserved for it meanwhile.

Enters: a configuration and the data in Ray's object store. Leaves: a `Measurement`. Trials are begun side by side: more
and more of them on a GPU, until all together get no faster or memory ends; on CPUs as many as a node holds, with one,
two, four … threads each.
"""

import contextlib
import math
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.versions import VersionsDiffer
from sweeps.placement import Measurement, Pace, fitting, is_worth_more
from sweeps.spots import Spot
from sweeps.trial_actor import TrialContext
from training import TrialConfig
from training.embeddings import data_for
from training.memory import ran_out_of_memory
from training.probe import TrialProbe

_STEP_FOR_S = 3.0  # each time; at least three steps
_WAIT_FOR_NODE_S = 60.0
_SLIVER = 0.001  # of what is reserved for all processes together


class CannotMeasure(Exception):
    """Nothing is known of what a trial costs. The message says why, in a few words."""


class MemoryEnded(Exception):
    """One trial more had no room beside the others, or the first one none at all."""


class _Probing:
    """Runs in a process of its own, as a Ray actor."""

    def begin(self, config: TrialConfig, context: TrialContext) -> tuple[int, int]:
        """Returns bytes at the peak, and bytes of the GPU (0 without one)."""
        context.check_versions()
        self._probe = TrialProbe(config, data_for(config, context.data, context.embedded))
        return self._probe.peak_bytes, self._probe.total_bytes

    def steps_per_second(self, for_s: float, num_threads: int | None) -> float:
        return self._probe.steps_per_second(for_s=for_s, num_threads=num_threads)


def measure(config: TrialConfig, context: ray.ObjectRef, spot: Spot) -> Measurement:
    """What a trial costs there.

    Args:
        config: the largest of what is searched.
        context: a `TrialContext` in Ray's object store.

    Raises:
        CannotMeasure: no such node is free within a minute, or the trial itself fails.
        VersionsDiffer: a node that has come meanwhile has other packages.
    """
    with _reserved(spot) as group:
        fleet = _Processes(config, context, group)
        try:
            peak_bytes, total_bytes = fleet.grow(to=1)
            total_bytes = total_bytes or spot.node.memory_bytes
            most = min(spot.most_at_once, fitting(total_bytes=total_bytes, peak_bytes=peak_bytes))
            paces = paces_on_a_gpu(fleet, most, spot) if spot.device == "cuda" else paces_on_cpus(fleet, most, spot)
        except (ray.exceptions.RayError, MemoryEnded) as e:
            raise CannotMeasure(_in_words(e)) from e
        finally:
            fleet.end()
    return Measurement(
        architecture=config.architecture,
        configuration_id=config.trial_id,
        device=spot.device,
        hardware=spot.in_words,
        total_bytes=total_bytes,
        peak_bytes=peak_bytes,
        paces=tuple(paces),
    )


class Fleet(Protocol):
    """Trials that have begun side by side: `_Processes`."""

    @property
    def size(self) -> int: ...

    def grow(self, *, to: int) -> tuple[int, int]:
        """Begins further trials, all at the same time; returns what the first of them told of its memory.

        Raises:
            MemoryEnded: there is no room for one of them; those that had room stay.
        """
        ...

    def steps_per_second(self, at_once: int, *, num_threads: int | None) -> float:
        """Of some trials together, that train side by side.

        Raises:
            MemoryEnded: one of them had no room.
        """
        ...


def paces_on_a_gpu(fleet: Fleet, most: int, spot: Spot) -> list[Pace]:
    """Of 1, 2, 4 … trials, until more are no faster, or memory ends, or there are `most`.

    Raises:
        MemoryEnded: for the first one.
    """
    paces: list[Pace] = []
    for at_once in doublings(most):
        try:
            fleet.grow(to=at_once)
            together = fleet.steps_per_second(at_once, num_threads=None)
        except MemoryEnded:
            if not paces:
                raise
            break
        paces.append(Pace(cpus_each=spot.cpus / at_once, at_once=at_once, steps_per_second=together))
        if not is_worth_more(paces):
            break
    return paces


def paces_on_cpus(fleet: Fleet, most: int, spot: Spot) -> list[Pace]:
    """Of 1, 2, 4 … threads each, in as many trials as the CPUs then hold; no more than `most`, or than have room.

    Raises:
        MemoryEnded: while they train.
    """
    with contextlib.suppress(MemoryEnded):
        fleet.grow(to=most)
    paces, num_cpus = [], math.floor(spot.cpus)
    for cpus in doublings(num_cpus):
        at_once = min(num_cpus // cpus, fleet.size)
        together = fleet.steps_per_second(at_once, num_threads=cpus)
        paces.append(Pace(cpus_each=float(cpus), at_once=at_once, steps_per_second=together))
    return paces


def doublings(most: int) -> list[int]:
    """1, 2, 4 … below `most`, and `most`."""
    return [*(1 << power for power in range((most - 1).bit_length())), most]


class _Processes:
    """Each trial in a fresh process of the reserved node."""

    def __init__(self, config: TrialConfig, context: ray.ObjectRef, group: PlacementGroup) -> None:
        self._config, self._context = config, context
        place = PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=0)
        self._options: dict[str, Any] = {
            "num_cpus": _SLIVER,
            "num_gpus": _SLIVER if config.device == "cuda" else 0,
            "scheduling_strategy": place,
        }
        self._actors: list[Any] = []

    @property
    def size(self) -> int:
        return len(self._actors)

    def grow(self, *, to: int) -> tuple[int, int]:
        new = [self._start() for _ in range(to - self.size)]
        begun = [actor.begin.remote(self._config, self._context) for actor in new]
        told, failed = [], None
        for actor, reference in zip(new, begun, strict=True):
            try:
                told.append(_get(reference))
                self._actors.append(actor)
            except MemoryEnded as e:
                failed = e
                ray.kill(actor)
        if failed is not None:
            raise failed
        return told[0] if told else (0, 0)

    def steps_per_second(self, at_once: int, *, num_threads: int | None) -> float:
        running = [actor.steps_per_second.remote(_STEP_FOR_S, num_threads) for actor in self._actors[:at_once]]
        return sum(_get(reference) for reference in running)

    def end(self) -> None:
        for actor in self._actors:
            ray.kill(actor)

    def _start(self) -> Any:
        # An environment that nobody else has makes Ray start a process for it: one that has worked before would count
        # what it took then.
        fresh = {"env_vars": {"MELSWEEP_PROBE": uuid.uuid4().hex}}
        return ray.remote(_Probing).options(runtime_env=fresh, **self._options).remote()


def _get(reference: ray.ObjectRef) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as e:
        if isinstance(e.cause, VersionsDiffer):
            raise VersionsDiffer(str(e.cause)) from e
        if isinstance(e.cause, Exception) and ran_out_of_memory(e.cause):
            raise MemoryEnded(str(e.cause)) from e
        raise
    except (ray.exceptions.ActorDiedError, ray.exceptions.OutOfMemoryError) as e:
        raise MemoryEnded("its process was killed") from e  # by the system or by Ray, where memory ends


@contextlib.contextmanager
def _reserved(spot: Spot) -> Iterator[PlacementGroup]:
    """For nobody else."""
    gpus = {"GPU": 1.0} if spot.device == "cuda" else {}
    group = placement_group([{"CPU": float(max(1, math.floor(spot.cpus))), **gpus}])
    try:
        if not group.wait(_WAIT_FOR_NODE_S):
            raise CannotMeasure(f"no node with {spot.node.in_words} was free for {_WAIT_FOR_NODE_S:.0f} s")
        yield group
    finally:
        remove_placement_group(group)


def _in_words(error: Exception) -> str:
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
