"""What Ray reserves for a trial, and on which kind of device it trains."""

from typing import Literal, Protocol

from cluster.session import cluster_resources
from storage.errors import InvalidInput


class TrialNeeds(Protocol):
    """The settings of whoever runs trials."""

    @property
    def cpus_per_trial(self) -> float: ...

    @property
    def gpus_per_trial(self) -> float | None: ...


def choose_device(needs: TrialNeeds) -> Literal["cpu", "cuda"]:
    """The GPUs of the session's cluster, where it has some and the settings do not say otherwise."""
    num_gpus = cluster_resources().num_gpus if needs.gpus_per_trial is None else needs.gpus_per_trial
    return "cuda" if num_gpus else "cpu"


def trial_resources(needs: TrialNeeds, *, device: str, section: str) -> tuple[float, float]:
    """CPUs and GPUs of a trial. Refuses what the cluster can never give: Ray would wait without a word.

    Args:
        section: what users write before the fields (`sweep`).

    Raises:
        InvalidInput: the cluster has fewer.
    """
    cluster = cluster_resources()
    num_gpus = needs.gpus_per_trial
    if num_gpus is None:
        num_gpus = 1.0 if device == "cuda" else 0.0
    for name, asked, there in (
        ("cpus_per_trial", needs.cpus_per_trial, cluster.num_cpus),
        ("gpus_per_trial", num_gpus, cluster.num_gpus),
    ):
        if asked > there:
            raise InvalidInput(
                f"{section}.{name}",
                given=asked,
                allowed=f"at most {there:g}, which is what the cluster has now",
                remedy="Lower it, or start larger nodes first.",
            )
    return needs.cpus_per_trial, num_gpus
