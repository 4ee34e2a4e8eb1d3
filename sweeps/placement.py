"""What Ray reserves for a trial, by what was measured of its architecture: plain arithmetic, without any device.

Enters: measurements (`measuring.py`). Leaves: shares. Whatever trials Ray puts together on one GPU, their peaks fit
into its memory: a trial's share is never smaller than the part of the memory that it needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cluster.session import NodeResources

_RESERVE = 1.15  # on a peak: the allocator keeps pieces, and no few steps show everything that a training does
_LEAST_GAIN = 1.1  # by which further trials on a GPU must raise the steps of all together
_AS_GOOD = 0.95  # of the most steps; fewer trials at once are then better, as the searcher hears of results earlier
_RESOLUTION = 10_000  # Ray counts resources in this part of one; rounded down, so that three thirds fit


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast some trials were that trained side by side.

    Attributes:
        cpus_each: CPUs that each could use.
        at_once: how many there were.
        steps_per_second: of all of them together.
    """

    cpus_each: float
    at_once: int
    steps_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What a trial of an architecture costs on a kind of node.

    Attributes:
        configuration_id: of what was measured, as `TrialConfig.trial_id`.
        hardware: the kind of node, in words, and where the settings limit how many trials it has, to how many.
        total_bytes: memory of the GPU, or of the node; 0 for unknown.
        peak_bytes: what one trial takes of it, with a GPU's context and its copy of the features; on CPUs without the
            features, which all trials of a node share.
        paces: on a GPU of 1, 2, 4 … trials on one; on CPUs with 1, 2, 4 … CPUs each, as many at once as the node holds.
    """

    architecture: str
    configuration_id: str
    device: Literal["cpu", "cuda"]
    hardware: str
    total_bytes: int
    peak_bytes: int
    paces: tuple[Pace, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What Ray reserves for one trial.

    Attributes:
        memory_bytes: of a node; 0 for none in particular.
    """

    num_cpus: float
    num_gpus: float
    memory_bytes: int = 0

    @property
    def bundle(self) -> dict[str, float]:
        """As Ray names it."""
        named = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory_bytes}
        return {name: amount for name, amount in named.items() if amount}


def fitting(*, total_bytes: int, peak_bytes: int) -> int:
    """How many trials have room in a memory at the same time, with a reserve; at least one.

    Args:
        total_bytes: 0 for unknown, where nothing limits them.
    """
    if not total_bytes:
        return _RESOLUTION
    return max(1, math.floor(total_bytes / (peak_bytes * _RESERVE)))


def is_worth_more(paces: Sequence[Pace]) -> bool:
    """Whether the last ones at once were faster than fewer, so that still more may be."""
    return len(paces) < 2 or _best_on_gpu(paces) == paces[-1]


def gpu_share(measured: Measurement, *, num_cpus: float | Literal["auto"]) -> Share:
    """The part of a GPU with which all trials on it take the most steps together.

    Args:
        num_cpus: of a trial; `auto` for one, or as much of one as there is beside each.
    """
    most = fitting(total_bytes=measured.total_bytes, peak_bytes=measured.peak_bytes)
    possible = [
        pace
        for pace in measured.paces
        if pace.at_once <= most and (num_cpus == "auto" or num_cpus <= pace.cpus_each or pace.at_once == 1)
    ]
    best = _best_on_gpu(possible)
    return Share(
        num_cpus=_rounded_down(min(1.0, best.cpus_each)) if num_cpus == "auto" else num_cpus,
        num_gpus=_rounded_down(1 / best.at_once),
    )


def cpu_share(measured: Measurement, *, node_bytes: int) -> Share:
    """The number of CPUs with which the trials on a node take the most steps together, and the memory of one.

    Args:
        node_bytes: that such a node has to give now, which is never quite what it had when it was measured; 0 for
            unknown, where none is reserved.
    """
    best = _best_on_cpus(measured.paces)
    needed = math.ceil(measured.peak_bytes * _RESERVE)
    return Share(
        num_cpus=best.cpus_each,
        num_gpus=0.0,
        memory_bytes=min(needed, node_bytes),
    )


def alone(share: Share, nodes: Sequence[NodeResources]) -> Share | None:
    """What a trial gets whose memory ran out beside others; None where it shared nothing that it could have for itself.

    The number of CPUs stays, and with it the last bits of a trial's numbers.
    """
    if share.num_gpus:
        return replace(share, num_gpus=1.0) if share.num_gpus < 1 else None
    of_a_node = max((node.memory_bytes for node in nodes if node.num_cpus >= share.num_cpus), default=0)
    return replace(share, memory_bytes=of_a_node) if 0 < share.memory_bytes < of_a_node else None


def told(measured: Measurement, share: Share) -> str:
    """One line for whoever runs the sweep."""
    memory = f"{measured.peak_bytes / 1e9:.1f} GB of {measured.total_bytes / 1e9:.1f}"
    gain = _gain_on_gpu(measured, share) if measured.device == "cuda" else _gain_on_cpus(measured, share)
    return f"{measured.architecture}: {in_words(share)} a trial ({memory}{gain})"


def in_words(share: Share) -> str:
    """What counts of it: `0.25 GPU`, or `2 CPUs`."""
    return f"{_shown(share.num_gpus)} GPU" if share.num_gpus else _cpus(share.num_cpus)


def _gain_on_gpu(measured: Measurement, share: Share) -> str:
    of_one, last = measured.paces[0], measured.paces[-1]
    taken = next(pace for pace in measured.paces if _rounded_down(1 / pace.at_once) == share.num_gpus)
    if taken.at_once > 1:
        return f", {_times(taken, of_one)} times the steps of one"
    return f"; {_together(last)} {_times(last, of_one)} times the steps of one" if last.at_once > 1 else ""


def _gain_on_cpus(measured: Measurement, share: Share) -> str:
    taken = next(pace for pace in measured.paces if pace.cpus_each == share.num_cpus)
    ordered = sorted(measured.paces, key=lambda pace: pace.cpus_each)
    other = ordered[-1] if taken != ordered[-1] else ordered[0]
    if other == taken:
        return ""
    at_once = f"{other.at_once} with {_cpus(other.cpus_each)}"
    return f"; {_together(taken)} {_times(taken, other)} times the steps of {at_once}"


def _best_on_gpu(paces: Sequence[Pace]) -> Pace:
    best = paces[0]
    for pace in paces[1:]:
        if pace.steps_per_second >= _LEAST_GAIN * best.steps_per_second:
            best = pace
    return best


def _best_on_cpus(paces: Sequence[Pace]) -> Pace:
    most = max(pace.steps_per_second for pace in paces)
    as_good = [pace for pace in paces if pace.steps_per_second >= _AS_GOOD * most]
    return max(as_good, key=lambda pace: pace.cpus_each)


def _rounded_down(part: float) -> float:
    return math.floor(part * _RESOLUTION) / _RESOLUTION


def _together(pace: Pace) -> str:
    return f"{pace.at_once} at once {'takes' if pace.at_once == 1 else 'take'}"


def _times(pace: Pace, other: Pace) -> str:
    return f"{pace.steps_per_second / other.steps_per_second:.1f}"


def _cpus(number: float) -> str:
    return f"{_shown(number)} CPU{'' if number == 1 else 's'}"


def _shown(number: float) -> str:
    return f"{number:.4g}"
