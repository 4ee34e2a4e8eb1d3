"""What is counted for Prometheus while a job runs, through Ray: the only file that imports ray.util.metrics.

Enters: numbers, from whichever process knows them. Leaves: series at the metrics port of that process's node, named as
here with `ray_` before it and, of a counter, `_total` behind it. Ray's core brings them to the node's agent every ten
seconds, and once more when a process ends in peace; of one that is killed the last seconds are lost. Without a Ray
session nothing is counted, and no error of a metric ever reaches who counts.

Tags are ids and names from settings: never a path, a key or an address.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray.util import metrics as ray_metrics

# Ray's core forgets a gauge once it was brought to the agent, and the agent after two intervals more (Ray 2.60,
# src/ray/observability/open_telemetry_metric_recorder.cc): what is to stay has to be said again and again.
_AGAIN_EVERY_S = 4.0
_END_S = 10.0  # so long the thread that does so is waited for

Value = float | Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric of ours.

    Attributes:
        name: ends in its unit where it has one.
        tags: that every value has.
    """

    kind: Literal["counter", "gauge"]
    name: str
    description: str
    tags: tuple[str, ...]

    @property
    def series(self) -> str:
        """The name that Prometheus has."""
        return f"ray_{self.name}_total" if self.kind == "counter" else f"ray_{self.name}"


CLIPS = Metric(
    kind="counter",
    name="melsweep_clips",
    description="Clips of shards that were stored, copied and quarantined ones among them.",
    tags=("features",),
)
QUARANTINED_CLIPS = Metric(
    kind="counter",
    name="melsweep_quarantined_clips",
    description="Clips of these shards that have no features.",
    tags=("features",),
)
TRIALS = Metric(
    kind="gauge",
    name="melsweep_trials",
    description="Trials by state; those that earlier processes ended among them, and waiting ones not yet suggested.",
    tags=("sweep", "architecture", "state"),
)
SEED_EPOCHS = Metric(
    kind="counter",
    name="melsweep_seed_epochs",
    description="Epochs trained of all seeds of all trials, as the driver heard of them.",
    tags=("sweep", "architecture"),
)
RUNG_DECISIONS = Metric(
    kind="counter",
    name="melsweep_rung_decisions",
    description="What was decided of trials at rungs: go_on, stop, pause; take_up of those that were put down.",
    tags=("sweep", "architecture", "decision"),
)
S3_BYTES = Metric(
    kind="counter",
    name="melsweep_s3_bytes",
    description="Bytes of bodies that went to S3 (put) and came from there (get).",
    tags=("direction",),
)
GPU_MEMORY_BYTES = Metric(
    kind="gauge",
    name="melsweep_gpu_memory_bytes",
    description="Memory of the GPU that torch holds for a trial in training.",
    tags=("sweep", "architecture"),
)
METRICS = (CLIPS, QUARANTINED_CLIPS, TRIALS, SEED_EPOCHS, RUNG_DECISIONS, S3_BYTES, GPU_MEMORY_BYTES)


def count(metric: Metric, amount: float = 1, **tags: str) -> None:
    """Adds to a counter; from any thread."""
    if amount > 0:
        _BOARD.record(metric, amount, tags)


def show(metric: Metric, value: Value, **tags: str) -> None:
    """Sets a gauge, which stays until it is hidden or the process ends.

    Args:
        value: or a function that is asked for it every few seconds, in a thread of its own.
    """
    _BOARD.show(metric, value, tags)


def hide(metric: Metric, **tags: str) -> None:
    """Lets a gauge vanish, half a minute later."""
    _BOARD.hide(metric, tags)


@contextlib.contextmanager
def showing(metric: Metric, value: Value, **tags: str) -> Iterator[None]:
    """Shows a gauge for the length of the `with` block."""
    show(metric, value, **tags)
    try:
        yield
    finally:
        hide(metric, **tags)


def count_s3_bytes(direction: str, num_bytes: int) -> None:
    """A listener of `storage.traffic`."""
    count(S3_BYTES, num_bytes, direction=direction)


def hide_all() -> None:
    """Lets all gauges vanish, and returns when nothing of here runs in a thread of its own any more."""
    _BOARD.hide_all()


class _Board:
    """The metrics of this process; made by its first count, as Ray's core wants to be asked by a worker or a driver."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}
        self._shown: dict[tuple[str, frozenset[tuple[str, str]]], tuple[Metric, Value, dict[str, str]]] = {}
        self._keeper: threading.Thread | None = None
        self._ended = threading.Event()  # for the keeper of now
        self._has_failed = False

    def record(self, metric: Metric, value: Value, tags: dict[str, str]) -> None:
        if self._has_failed or not ray.is_initialized():
            return
        try:
            number = value() if callable(value) else value
            made = self._metric(metric)
            if metric.kind == "counter":
                made.inc(float(number), tags=tags)
            else:
                made.set(float(number), tags=tags)
        except Exception as e:  # of whatever kind: no job may fail as it is looked at
            self._has_failed = True
            logging.getLogger(__name__).warning("metrics are no longer counted in this process (%r)", e)

    def show(self, metric: Metric, value: Value, tags: dict[str, str]) -> None:
        with self._lock:
            self._shown[metric.name, frozenset(tags.items())] = (metric, value, tags)
            if self._keeper is None:
                self._ended = threading.Event()
                self._keeper = threading.Thread(
                    target=self._show_again, args=(self._ended,), name="melsweep metrics", daemon=True
                )
                self._keeper.start()
        self.record(metric, value, tags)

    def hide(self, metric: Metric, tags: dict[str, str]) -> None:
        with self._lock:
            self._shown.pop((metric.name, frozenset(tags.items())), None)

    def hide_all(self) -> None:
        with self._lock:
            self._shown.clear()
            keeper, self._keeper = self._keeper, None
            self._ended.set()
        if keeper is not None:
            keeper.join(_END_S)

    def _show_again(self, ended: threading.Event) -> None:
        while True:
            ended.wait(_AGAIN_EVERY_S)
            with self._lock:
                shown = list(self._shown.values())
                if ended.is_set():
                    return
                if not shown:
                    self._keeper = None
                    return
            for metric, value, tags in shown:
                self.record(metric, value, tags)

    def _metric(self, metric: Metric) -> Any:
        with self._lock:
            if metric.name not in self._made:
                kind = ray_metrics.Counter if metric.kind == "counter" else ray_metrics.Gauge
                self._made[metric.name] = kind(metric.name, description=metric.description, tag_keys=metric.tags)
            return self._made[metric.name]


_BOARD = _Board()
