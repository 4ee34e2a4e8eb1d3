"""Whether the nodes of a cluster have the packages that the driver has: with others, numbers differ and pickles break.

Enters: an initialised Ray. Leaves: nothing, or an error that names node, package and both versions. The nodes that are
there are asked when a job joins; those that come later, by what the driver's work brings along (`Versions`).
"""

import functools
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
# Compared where the driver has them.
PACKAGES_OF_SOME = ("nvidia-dali-cuda130",)
_ANSWER_S = 60.0  # of a node that has to start a process first


class VersionsDiffer(ConnectionError):
    """Nodes of the cluster have other versions than the driver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """The driver's, on their way to a process that is to work for it, which compares them before it begins.

    An autoscaler's workers come when a job has begun, from an image or a lock file that may be another by then.
    """

    of_driver: Mapping[str, str]

    @classmethod
    def here(cls) -> "Versions":
        """Those of this process, a driver."""
        return cls(of_driver=installed())

    def check(self) -> None:
        """Compares them with this process's own, whose packages are looked up once.

        Raises:
            VersionsDiffer: its node has others.
        """
        if others := differences(self.of_driver, _installed_here()):
            raise VersionsDiffer(_in_words([f"{ray.util.get_node_ip_address()} has {', '.join(others)}"]))

    def refusal(self) -> str:
        """The error's message, which travels as data where an error would lose its cause; empty where there is none."""
        try:
            self.check()
        except VersionsDiffer as e:
            return str(e)
        return ""


def installed() -> dict[str, str]:
    """Name → version, of Python too; `none` for what is not there and should be."""
    of_all = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    of_some = {name: _version(name) for name in PACKAGES_OF_SOME}
    return of_all | {name: version for name, version in of_some.items() if version != "none"}


@functools.cache
def _installed_here() -> dict[str, str]:
    return installed()


def check_versions() -> None:
    """Asks every node that is alive now.

    One that does not answer in time is let through, and so is one that comes later: what is to work there compares its
    packages itself.

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
        raise VersionsDiffer(_in_words(told))


def _in_words(told: Sequence[str]) -> str:
    return (
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
