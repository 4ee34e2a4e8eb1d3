"""Jobs on a cluster of several machines, sent from outside: who has no token is refused, no secret is left behind."""

import datetime
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from instance_metadata import InstanceMetadata
from secret_search import CommandLines, contents_of_store, find_secrets

from benchmarks import chaos, kill_sweep
from benchmarks.ray_nodes import Node, RayNodes
from benchmarks.storm import wait_until
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.feature_store import FeatureStore, complete_features
from storage.results_table import ResultsTable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

_PROJECT = Path(__file__).parents[2]
_WHERE = """
import ray, collections, time
from cluster.session import ray_session
with ray_session():
    @ray.remote(num_cpus=1)
    def address(): time.sleep(1); return ray.util.get_node_ip_address()
    print(sorted(set(ray.get([address.remote() for _ in range(6)]))))
"""
_REFUSED = re.compile("authenticat", re.IGNORECASE)
_JOIN = "import ray; ray.init(address={!r}, logging_level=50); print('joined', len(ray.nodes()))"
# Something long on each worker, and short tasks, one after the other, which go to both of them until one is drained.
_WORK = """
import ray, time
from cluster.session import ray_session
with ray_session():
    @ray.remote(num_cpus=0.6, scheduling_strategy="SPREAD")
    class Long:
        def work(self, for_s): time.sleep(for_s); return ray.util.get_node_ip_address()
    @ray.remote(num_cpus=0.1, scheduling_strategy="SPREAD")
    def short(): return ray.util.get_node_ip_address()
    both = [Long.remote() for _ in range(2)]
    for long in both: print("long", ray.get(long.work.remote(0)), "begins")
    print("before", *(ray.get(short.remote()) for _ in range(4)), flush=True)
    working = [long.work.remote(20) for long in both]
    began = time.monotonic()
    while time.monotonic() < began + 18:
        print("short", ray.get(short.remote()), flush=True)
        time.sleep(0.5)
    for long in working: print("long", ray.get(long), "ended", flush=True)
"""
_METRICS_PORTS = """
import ray
ray.init(address={!r}, logging_level=50)
for node in ray.nodes():
    if node["Alive"]:
        print(f"metrics at {{node['NodeManagerAddress']}}:{{node['MetricsExportPort']}}")
"""


@dataclass(frozen=True, slots=True)
class Searched:
    """A sweep that was sent from outside: its cluster, what it printed, and the processes that ran meanwhile."""

    ray_nodes: RayNodes
    printed: str
    lines: CommandLines


@pytest.fixture(scope="module")
def searched(ray_nodes: RayNodes) -> Searched:
    """On real recordings where there are some."""
    given = os.environ.get("ESC50_ROOT")
    with chaos.recordings(Path(given) if given else None) as folder:
        chaos.upload(folder, ray_nodes.store("recordings"))
    words = [*kill_sweep.settings("adaptive", 2), f"data.root={ray_nodes.uri('recordings')}", "pipeline.num_actors=2"]
    words += [f"storage.uri={ray_nodes.uri('searched')}", "features.num_mels=32", "features.hop_samples=1750"]
    with CommandLines() as lines:
        done = ray_nodes.submit("searched", ["python", "jobs/sweep.py", *words])
    assert done.returncode == 0, done.stdout
    return Searched(ray_nodes, done.stdout, lines)


