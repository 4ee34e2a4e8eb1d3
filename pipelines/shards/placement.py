"""How many worker processes there are, and how much of the cluster each asks Ray for.

On a GPU the processes are several to each: one decodes and writes with one core, and the GPU computes the log-mels of
what many cores decode. Not threads of one process: a decoder that crashes would take the others' clips along, and
nobody would know whose fault it was. A process has one clip in hand, as without a GPU.
"""

import math
from dataclasses import dataclass

# Half a core each: the actors together never ask for the whole machine, so no task of Ray Data's own can be starved by
# them (a job whose actors held every core hung without a word; seen on Ray 2.60 with 2 cores).
CPUS_PER_ACTOR = 0.5

# Each holds a CUDA context of its own and up to 1 GiB of batches.
_MOST_ACTORS_ON_A_GPU = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What Ray is asked for: so many actors, each with `num_cpus`, and with `num_gpus` of one GPU."""

    num_actors: int
    num_cpus: float = CPUS_PER_ACTOR
    num_gpus: float | None = None


def place_on_cores(num_actors: int, *, num_cpus: float, num_requests: int) -> Placement:
    """One actor a core.

    Args:
        num_actors: wanted; 0 for as many as there are cores.
    """
    return Placement(num_actors=min(num_actors or max(1, math.floor(num_cpus)), num_requests))


def place_on_gpus(num_actors: int, *, num_gpus: float, num_cpus: float, num_requests: int) -> Placement:
    """Several actors a GPU, as many on each, with a share of it.

    Args:
        num_actors: wanted; 0 for one per core beside a GPU, at least one and at most 16 on each.
        num_cpus: of the nodes that have GPUs.
    """
    gpus = math.floor(num_gpus)
    on_each = math.ceil(num_actors / gpus) if num_actors else math.floor(num_cpus / gpus)
    on_each = max(1, on_each if num_actors else min(on_each, _MOST_ACTORS_ON_A_GPU))
    found = min(num_actors or on_each * gpus, num_requests)
    on_each = min(on_each, math.ceil(found / gpus))
    # Rounded down to Ray's resolution, 1 / 10,000: three thirds must fit.
    return Placement(num_actors=found, num_gpus=math.floor(10_000 / on_each) / 10_000)
