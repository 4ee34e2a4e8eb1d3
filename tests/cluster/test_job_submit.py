"""The main job through `ray job submit`, on a head with token authentication that knows nothing of this project.

The head runs in an environment that has every locked package and none of ours, so that whatever a driver or a worker
imports of the project must have come with the job's working directory.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import open_store
from storage.results_table import ResultsTable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

_PROJECT = Path(__file__).parents[2]
_TOKEN = "0123456789abcdef" * 4
_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "ray-client-server-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_WHERE_WORKERS_IMPORT_FROM = """
import ray
from cluster.session import ray_session
def place(): import sweeps; return sweeps.__file__
with ray_session() as resources: print(resources.num_cpus, ray.get(ray.remote(place).remote()))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A running head: its addresses, its folder, its interpreter and the environment that holds its token."""

    url: str
    address: str
    folder: Path
    python: Path
    environment: dict[str, str]

    def run(
        self, *words: str, token: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the head's interpreter beside the head, with or without the token, with further variables."""
        given = {name: value for name, value in self.environment.items() if token or "AUTH" not in name}
        return subprocess.run(
            [self.python, *words],
            env={**given, **(environment or {})},
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )

    def submit(
        self, name: str, *entrypoint: str, token: bool = True, **metadata: str
    ) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return self.run(
            *("-m", "ray.scripts.scripts", "job", "submit", "--address", self.url),
            *("--submission-id", name, "--working-dir", str(_PROJECT)),
            *("--runtime-env-json", json.dumps({"env_vars": variables})),
            *("--metadata-json", json.dumps(metadata), "--", *entrypoint),
            token=token,
        )

    def job_api(self, path: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        request = urllib.request.Request(f"{self.url}/api/jobs/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ExitStack() as ending:
        # Not pytest's own folder: Ray's socket paths may have 107 bytes.
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="msw", dir="/tmp")))
        python = _environment_without_the_project(folder)
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(_TOKEN)
        environment = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the node's address is then 127.0.0.1
        }
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        words = ["--head", "--block", "--num-cpus=2", "--dashboard-host=127.0.0.1", "--disable-usage-stats"]
        words += [f"--{name}={port}" for name, port in ports.items()]
        log = ending.enter_context((folder / "head.log").open("w"))
        process = subprocess.Popen(
            [python, "-m", "ray.scripts.scripts", "start", *words, f"--temp-dir={folder}/r"],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ending.callback(_end, process, folder)
        head = Head(
            url=f"http://127.0.0.1:{ports['dashboard-port']}",
            address=f"127.0.0.1:{ports['port']}",
            folder=folder,
            python=python,
            environment=environment,
        )
        _wait_for(head, process)
        yield head


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_dataset(tmp_path_factory.mktemp("recordings") / "tiny", num_clips_per_class=5)


def test_the_head_cannot_import_the_project(head: Head) -> None:
    result = head.run("-c", "import ray, torch, sweeps")
    assert result.stdout.strip().endswith("No module named 'sweeps'")


def test_the_job_api_refuses_whoever_has_no_token(head: Head) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{head.url}/api/jobs/", timeout=30)
    assert refusal.value.code in (401, 403)
    result = head.submit("without-token", "python", "-c", "print(1)", token=False)
    assert result.returncode != 0
    assert "authentication" in result.stdout.lower()


def test_workers_import_the_project_from_the_jobs_working_directory(head: Head) -> None:
    result = head.submit("place", "python", "-c", _WHERE_WORKERS_IMPORT_FROM)
    assert result.returncode == 0, result.stdout
    assert f"2.0 {head.folder}/r/session_" in result.stdout
    assert "/working_dir_files/" in result.stdout


def test_a_driver_outside_of_a_job_joins_with_the_token_only(head: Head) -> None:
    places = {"PYTHONPATH": str(_PROJECT), "RAY_ADDRESS": head.address}
    result = head.run("-c", _WHERE_WORKERS_IMPORT_FROM, environment=places)
    assert f"2.0 {_PROJECT}/sweeps/" in result.stdout
    result = head.run("-c", _WHERE_WORKERS_IMPORT_FROM, token=False, environment=places)
    assert result.returncode != 0
    assert f"ConnectionError: cannot join the Ray cluster at {head.address}" in result.stdout
    assert "set RAY_AUTH_MODE=token" in result.stdout


def test_a_sweep_runs_as_a_job_and_the_same_submission_resumes_it(head: Head, s3_uri: str, recordings: Path) -> None:
    words = (
        "python",
        "jobs/sweep.py",
        "--smoke",
        f"data.root={recordings}",
        f"storage.uri={s3_uri}",
        "sweep.audit.share=0",  # whose rows would be another sweep's
    )

    first = head.submit("first", *words)
    assert first.returncode == 0, first.stdout
    told = head.job_api("first")
    assert told["status"] == "SUCCEEDED"
    assert "2 trials run now, 0 found" in first.stdout
    assert "core_worker.cc" not in first.stdout  # Ray Data's actor pools make Ray log one as an error (ray#53727)
    results = ResultsTable(open_store(s3_uri))
    trials = results.read("trials").to_pandas()
    assert len(trials) > 0
    (sweep,) = results.read("sweeps").to_pylist()
    assert told["metadata"] == {"sweep": sweep["sweep_id"], "storage": s3_uri}

    again = head.submit("again", *words, asked_by="a user")
    assert again.returncode == 0, again.stdout
    told = head.job_api("again")
    assert told["status"] == "SUCCEEDED"
    assert told["metadata"] == {"sweep": sweep["sweep_id"], "storage": s3_uri, "asked_by": "a user"}
    assert "0 trials run now, 2 found" in again.stdout
    assert results.read("trials").num_rows == len(trials)


def test_a_job_that_was_stopped_goes_on_where_it_was(head: Head, s3_uri: str, recordings: Path) -> None:
    words = (
        "python",
        "jobs/sweep.py",
        "--smoke",
        f"data.root={recordings}",
        f"storage.uri={s3_uri}",
        "sweep.epochs=15",
        "sweep.audit.share=0",
    )
    results = ResultsTable(open_store(s3_uri))

    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(head.submit, "stopped", *words)
        _wait_until(lambda: results.read("epochs").num_rows > 0, stopped.done)
        head.job_api("stopped/stop", "POST")
        assert "Job 'stopped' was stopped" in stopped.result().stdout  # its exit code is 0
        assert "SIGTERM received" not in stopped.result().stdout  # Ray's own stack trace
    assert head.job_api("stopped")["status"] == "STOPPED"
    before = results.read("epochs").to_pandas()
    planned_before = results.read("sweeps")

    resumed = head.submit("resumed", *words)
    assert resumed.returncode == 0, resumed.stdout
    after = results.read("epochs").to_pandas()
    key = ["trial_id", "seed", "epoch"]
    assert not after.duplicated(key).any()
    assert len(before.merge(after, how="inner")) == len(before) < len(after)  # kept as they were, to the last digit
    assert results.read("sweeps").equals(planned_before)


def _wait_until(happened: Callable[[], bool], over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert not over(), "the job ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _environment_without_the_project(folder: Path) -> Path:
    """A virtual environment that sees the packages of this one, except the project's editable install."""
    packages = folder / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("__editable__", "melsweep", "__pycache__")):
            (packages / entry.name).symlink_to(entry)
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "venv" / "lib" / version / "site-packages" / "packages.pth").write_text(f"{packages}\n")
    return folder / "venv" / "bin" / "python"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _wait_for(head: Head, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError):
            head.job_api("")
            return
        assert process.poll() is None, (head.folder / "head.log").read_text()
        time.sleep(0.5)
    raise TimeoutError((head.folder / "head.log").read_text())


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):  # Ray 2.60 ends its processes one by one and takes half a minute
        process.wait(timeout=5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20  # the workers are in groups of their own and end when they miss their raylet
    while (left := _processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"processes left behind: {left}"


def _processes_of(folder: Path) -> list[int]:
    """Processes with the folder in their command line or as their place; Ray's workers overwrite the first."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_bytes().decode(errors="replace")
            if str(folder) in words or (place / "cwd").readlink().is_relative_to(folder):
                found.append(int(place.name))
    return found
