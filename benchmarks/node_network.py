"""Machines on this machine: network namespaces behind one bridge, each with an address, a link and a disk of its own.

What happens to machines can then be done to them: they lose power, their cable is pulled and put back, their disk is
full. This machine is one more on the bridge, so that it reaches them as a laptop would. Needs Linux, root and iproute2.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_END_S = 30.0
# Mounted inside of what `ip netns exec` starts, which has a mount namespace of its own: nobody else sees this disk.
_ON_OWN_DISK = 'mkdir -p "$1" && mount -t tmpfs -o "size=$2" none "$1" && shift 2 && exec "$@"'


class NoNamespaces(RuntimeError):
    """Network namespaces cannot be made here; the message says why."""


class Machine:
    """A namespace. It ends with the network.

    Attributes:
        address: IPv4, which all others of the network reach.
    """

    def __init__(self, namespace: str, link: str, address: str) -> None:
        self.address = address
        self._namespace, self._link = namespace, link

    def start(
        self,
        words: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        disk: Path | None = None,
        disk_bytes: int = 2**30,
    ) -> subprocess.Popen[bytes]:
        """Starts a program on the machine.

        Args:
            log: what it prints, appended.
            disk: a folder that it, and what it starts, sees as a disk of its own with `disk_bytes`, empty at first.
        """
        if disk is not None:
            words = ["sh", "-c", _ON_OWN_DISK, "sh", disk, str(disk_bytes), *words]
        with log.open("a") as out:
            return subprocess.Popen(
                ["ip", "netns", "exec", self._namespace, *words],
                env=dict(environment),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self) -> dict[int, str]:
        """Process id → command line of all that run on it."""
        found = {}
        for pid in map(int, _ip("netns", "pids", self._namespace).split()):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                found[pid] = words.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def lose_power(self) -> None:
        """SIGKILL to all that run on it, until nothing does."""
        deadline = time.monotonic() + _END_S
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes that do not end: {left}")
            time.sleep(0.05)

    def cut(self) -> None:
        """Pulls its cable: what is sent is lost, and no connection is told."""
        _ip("link", "set", self._link, "down")

    def heal(self) -> None:
        _ip("link", "set", self._link, "up")

    def fill(self, disk: Path) -> Path:
        """Writes to a disk until it is full.

        Returns:
            The file that does it, to be deleted.
        """
        for pid in self.processes():
            seen = Path(f"/proc/{pid}/root{disk}")
            with contextlib.suppress(OSError):
                if seen.stat().st_dev == disk.stat().st_dev:  # a process without the disk
                    continue
                file = seen / "filled"
                with contextlib.suppress(OSError), file.open("wb", buffering=0) as out:
                    while out.write(bytes(2**20)):
                        pass
                return file
        raise RuntimeError(f"nothing on {self.address} has the disk {disk}")


class Network:
    """A bridge and the machines on it; used as a context, it leaves nothing behind.

    Attributes:
        folder: short, as Ray's socket paths may have 107 bytes; ends with the network.
        address: of this machine on it.

    Raises:
        NoNamespaces: not Linux, not root, no iproute2, or a kernel that forbids it.
    """

    def __init__(self) -> None:
        self._tag = f"ms{secrets.token_hex(2)}"
        self._machines: list[Machine] = []

    def __enter__(self) -> "Network":
        with contextlib.ExitStack() as ending:
            self.folder = Path(tempfile.mkdtemp(prefix="msn", dir="/tmp"))
            ending.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._subnet = _free_subnet()
            self.address, bridge = f"{self._subnet}.1", f"{self._tag}b"
            _make_or_refuse("link", "add", bridge, "type", "bridge")
            ending.callback(_ip, "link", "del", bridge)
            _make_or_refuse("addr", "add", f"{self.address}/24", "dev", bridge)
            _make_or_refuse("link", "set", bridge, "up")
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def add(self) -> Machine:
        """One more machine."""
        number = len(self._machines) + 1
        namespace, link, address = f"{self._tag}n{number}", f"{self._tag}v{number}", f"{self._subnet}.{number + 10}"
        _make_or_refuse("netns", "add", namespace)
        self._ending.callback(_ip, "netns", "del", namespace)
        _make_or_refuse("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _make_or_refuse("link", "set", link, "master", f"{self._tag}b", "up")
        for words in (["addr", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            _make_or_refuse("-n", namespace, *words)
        _make_or_refuse("-n", namespace, "link", "set", "lo", "up")
        machine = Machine(namespace, link, address)
        self._ending.callback(machine.lose_power)
        self._machines.append(machine)
        return machine


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _make_or_refuse(*words: str) -> None:
    try:
        _ip(*words)
    except FileNotFoundError as e:
        raise NoNamespaces("iproute2 (the program `ip`) is not installed") from e
    except RuntimeError as e:
        raise NoNamespaces(str(e)) from e


def _free_subnet() -> str:
    """The first three bytes of a private network that this machine has no address in."""
    try:
        used = _ip("-o", "-4", "addr", "show")
    except FileNotFoundError as e:
        raise NoNamespaces("iproute2 (the program `ip`) is not installed") from e
    for _ in range(100):
        subnet = f"10.{100 + secrets.randbelow(150)}.{secrets.randbelow(256)}"
        if f" {subnet}." not in used:
            return subnet
    raise NoNamespaces("no free private network was found")
