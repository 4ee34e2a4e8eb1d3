"""Whether the nodes of a cluster have the packages that the driver has: with others, numbers differ and pickles break.

Enters: an initialised Ray. Leaves: nothing, or an error that names node, package and both versions.
"""

import importlib.metadata
import platform
from collections.abc import Mapping

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# Those that numbers depend on, or that write what others of them read.
PACKAGES = (
    "av",
    "librosa",
    "numpy",
    "optuna",
    "pyarrow",
    "ray",
    "scikit-learn",
    "scipy",
    "soundfile",
    "soxr",
    "timm",
    "torch",
    "torchvision",
)
_ANSWER_S = 60.0  # of a node that has to start a process first; who is later is not asked


class VersionsDiffer(ConnectionError):
    """Nodes of the cluster have other versions than the driver."""


def installed() -> dict[str, str]:
    """Name → version, of Python too; `none` for what is not there."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def check_versions() -> None:
    """Asks every node that is alive now.

    Raises:
        VersionsDiffer: there is one with others.
    """
    alive = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    asked = {}
    for node_id, where in alive.items():
        on_node = NodeAffinitySchedulingStrategy(node_id, soft=False)
        asked[_installed_there.options(scheduling_strategy=on_node).remote()] = where
    answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=_ANSWER_S)
    ours, told = installed(), []
    for answer in answered:
        try:
            others = differences(ours, ray.get(answer))
        except RayError:  # a node that has ended since
            continue
        if others:
            told.append(f"{asked[answer]} has {', '.join(others)}")
    if told:
        raise VersionsDiffer(
            f"nodes of the cluster have other versions than the driver: {'; '.join(sorted(told))}. "
            "Install requirements.lock on all of them, and send jobs by `ray job submit`: its driver runs on the head."
        )


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """What they have otherwise, and what we have instead, in words."""
    return [
        f"{name} {theirs.get(name, 'none')} (here {version})"
        for name, version in ours.items()
        if theirs.get(name, "none") != version
    ]


@ray.remote(num_cpus=0, max_retries=0)
def _installed_there() -> dict[str, str]:
    return installed()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
