"""Where trials are measured: a node of the kind that most are of, or a GPU of one with its part of the CPUs."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.session import NodeResources

_MOST_ON_A_GPU = 16


def kind_of_node(nodes: Sequence[NodeResources], *, device: Literal["cpu", "cuda"]) -> NodeResources | None:
    """The node to measure on: one of the kind that most are of; None where there is none for the device."""
    fitting_nodes = [node for node in nodes if node.num_cpus >= 1 and (device == "cpu" or node.num_gpus >= 1)]
    kinds = Counter(node.in_words for node in fitting_nodes)
    return max(fitting_nodes, key=lambda node: kinds[node.in_words], default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """Where it is measured: a node, or a GPU of it with its part of the CPUs.

    Attributes:
        most_at_once: how many trials the settings allow there.
    """

    node: NodeResources
    device: Literal["cpu", "cuda"]
    most_at_once: int

    @property
    def cpus(self) -> float:
        """A GPU's part of the node's; all of them without one."""
        return self.node.num_cpus / self.node.num_gpus if self.device == "cuda" else self.node.num_cpus

    @property
    def in_words(self) -> str:
        limit = f", at most {self.most_at_once} at once" if self.most_at_once < self._most else ""
        return f"{self.node.in_words}{limit}"

    @property
    def _most(self) -> int:
        return _MOST_ON_A_GPU if self.device == "cuda" else math.floor(self.node.num_cpus)


def find_spot(
    nodes: Sequence[NodeResources],
    *,
    device: Literal["cpu", "cuda"],
    cpus_per_trial: float | Literal["auto"],
    max_concurrent_trials: int,
) -> Spot | None:
    """A node of the kind that most are of, and how many trials it will have; None where there is none for the device.

    Args:
        cpus_per_trial, max_concurrent_trials: of the settings; the latter are dealt to all nodes, or all GPUs.
    """
    node = kind_of_node(nodes, device=device)
    if node is None:
        return None
    if device == "cuda":
        num_places, most = sum(math.floor(other.num_gpus) for other in nodes), _MOST_ON_A_GPU
        if cpus_per_trial != "auto":
            most = min(most, max(1, math.floor(node.num_cpus / node.num_gpus / cpus_per_trial)))
    else:
        num_places, most = sum(other.num_cpus >= 1 for other in nodes), math.floor(node.num_cpus)
    if max_concurrent_trials:
        most = min(most, math.ceil(max_concurrent_trials / num_places))
    return Spot(node=node, device=device, most_at_once=most)
