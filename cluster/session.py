"""One Ray session per job: the cluster that the job was sent to, or a private one on this machine.

Enters: settings. Leaves: an initialised Ray, ended again by whoever began it. The only file that calls ray.init.
"""

import contextlib
import gc
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig

from cluster.metrics import hide_all
from cluster.submitted_job import submitted_job
from cluster.versions import check_versions

_ACCELERATOR = "accelerator_type:"  # what Ray calls a node's kind of GPU
_KEY = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY", re.IGNORECASE)
_NOT_KEYS = ("_FILE", "_PATH", "_ID", "_URI", "_MODE")  # what says where a key is, or which
_ANSWER_S = 5.0  # ray.init itself waits half a minute for a cluster that is not there
_DATA_THREADS = ("StreamingExecutor", "iter_threaded", "ray-data-metadata")  # which Ray Data leaves behind for a while
_DATA_THREADS_S = 10.0
_OPTIONS = {"logging_level": logging.ERROR, "log_to_driver": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeResources:
    """What one node has. A task or actor has to fit into a single one.

    Attributes:
        memory_bytes: that Ray may reserve: what was free when the node started, less its object store; 0 for unknown.
        accelerators: what its GPUs are called.
    """

    num_cpus: float
    num_gpus: float
    memory_bytes: int = 0
    accelerators: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """What decides how fast a trial is, as far as Ray knows: `16 CPUs, 1 GPU H200`."""
        gpus = f"{self.num_gpus:g} GPU{'' if self.num_gpus == 1 else 's'}"
        parts = [f"{self.num_cpus:g} CPU{'' if self.num_cpus == 1 else 's'}"]
        return ", ".join([*parts, " ".join([gpus, *self.accelerators])] if self.num_gpus else parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterResources:
    """What the nodes of the session have in all; `num_cpus_beside_gpus` are those of nodes with a GPU."""

    num_cpus: float
    num_gpus: float
    num_nodes: int
    num_cpus_beside_gpus: float
    nodes: tuple[NodeResources, ...] = ()

    def has_node(self, *, num_cpus: float, num_gpus: float) -> bool:
        """Whether a single node has both."""
        return any(node.num_cpus >= num_cpus and node.num_gpus >= num_gpus for node in self.nodes)

    @property
    def workers_come_and_go(self) -> bool:
        """Whether there is a node without a CPU: a head that leaves work to workers, of which there may be none now."""
        return any(not node.num_cpus for node in self.nodes)


@contextlib.contextmanager
def ray_session(*, address: str | None = None, num_cpus: int | None = None) -> Iterator[ClusterResources]:
    """Joins or starts a cluster for the length of the `with` block.

    A private cluster listens on loopback only, ends with the block and leaves no file behind.

    Args:
        address: `host:port` of a running cluster, or `auto`. None joins the one in RAY_ADDRESS (set inside
            `ray job submit`) and otherwise starts a private one; `local` starts a private one in any case.
        num_cpus: cores of a private cluster; None for all of the machine.

    Raises:
        ConnectionError: the cluster at `address` does not answer, or not to this token, or its nodes have other
            versions of packages.
    """
    if ray.is_initialized():  # a caller's session, a test's for example: used, not ended
        yield cluster_resources()
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    # Ray Data makes Ray's core log an alarming line about every actor pool (ray#53727) straight to the terminal.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with contextlib.ExitStack() as ending:
        if address == "local":
            folder = _private_folder()
            ending.callback(shutil.rmtree, folder, ignore_errors=True)
            ending.callback(_leave)
            _start_private(num_cpus, folder)
        else:
            _check_answers(address)
            ending.callback(_leave)
            _join(address)
            check_versions()
        if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # ray.init puts its own in place, which prints a stack trace
        yield cluster_resources()


def cluster_resources() -> ClusterResources:
    """What the session has now; an autoscaled cluster may have more later."""
    total = ray.cluster_resources()
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return ClusterResources(
        num_cpus=float(total.get("CPU", 0.0)),
        num_gpus=float(total.get("GPU", 0.0)),
        num_nodes=len(alive),
        num_cpus_beside_gpus=sum(float(node.get("CPU", 0.0)) for node in alive if node.get("GPU", 0.0)),
        nodes=tuple(_node(node) for node in alive),
    )


def _node(resources: Mapping[str, float]) -> NodeResources:
    return NodeResources(
        num_cpus=float(resources.get("CPU", 0.0)),
        num_gpus=float(resources.get("GPU", 0.0)),
        memory_bytes=int(resources.get("memory", 0.0)),
        accelerators=tuple(sorted(name.removeprefix(_ACCELERATOR) for name in resources if _ACCELERATOR in name)),
    )


def _join(address: str) -> None:
    job = submitted_job()
    warn_of_keys(job or {})
    try:
        # Ray itself brings a job's working directory to every worker; without a job, nodes must have this path.
        runtime_env = {"env_vars": {"PYTHONPATH": _path_with_project()}} if job is None else None
        ray.init(address=address, runtime_env=runtime_env, job_config=_job_config(), **_OPTIONS)
    except (ConnectionError, ray.exceptions.AuthenticationError) as e:
        raise ConnectionError(
            f"cannot join the Ray cluster at {address} ({str(e).splitlines()[0]}). "
            "If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=<file>."
        ) from e


def _leave() -> None:
    """Ends Ray in this process, and not the process itself.

    Ray 2.60 ends it with code 1, without a word on our level of logging, if another thread calls its core while that
    shuts down; to let go of an object reference is such a call, and so is any collection of garbage that finds one. So
    threads that do so are ended or waited for, garbage is collected before, and what is there then is not looked at by
    any collection meanwhile.
    """
    try:
        hide_all()
        deadline = time.monotonic() + _DATA_THREADS_S
        for thread in threading.enumerate():
            if thread.name.startswith(_DATA_THREADS):
                thread.join(max(0.0, deadline - time.monotonic()))
        gc.collect()
        gc.freeze()
        ray.shutdown()
    finally:
        gc.unfreeze()


def warn_of_keys(job: Mapping[str, Any]) -> None:
    """Tells whoever sent a job with keys among its `env_vars` where else they now are."""
    variables = (job.get("runtime_env") or {}).get("env_vars") or {}
    keys = [name for name in sorted(variables) if _KEY.search(name) and not name.endswith(_NOT_KEYS)]
    if keys:
        logging.getLogger(__name__).warning(
            "%s came with the job: Ray writes it into runtime_env_agent.log of every node and into command lines, and "
            "its job API tells it to whoever has the token. docs/cluster.md says how nodes get keys otherwise.",
            ", ".join(keys),
        )


def _check_answers(address: str) -> None:
    if address == "auto":  # Ray looks among the processes of this machine, which is quick
        return
    remedy = "Correct cluster.address or RAY_ADDRESS; without both, a private cluster is started."
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme not in ("", "ray") or not host or not port.isdecimal():
        raise ConnectionError(f"{address!r} is no host:port. {remedy} An http address is for `ray job submit`.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as e:
        raise ConnectionError(f"no Ray cluster answers at {address} ({e}). {remedy}") from e


def _start_private(num_cpus: int | None, folder: str) -> None:
    _keep_token_private()
    # Without this constant Ray takes 127.0.0.1 for the node's address and binds its servers to it, as it does on macOS
    # and Windows. It turns `_node_ip_address="127.0.0.1"` into the outer address and listens everywhere (Ray 2.60).
    constants = ray._private.ray_constants
    had, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    had_path, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH"), _path_with_project()  # workers inherit it
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            job_config=_job_config(),
            _temp_dir=os.path.join(folder, "r"),  # Ray opens this one to all users; the folder around it stays closed
            # No runtime_env: the workers that Ray starts together with the node would then be of no use.
            **_OPTIONS,
        )
    finally:
        constants.ENABLE_RAY_CLUSTER = had
        del os.environ["PYTHONPATH"]
        os.environ.update({} if had_path is None else {"PYTHONPATH": had_path})


def _job_config() -> JobConfig:
    """Without the folder that one happens to be in, which Ray would put first where workers look for what they import.

    That may be somebody else's data set, with a numpy.py in it, or one's own project, with a folder `models`.
    """
    return JobConfig(_client_job=True)  # the one way to have Ray 2.60 leave it out


def _private_folder() -> str:
    # Unix socket paths may have 107 bytes, and Ray adds about 60: a long TMPDIR would break it.
    return tempfile.mkdtemp(prefix="ray", dir="/tmp" if sys.platform == "linux" else None)


def _path_with_project() -> str:
    """A PYTHONPATH on which workers find the project where this file lies, installed or not."""
    project = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [project, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.pathsep.join(dict.fromkeys(paths))


def _keep_token_private() -> None:
    """Makes the user's Ray token, or closes it: Ray makes it itself, but readable by everyone (Ray 2.60)."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() or os.environ.get("RAY_AUTH_MODE") == "disabled":
        return
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f"auth_token.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32))
    with contextlib.suppress(FileExistsError):  # linked whole, so that no process ever reads half a token
        os.link(draft, path)
    draft.unlink()
    path.chmod(0o600)
