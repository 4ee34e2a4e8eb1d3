"""A Ray cluster of several machines (node_network.py): a head without CPUs, workers, an S3 server, a user outside.

It is set up as ray_cluster.yaml sets it up: token authentication, the dashboard and the job API on the head's loopback
alone, S3's keys with the nodes and not with the jobs. The user outside has the token and a tunnel, as `ray dashboard`
makes one. What ends is started again by `revive`, as an autoscaler would replace it.
"""

import contextlib
import json
import math
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.node_network import Machine, Network
from storage.object_store import ObjectStore, open_store

_PROJECT = Path(__file__).parents[1]
_TUNNEL = Path(__file__).with_name("tunnel.py")
_BUCKET, _S3_PORT, _GCS_PORT, _DASHBOARD_PORT = "lab", 9000, 6379, 8265
_STORE_BYTES = 100 * 2**20  # of a node's objects in memory
_START_S = 180.0
_GIVEN_UP_S = 30.0  # a node that runs for so long and is no part of the cluster will not become one
# A node is given up when it has not answered for six seconds instead of Ray's eighteen.
_HEALTH = {
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}

# Runs in every Python process of a node whose clock is wrong. Programs that set clocks wrong by LD_PRELOAD (faketime
# 0.9.10) break the sleep of Python 3.11, and another class in datetime's place breaks pandas.
_WRONG_CLOCK = """
import time
_right, _right_ns = time.time, time.time_ns
time.time = lambda: _right() + {skew_s}
time.time_ns = lambda: _right_ns() + int({skew_s} * 1e9)
"""


@dataclass(kw_only=True, slots=True)
class Node:
    """A machine with Ray on it.

    Attributes:
        disk: what Ray writes to, of limited size.
        python: whose packages it has, from its next start on.
        skew_s: how far ahead its clock is, for what is written in Python.
        lost: Ray's ids of what it was before it was started again.
    """

    name: str
    machine: Machine
    folder: Path
    num_cpus: float
    python: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = -math.inf
    skew_s: float = 0.0
    lost: set[str] = field(default_factory=set)

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def since_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self.started


