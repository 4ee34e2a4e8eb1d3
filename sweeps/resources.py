"""What Ray reserves for a trial, and on which kind of device it trains."""

from typing import Literal, Protocol

from cluster.session import NodeResources, cluster_resources
from storage.errors import InvalidInput


class TrialNeeds(Protocol):
    """The settings of whoever runs trials."""

    @property
    def cpus_per_trial(self) -> float | Literal["auto"]: ...

    @property
    def gpus_per_trial(self) -> float | Literal["auto"] | None: ...


def choose_device(needs: TrialNeeds) -> Literal["cpu", "cuda"]:
    """The GPUs of the session's cluster, where it has some and the settings do not say otherwise."""
    asked = needs.gpus_per_trial
    num_gpus = cluster_resources().num_gpus if asked is None or asked == "auto" else asked
    return "cuda" if num_gpus else "cpu"


def trial_resources(needs: TrialNeeds, *, device: str, section: str) -> tuple[float, float]:
    """CPUs and GPUs of a trial. Refuses what no node can ever give: Ray would wait without a word.

    Where an autoscaler starts the workers nobody knows what it can give, and trials wait (`cluster.waiting`).

    Where the settings leave it to a measurement these are what a trial gets without one: a CPU, and a whole GPU.

    Args:
        section: what users write before the fields (`sweep`).

    Raises:
        InvalidInput: no single node of the cluster has so many of both.
    """
    num_cpus, num_gpus = needs.cpus_per_trial, needs.gpus_per_trial
    if num_cpus == "auto":
        num_cpus = 1.0
    if num_gpus is None or num_gpus == "auto":
        num_gpus = 1.0 if device == "cuda" else 0.0
    found = cluster_resources()
    if not found.has_node(num_cpus=num_cpus, num_gpus=num_gpus) and not found.workers_come_and_go:
        _refuse(num_cpus, num_gpus, found.nodes, section)
    return num_cpus, num_gpus


def _refuse(num_cpus: float, num_gpus: float, nodes: tuple[NodeResources, ...], section: str) -> None:
    for name, asked, largest in (
        ("cpus_per_trial", num_cpus, max((node.num_cpus for node in nodes), default=0.0)),
        ("gpus_per_trial", num_gpus, max((node.num_gpus for node in nodes), default=0.0)),
    ):
        if asked > largest:
            raise InvalidInput(
                f"{section}.{name}",
                given=asked,
                allowed=f"at most {largest:g}, which is what a single node of the cluster has now",
                remedy="Lower it, or start larger nodes first.",
            )
    sizes = sorted({f"{node.num_cpus:g} CPUs and {node.num_gpus:g} GPUs" for node in nodes})
    raise InvalidInput(
        f"{section}.cpus_per_trial",
        given=f"{num_cpus:g}, beside {num_gpus:g} GPUs",
        allowed=f"what a single node of the cluster has now: {', or '.join(sizes)}",
        remedy="Lower one of the two, or start larger nodes first.",
    )
