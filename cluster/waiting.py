"""Waits for a node where an autoscaler has started none yet, and says so; elsewhere nothing is waited for.

Enters: what a task needs of a single node. Leaves: the moment when some node has it. Jobs derive from nodes how much
they do at once, so those that ask for what no node has yet begin here.
"""

import logging

import ray

from cluster.session import cluster_resources

_TOLD_EVERY_S = 60.0
_log = logging.getLogger(__name__)


def wait_for_node(*, num_cpus: float = 0.0, num_gpus: float = 0.0) -> None:
    """Waits until a node has both; at once where one has, or where none is to be expected.

    More nodes are to be expected where one does no work itself: a head that leaves it to workers, which come and go. A
    small task stands for what is needed meanwhile, so that the autoscaler, which nobody else can ask, starts a node;
    it ends with this process.
    """
    resources = cluster_resources()
    if resources.has_node(num_cpus=num_cpus, num_gpus=num_gpus) or not resources.workers_come_and_go:
        return
    needed = f"{num_cpus:g} CPUs" + (f" and {num_gpus:g} GPUs" if num_gpus else "")
    task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=-1)(_nothing).remote()
    while True:
        _log.warning("waiting for a node with %s; `ray status` on the head says what the autoscaler does", needed)
        if ray.wait([task], timeout=_TOLD_EVERY_S)[0]:
            return


def _nothing() -> None:
    return None