class RayNodes:
    """Starts at once; used as a context, and then with its network, it leaves nothing behind.

    Attributes:
        url: of the job API, for the user outside.
        token: a file.
        python: of the user outside, and of the nodes as long as they have no other.
    """

    def __init__(self, network: Network, *, cpus: Sequence[float]) -> None:
        """Args: cpus: of each worker, as they are declared to Ray."""
        self.network, self.python = network, Path(sys.executable)
        self.disk = network.folder / "r"  # every node sees another one there
        self.token = network.folder / "token"
        self.token.touch(mode=0o600)
        self.token.write_text(secrets.token_hex(32))
        self._keys = {
            "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
            "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        }
        self._s3_machine, self._late = network.add(), network.folder / "late"
        self._start_s3()
        self.head = self._node("head", 0)
        self.url, self._tunnel = self._open_tunnel()
        self.workers = [self._node(f"worker{number}", num_cpus) for number, num_cpus in enumerate(cpus, 1)]
        try:
            self.revive()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "RayNodes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what runs on this machine; all else ends with the network."""
        self._tunnel.terminate()
        self._tunnel.wait()

    @property
    def secrets(self) -> dict[str, str]:
        """What must appear nowhere, by its name."""
        return {"token": self.token.read_text(), **self._keys}

    @property
    def endpoint_url(self) -> str:
        return f"http://{self._s3_machine.address}:{_S3_PORT}"

    def store(self, prefix: str) -> ObjectStore:
        """A place in the cluster's bucket, for this process, which gets the keys in its environment."""
        os.environ.update(self._keys)
        return open_store(self.uri(prefix), endpoint_url=self.endpoint_url)

    def uri(self, prefix: str) -> str:
        return f"s3://{_BUCKET}/{prefix}"

    def submit(
        self, name: str, words: Sequence[str], *, wait: bool = True, token: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`ray job submit` from outside, with the project as the job's working directory."""
        waiting = () if wait else ("--no-wait",)
        return self.ray("job", "submit", "--submission-id", name, *waiting, "--working-dir", str(_PROJECT), "--",
                        *words, token=token)  # fmt: skip

    def ray(self, *words: str, token: bool = True) -> subprocess.CompletedProcess[str]:
        """Ray's command line as the user outside runs it."""
        environment = {"HOME": str(self.network.folder), "PATH": f"{self.python.parent}{os.pathsep}{os.defpath}"}
        environment["RAY_ADDRESS"] = self.url
        if token:
            environment |= self._token_environment
        return subprocess.run(
            [self.python, "-m", "ray.scripts.scripts", *words],
            env=environment,
            cwd=self.network.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str, method: str = "GET", *, token: bool = True) -> Any:
        """An answer of the head's HTTP server.

        Raises:
            OSError: it does not answer, or refuses.
        """
        headers = {"Authorization": f"Bearer {self.token.read_text()}"} if token else {}
        request = urllib.request.Request(f"{self.url}/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def job_status(self, name: str) -> str | None:
        """None where nobody answers; UNKNOWN where a head does that has never heard of it."""
        try:
            return str(self.ask(f"api/jobs/{name}")["status"])
        except urllib.error.HTTPError as e:
            return "UNKNOWN" if e.code == 404 else None
        except (OSError, ValueError):
            return None

    def job_printed(self, name: str) -> str:
        """Nothing where nobody answers or knows of it."""
        with contextlib.suppress(OSError, ValueError):
            return str(self.ask(f"api/jobs/{name}/logs")["logs"])
        return ""

    def job_log(self, name: str) -> str:
        """What it printed, and what Ray says of its end, which may repeat the last of it."""
        with contextlib.suppress(OSError, ValueError):
            return f"{self.job_printed(name)}\n{self.ask(f'api/jobs/{name}')['message']}"
        return ""

    def nodes_alive(self) -> set[tuple[str, str]]:
        """Address and Ray's id of the nodes that Ray takes for alive, which may be some seconds late; none where nobody
        answers."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            rows = self.ask("api/v0/nodes?detail=0&limit=1000")["data"]["result"]["result"]
            return {(row["node_ip"], row["node_id"]) for row in rows if row["state"] == "ALIVE"}
        return set()

    def revive(self) -> None:
        """Starts again what has ended or is no part of the cluster, the head first, until all nodes are."""
        deadline = time.monotonic() + _START_S
        nodes = [self.head, *self.workers]
        while not self._are_up(nodes):
            for node in nodes:
                if not node.is_up or (node.since_s > _GIVEN_UP_S and not self._are_up([node])):
                    node.machine.lose_power()  # what it left
                    self._start(node)
                if node is self.head and not self._are_up([node]):
                    break
            if time.monotonic() > deadline:
                logs = "\n".join((node.folder / "ray.log").read_text()[-1000:] for node in nodes)
                raise RuntimeError(f"only {sorted(self.nodes_alive())} are part of the cluster: {logs}")
            time.sleep(0.5)

    def _are_up(self, nodes: Sequence[Node]) -> bool:
        alive = self.nodes_alive()
        return all(node.is_up and self._id(node, alive) for node in nodes)

    def _id(self, node: Node, alive: set[tuple[str, str]]) -> str | None:
        """Of the node as it is now, where it is part of the cluster."""
        ids = (node_id for address, node_id in alive if address == node.machine.address and node_id not in node.lost)
        return next(ids, None)

    def lose(self, node: Node) -> None:
        """A machine without power: all that runs on it ends at once, and its disk is lost."""
        node.machine.lose_power()
        if node.process is not None:
            node.process.wait()

    def drain(self, node: Node, *, deadline_s: int) -> None:
        """What a cloud's notice of a spot machine's end leads to."""
        node_id = self._id(node, self.nodes_alive())
        if node_id is None:
            raise RuntimeError(f"{node.name} is no part of the cluster")
        words = ["drain-node", "--address", f"{self.head.machine.address}:{_GCS_PORT}", "--node-id", node_id]
        words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot notice"]
        log = self.network.folder / "drain.log"
        process = self.head.machine.start(
            [self.python, "-m", "ray.scripts.scripts", *words, "--deadline-remaining-seconds", str(deadline_s)],
            environment=self._environment(self.head),
            log=log,
        )
        if process.wait(60):
            raise RuntimeError(f"the node is not drained: {log.read_text()[-1000:]}")

    def cut_s3(self) -> None:
        self._s3_machine.cut()

    def heal_s3(self) -> None:
        self._s3_machine.heal()

    def slow_s3(self, late_s: float) -> None:
        """Every answer takes so much longer; 0 for none."""
        self._late.write_text(str(late_s))

    def _node(self, name: str, num_cpus: float) -> Node:
        folder = self.network.folder / name
        folder.mkdir()
        return Node(name=name, machine=self.network.add(), folder=folder, num_cpus=num_cpus, python=self.python)

    def _start(self, node: Node) -> None:
        is_head = node is self.head
        node.lost |= {node_id for address, node_id in self.nodes_alive() if address == node.machine.address}
        node.started = time.monotonic()
        words = ["--block", f"--node-ip-address={node.machine.address}", f"--num-cpus={node.num_cpus:g}"]
        words += [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        if is_head:
            words += ["--head", f"--port={_GCS_PORT}", "--dashboard-host=127.0.0.1", f"--temp-dir={self.disk}"]
            words += [f"--dashboard-port={_DASHBOARD_PORT}"]
        else:
            words += [f"--address={self.head.machine.address}:{_GCS_PORT}"]
        node.process = node.machine.start(
            [node.python, "-m", "ray.scripts.scripts", "start", *words],
            environment=self._environment(node),
            log=node.folder / "ray.log",
            disk=self.disk,
        )
        if is_head:
            self._tunnel_socket.unlink(missing_ok=True)
            node.machine.start(
                [sys.executable, _TUNNEL, self._tunnel_socket, f"127.0.0.1:{_DASHBOARD_PORT}"],
                environment={"PATH": os.defpath},
                log=self.network.folder / "tunnel.log",
            )

    @property
    def _tunnel_socket(self) -> Path:
        return self.network.folder / "tunnel"

    @property
    def _token_environment(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}

    def _environment(self, node: Node) -> dict[str, str]:
        paths = {}
        if node.skew_s:
            wrong_clock = node.folder / "wrong_clock"
            wrong_clock.mkdir(exist_ok=True)
            (wrong_clock / "sitecustomize.py").write_text(_WRONG_CLOCK.format(skew_s=node.skew_s))
            paths = {"PYTHONPATH": str(wrong_clock)}
        return {
            "HOME": str(node.folder),
            "TMPDIR": str(self.disk),
            "LANG": "C.UTF-8",
            "PATH": f"{node.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            **self._keys,
            **self._token_environment,
            **_HEALTH,
            **paths,
        }

    def _start_s3(self) -> None:
        log = self.network.folder / "s3.log"
        script = Path(__file__).with_name("s3_server.py")
        process = self._s3_machine.start(
            [sys.executable, script, "0.0.0.0", str(_S3_PORT), self._late],
            environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.network.folder)},
            log=log,
        )
        _wait_for(lambda: "open" in log.read_text(), process, log)
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self._keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._keys["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
        )
        client.create_bucket(Bucket=_BUCKET)

    def _open_tunnel(self) -> tuple[str, subprocess.Popen[bytes]]:
        """The end of the tunnel on this machine."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words: list[str | Path] = [sys.executable, _TUNNEL, f"127.0.0.1:{port}", self._tunnel_socket]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # what it prints is for the other end
        return f"http://127.0.0.1:{port}", process


def _wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not happened():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
