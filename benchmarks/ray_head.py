"""A Ray head of one's own on loopback, which may be killed like a machine that loses power.

All of its processes have the head's folder in their command line or as their place, which is how they are found: Ray's
workers overwrite the first, and stand in groups of their own.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "ray-client-server-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_START_S = 120.0


class Head:
    """Starts at once; used as a context, it leaves neither process nor file behind.

    Args:
        dashboard: whether it has one, and the job API with it.
        environment: further variables of the head's own processes.

    Attributes:
        address: for `cluster.address`.
        metrics_url: where Prometheus would ask.
        url: of the dashboard and the job API, where there are any.
        folder: where all of its files lie.
        token: what lets others in.
        environment: of those who join it.
    """

    def __init__(
        self, *, num_cpus: int, dashboard: bool = False, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        # Not TMPDIR, which may be long: Ray's socket paths may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="msk", dir="/tmp" if sys.platform == "linux" else None))
        token, self.token = self.folder / "token", secrets.token_hex(32)
        token.touch(mode=0o600)
        token.write_text(self.token)
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nobody takes 127.0.0.1 for the machine's outer address
        }
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self.address = f"127.0.0.1:{ports['port']}"
        self.metrics_url = f"http://127.0.0.1:{ports['metrics-export-port']}/metrics"
        self.url = f"http://127.0.0.1:{ports['dashboard-port']}"
        words = [
            "--head",
            "--block",
            f"--temp-dir={self.folder}/r",
            f"--num-cpus={num_cpus}",
            f"--include-dashboard={str(dashboard).lower()}",
            "--dashboard-host=127.0.0.1",
            "--disable-usage-stats",
        ]
        words += [f"--{name}={port}" for name, port in ports.items()]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # jobs say `python`
        environment = {**os.environ, **self.environment, "PATH": path, **environment}
        try:
            self._start(words, environment)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> "Head":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all that belongs to the head, those first that would start others again; may be repeated."""
        left = self._kill_processes()
        shutil.rmtree(self.folder, ignore_errors=True)
        if left:
            raise RuntimeError(f"processes left behind: {sorted(left)}")

    def _kill_processes(self) -> dict[int, str]:
        """Returns: those that are left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        return left

    def processes(self) -> dict[int, str]:
        """Process id → command line of all that belongs to the head."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if str(self.folder) in words or (place / "cwd").readlink().is_relative_to(self.folder):
                    found[int(place.name)] = words
        return found

    def _start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """A second time where it has not started: Ray gives its own processes 30 s, which a busy machine may need."""
        for is_last in (False, True):
            with (self.folder / "head.log").open("w") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "ray.scripts.scripts", "start", *words],
                    env=environment,
                    cwd=self.folder,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                self._wait()
                return
            except RuntimeError:
                if is_last:
                    raise
                self._kill_processes()

    def _wait(self) -> None:
        """Until drivers can join: the last that the head starts is its worker pool, after its own port is open."""
        host, _, port = self.address.rpartition(":")
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(port)), timeout=1).close()
                if "Ray runtime started" in (self.folder / "head.log").read_text():
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the Ray head did not start: {(self.folder / 'head.log').read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