@pytest.fixture(scope="module")
def few(ray_nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small sweep's words, but for where it stores; its recordings lie in the bucket."""
    folder = write_synthetic_dataset(tmp_path_factory.mktemp("few") / "few", num_clips_per_class=5)
    chaos.upload(folder, ray_nodes.store("few"))
    return ["python", "jobs/sweep.py", "--smoke", f"data.root={ray_nodes.uri('few')}"]


def test_work_is_done_on_every_worker_and_not_on_the_head(ray_nodes: RayNodes) -> None:
    done = ray_nodes.submit("where", ["python", "-c", _WHERE])
    assert done.returncode == 0, done.stdout
    assert str(sorted(worker.machine.address for worker in ray_nodes.workers)) in done.stdout


def test_a_job_from_outside_featurizes_and_searches(searched: Searched) -> None:
    ray_nodes = searched.ray_nodes
    store = ray_nodes.store("searched")
    ((dataset, fingerprint),) = complete_features(store)
    features = FeatureStore(store, dataset=dataset, fingerprint=fingerprint)
    marker, num_recordings = features.marker(), sum(1 for info in ray_nodes.store("recordings").list("audio/"))
    assert marker is not None
    assert marker["num_clips"] == num_recordings == features.read(columns=["clip_id"]).num_rows
    assert kill_sweep.faults_of(store, "adaptive") == []
    assert ResultsTable(store).read("trials").num_rows > 3
    assert ray_nodes.job_status("searched") == "SUCCEEDED"
    assert "best validation accuracy" in searched.printed


class TestWhoHasNoToken:
    @pytest.mark.parametrize("path", ["api/jobs/", "api/v0/nodes", "nodes?view=summary", "api/cluster_status"])
    def test_is_refused_by_the_http_server(self, ray_nodes: RayNodes, path: str) -> None:
        ray_nodes.ask(path)
        with pytest.raises(urllib.error.HTTPError) as refusal:
            ray_nodes.ask(path, token=False)
        assert refusal.value.code in (401, 403)

    def test_cannot_submit_stop_or_read_a_job(self, ray_nodes: RayNodes) -> None:
        for words in (["submit", "--", "true"], ["stop", "where"], ["logs", "where"], ["list"]):
            done = ray_nodes.ray("job", *words, token=False)
            assert done.returncode != 0, words
            assert "authentication" in done.stdout.lower(), done.stdout

    def test_learns_nothing_of_the_head(self, ray_nodes: RayNodes) -> None:
        words = ("status", "--address", f"{ray_nodes.head.machine.address}:6379")
        assert "object_store_memory" in ray_nodes.ray(*words).stdout
        told = ray_nodes.ray(*words, token=False).stdout
        assert "object_store_memory" not in told
        assert _REFUSED.search(told), told

    def test_cannot_be_a_client(self, ray_nodes: RayNodes) -> None:
        address = f"ray://{ray_nodes.head.machine.address}:10001"
        assert "joined 3" in _python(ray_nodes, _JOIN.format(address), token=True)
        told = _python(ray_nodes, _JOIN.format(address), token=False)
        assert "joined" not in told
        assert "ConnectionError" in told  # Ray's client keeps the server's reason to itself

    def test_cannot_be_a_node(self, ray_nodes: RayNodes) -> None:
        stranger, log = ray_nodes.network.add(), ray_nodes.network.folder / "stranger.log"
        words = [str(ray_nodes.python), "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        words += [f"--address={ray_nodes.head.machine.address}:6379", f"--node-ip-address={stranger.address}"]
        environment = {"HOME": str(ray_nodes.network.folder), "PATH": os.defpath}
        process = stranger.start(words, environment=environment, log=log, disk=ray_nodes.disk)
        assert process.wait(120) != 0
        assert _REFUSED.search(log.read_text()), log.read_text()
        assert len(ray_nodes.nodes_alive()) == 3

    def test_reads_metrics_of_every_node_and_no_secret_there(self, searched: Searched) -> None:
        """The one port that asks for no token: docs/threat_model.md lists it under what is not protected."""
        ray_nodes = searched.ray_nodes
        told = _python(ray_nodes, _METRICS_PORTS.format(f"ray://{ray_nodes.head.machine.address}:10001"), token=True)
        addresses = re.findall(r"metrics at (\S+)", told)
        assert len(addresses) == 3, told
        for address in addresses:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            assert "ray_node_mem_used" in text
            assert [name for name, secret in ray_nodes.secrets.items() if secret in text] == []


def test_the_dashboard_is_on_no_address_of_the_head(ray_nodes: RayNodes) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((ray_nodes.head.machine.address, 8265), timeout=5)


def test_features_predictions_and_a_report_are_jobs_too(searched: Searched) -> None:
    ray_nodes, storage = searched.ray_nodes, f"storage.uri={searched.ray_nodes.uri('searched')}"
    (sweep_id,) = ResultsTable(ray_nodes.store("searched")).read("sweeps").column("sweep_id").to_pylist()
    found = re.search(r"model=(models/\S+)", searched.printed)
    assert found is not None
    for name, words, told in (
        ("featurize", [f"data.root={ray_nodes.uri('recordings')}", "features.num_mels=16"], "stored in s3://"),
        ("predict", [f"model={found[1]}", f"files={ray_nodes.uri('recordings/audio')}"], "recordings predicted"),
        ("report", ["format=json"], f'"sweep_id": "{sweep_id}"'),
    ):
        done = ray_nodes.submit(name, ["python", f"jobs/{name}.py", storage, *words])
        assert done.returncode == 0, done.stdout
        assert told in done.stdout, done.stdout


def test_no_secret_is_anywhere(searched: Searched) -> None:
    ray_nodes, store = searched.ray_nodes, searched.ray_nodes.store("searched")
    places = [
        ("what the job printed", searched.printed.encode()),
        *((path, str(ray_nodes.ask(path)).encode()) for path in ("api/jobs/", "api/jobs/searched/logs")),
        *contents_of_store(store),
        *searched.lines.contents(),
        *(place for node in (ray_nodes.head, *ray_nodes.workers) for place in _files(node, ray_nodes.disk)),
    ]
    names = [name for name, _ in places]
    assert any("ray::" in name for name in names)  # processes of trials and of decoding
    assert any("worker1" in name and name.endswith("runtime_env_agent.log") for name in names)
    assert find_secrets(ray_nodes.secrets, places) == set()


@pytest.mark.parametrize("told_by", ["EC2's notice", "SIGTERM"])
def test_a_node_that_will_be_taken_gets_nothing_new_and_ends_what_it_has(ray_nodes: RayNodes, told_by: str) -> None:
    """As ray_cluster.yaml has workers watch for it, and as a pod is told to end."""
    going, staying = ray_nodes.workers
    job = f"drained by {told_by}".replace("'", "").replace(" ", "-")
    _begin(ray_nodes, job, ["python", "-c", _WORK])
    wait_until(lambda: bool(re.search(r"^before \d", ray_nodes.job_printed(job), re.MULTILINE)), "both to work")
    with InstanceMetadata(ray_nodes.network.address, address=going.machine.address) as metadata:
        if told_by == "SIGTERM":
            assert going.process is not None
            going.process.terminate()
        else:
            metadata.announce(f"{datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2):%FT%TZ}")
            _watch_for_notice(ray_nodes, going, metadata)
        status, told = _end(ray_nodes, job)
    assert status == "SUCCEEDED", told
    assert f"long {going.machine.address} ended" in told  # what ran there went on
    (before,) = re.findall(r"^before (.+)$", told, re.MULTILINE)
    assert set(before.split()) == {going.machine.address, staying.machine.address}
    assert set(re.findall(r"^short (.+)$", told, re.MULTILINE)[-10:]) == {staying.machine.address}, told
    wait_until(lambda: len(ray_nodes.nodes_alive()) == 2, "the node to go, as nothing runs there any more")
    ray_nodes.revive()


def test_trials_that_fit_one_node_alone_take_turns_there(ray_nodes: RayNodes, few: list[str]) -> None:
    """And features are computed on both meanwhile: more processes than there are CPUs."""
    words = ["pipeline.num_actors=8", "sweep.cpus_per_trial=2", "sweep.max_concurrent_trials=4"]
    done = ray_nodes.submit("wide", [*few, f"storage.uri={ray_nodes.uri('wide')}", *words])
    assert done.returncode == 0, done.stdout
    assert ResultsTable(ray_nodes.store("wide")).read("trials").num_rows > 0


def test_a_job_waits_for_the_first_worker(ray_nodes: RayNodes, few: list[str]) -> None:
    """As on a cluster whose autoscaler has ended all of them."""
    _lose_workers(ray_nodes)
    _begin(ray_nodes, "waits", [*few, f"storage.uri={ray_nodes.uri('waited')}"])
    wait_until(lambda: "waiting for a node with 1 CPUs" in ray_nodes.job_printed("waits"), "the job to wait")
    ray_nodes.revive()
    status, told = _end(ray_nodes, "waits")
    assert status == "SUCCEEDED", told


def test_a_node_that_comes_later_with_other_packages_ends_the_job(ray_nodes: RayNodes, few: list[str]) -> None:
    """Who joins can ask nobody but the head where an autoscaler has started no worker yet."""
    other = _environment_with(ray_nodes.network.folder / "other", "optuna", "0.0.1")
    _lose_workers(ray_nodes)
    _begin(ray_nodes, "refused", [*few, f"storage.uri={ray_nodes.uri('refused')}"])
    wait_until(lambda: "waiting for a node with 1 CPUs" in ray_nodes.job_printed("refused"), "the job to wait")
    try:
        for worker in ray_nodes.workers:
            worker.python = other
        ray_nodes.revive()
        status, told = _end(ray_nodes, "refused")
    finally:
        for worker in ray_nodes.workers:
            worker.python = ray_nodes.python
        _lose_workers(ray_nodes)
        ray_nodes.revive()
    assert status == "FAILED", told
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: nodes of the cluster have other versions than the driver: ")
    assert any(f" {worker.machine.address} has optuna 0.0.1 (here {version('optuna')}). " in line
               for worker in ray_nodes.workers)  # fmt: skip
    assert "Traceback" not in told


def _begin(ray_nodes: RayNodes, job: str, words: list[str]) -> None:
    taken = ray_nodes.submit(job, words, wait=False)
    assert taken.returncode == 0, taken.stdout


def _end(ray_nodes: RayNodes, job: str) -> tuple[str | None, str]:
    """Waits for it. Returns: its status and what it has printed."""
    wait_until(lambda: ray_nodes.job_status(job) in ("SUCCEEDED", "FAILED"), "the job")
    return ray_nodes.job_status(job), ray_nodes.job_printed(job)


def _lose_workers(ray_nodes: RayNodes) -> None:
    for worker in ray_nodes.workers:
        ray_nodes.lose(worker)
    wait_until(lambda: len(ray_nodes.nodes_alive()) == 1, "workers to be given up")


def _environment_with(folder: Path, package: str, its_version: str) -> Path:
    """The Python of an environment that has what this one has, but for what it says of the version of one package."""
    venv.create(folder, symlinks=True, with_pip=False)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "all.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # looked through after the folder itself
    metadata = packages / f"{package}-{its_version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {its_version}\n")
    return folder / "bin" / "python"


def _watch_for_notice(ray_nodes: RayNodes, node: Node, metadata: InstanceMetadata) -> None:
    """Runs the script on the node until it says that it is drained."""
    script = Path(shutil.copy(_PROJECT / "cluster" / "aws" / "drain_on_notice.py", node.folder))
    log = node.folder / "drain_on_notice.log"
    process = node.machine.start(
        [ray_nodes.python, script, f"--address={ray_nodes.head.machine.address}:6379"],
        environment={
            "HOME": str(node.folder),
            "PATH": os.defpath,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(ray_nodes.token),
        },
        log=log,
    )
    assert process.wait(120) == 0, log.read_text()
    assert "the node is drained" in log.read_text()


def _files(node: Node, disk: Path) -> Iterator[tuple[str, bytes]]:
    """What lies on a node's disk: logs, runtime environments, temporary files."""
    pid = next(pid for pid, words in node.machine.processes().items() if "raylet" in words)
    root = Path(f"/proc/{pid}/root{disk}")
    for path in root.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                yield f"{node.name}, {path.relative_to(root)}", path.read_bytes()


def _python(ray_nodes: RayNodes, code: str, *, token: bool) -> str:
    environment = {"HOME": str(ray_nodes.network.folder), "PATH": os.defpath}
    if token:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(ray_nodes.token)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=ray_nodes.network.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
    )
    return done.stdout
