"""Sessions: private ones beside each other, what they open and leave, and clusters that do not answer."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.session import ray_session

_PROJECT = Path(__file__).parents[2]
_SECONDS = 180.0

# Prints what a session of its own looks like from inside, and is in it while another one starts and ends.
_HOLDER = """
import json, os, signal, sys, time
from cluster.session import ray_session

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.05)

def place():
    import sweeps
    return sweeps.__file__

def listeners(process):
    import psutil  # Ray brings it
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:  # an idle worker that has just ended
        return []
    return [connection.laddr.ip for connection in connections if connection.status == "LISTEN"]

def leave(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, leave)
number = int(sys.argv[1])
with ray_session(num_cpus=1) as resources:
    import ray
    import psutil
    open(f"{number}.up", "w").close()
    wait_for(f"{1 - number}.up")
    if number == 1:
        wait_for("0.down")
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    kept_handler = signal.getsignal(signal.SIGTERM) is leave
    names = [process.info["name"] for process in psutil.process_iter(["name"]) if process in processes]
    found = {
        "kept_handler": kept_handler,
        "num_cpus": resources.num_cpus,
        "num_nodes": resources.num_nodes,
        "num_gcs": sum(name == "gcs_server" for name in names),
        "address": ray.get_runtime_context().gcs_address,
        "place": ray.get(ray.remote(place).remote()),
        "folder": ray._private.worker._global_node.get_session_dir_path(),
        "listeners": [address for process in processes for address in listeners(process)],
    }
    folder = os.path.dirname(os.path.dirname(found["folder"]))
    found["folder"], found["mode"] = folder, oct(os.stat(folder).st_mode & 0o777)
found["initialised"] = ray.is_initialized()
open(f"{number}.down", "w").close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sessions(home: Path) -> list[dict[str, Any]]:
    """What two private sessions, started at once by two processes, say about themselves."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "PYTHONPATH": str(_PROJECT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(number)], env=environment, cwd=home, stdout=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    try:
        return [json.loads(process.communicate(timeout=_SECONDS)[0].splitlines()[-1]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.cluster
def test_private_sessions_do_not_disturb_each_other(sessions: list[dict[str, Any]]) -> None:
    assert [(found["num_cpus"], found["num_nodes"], found["num_gcs"]) for found in sessions] == [(1.0, 1, 1)] * 2
    assert len({found["address"] for found in sessions}) == 2
    assert not any(found["initialised"] for found in sessions)


@pytest.mark.cluster
def test_a_job_keeps_its_own_way_to_leave_on_sigterm(sessions: list[dict[str, Any]]) -> None:
    assert all(found["kept_handler"] for found in sessions)


@pytest.mark.cluster
def test_workers_of_a_private_session_import_the_project_from_here(sessions: list[dict[str, Any]]) -> None:
    assert {found["place"] for found in sessions} == {str(_PROJECT / "sweeps" / "__init__.py")}


@pytest.mark.cluster
def test_a_private_session_listens_on_loopback_only(sessions: list[dict[str, Any]]) -> None:
    for found in sessions:
        assert len(found["listeners"]) >= 4  # GCS, raylet, agent, driver
        assert {address.removeprefix("::ffff:") for address in found["listeners"]} == {"127.0.0.1"}


@pytest.mark.cluster
def test_a_private_session_keeps_its_files_closed_and_leaves_none(sessions: list[dict[str, Any]]) -> None:
    for found in sessions:
        assert found["mode"] == "0o700"
        assert not Path(found["folder"]).exists()


@pytest.mark.cluster
def test_the_token_is_readable_by_its_owner_only(sessions: list[dict[str, Any]], home: Path) -> None:
    token = home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process without Ray, though other tests may share a session: it is neither used nor ended."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("ended what it did not begin"))


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_listens_is_told_at_once(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=rf"no Ray cluster answers at {address} .* Correct cluster.address"):
        _enter(address)
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "127.0.0.1", "head:port", ":6379"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ConnectionError, match=r"is no host:port"):
        _enter(address)


@pytest.mark.usefixtures("no_session")
def test_the_address_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(ConnectionError, match=r"'nowhere' is no host:port"):
        _enter(None)


def _enter(address: str | None) -> None:
    with ray_session(address=address):
        pytest.fail("entered")
