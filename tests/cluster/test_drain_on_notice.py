"""What a spot worker does with EC2's notice: it waits for it, whatever the metadata answers, and drains itself once."""

import datetime
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from instance_metadata import InstanceMetadata

from cluster.aws import drain_on_notice
from cluster.aws.drain_on_notice import Metadata, seconds_left, watch

_SCRIPT = Path(drain_on_notice.__file__)
_NOW = datetime.datetime(2026, 11, 22, 18, 0, 0, tzinfo=datetime.UTC)
# In Ray's place: a cluster of two nodes and one that has ended, and a command line that notes what it is asked.
_RAYLET = """
class Node:
    ALIVE = 0
    def __init__(self, address, state):
        self.node_manager_address, self.state = address, state
class GcsClient:
    def __init__(self, address):
        assert address == "10.0.0.1:6379"
    def get_all_node_info(self, timeout):
        return {b"\\x0a": Node("10.0.0.1", 0), b"\\x0b": Node("10.0.0.2", 1), b"\\x0c": Node("10.0.0.2", 0)}
"""
_SCRIPTS = """
import json, os, pathlib, sys
asked = pathlib.Path(__file__).parents[2] / "asked"
with asked.open("a") as out:
    out.write(json.dumps([sys.argv[1:], os.environ["RAY_AUTH_MODE"]]) + "\\n")
sys.exit(len(asked.read_text().splitlines()) <= int(os.environ.get("REFUSALS", "0")))
"""


@pytest.fixture
def metadata() -> Iterator[InstanceMetadata]:
    with InstanceMetadata(address="10.0.0.2") as served:
        yield served


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A home folder with the script, and a Ray that is none."""
    ray = tmp_path / "packages" / "ray"
    (ray / "scripts").mkdir(parents=True)
    for name, code in (("__init__", ""), ("_raylet", _RAYLET), ("scripts/__init__", ""), ("scripts/scripts", _SCRIPTS)):
        (ray / f"{name}.py").write_text(code)
    shutil.copy(_SCRIPT, tmp_path / "drain_on_notice.py")
    return tmp_path


def _start(node: Path, metadata: InstanceMetadata, **variables: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(node / "packages"),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
        "http_proxy": "http://127.0.0.1:9",  # which is not for the instance's own metadata
        "RAY_AUTH_MODE": "token",
        **variables,
    }
    words = [sys.executable, str(node / "drain_on_notice.py"), "--address=10.0.0.1:6379", "--every-s=0.05"]
    return subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _asked(node: Path) -> list[list[str]]:
    """What Ray's command line was asked, each time."""
    file = node / "packages" / "asked"
    return [json.loads(line)[0] for line in file.read_text().splitlines()] if file.exists() else []


def _wait(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _looks(metadata: InstanceMetadata) -> int:
    return metadata.num_asked.get("spot/instance-action", 0)


def test_it_drains_its_own_node_once_and_ends(node: Path, metadata: InstanceMetadata) -> None:
    process = _start(node, metadata)
    _wait(lambda: _looks(metadata) > 3)  # 404 each time
    assert _asked(node) == []
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=115)
    metadata.announce(f"{when:%Y-%m-%dT%H:%M:%SZ}")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    (words,) = _asked(node)
    assert words[0] == "drain-node"
    told = dict(zip(words[1::2], words[2::2], strict=True))
    assert 100 <= int(told.pop("--deadline-remaining-seconds")) <= 115
    assert told == {
        "--address": "10.0.0.1:6379",
        "--node-id": "0c",
        "--reason": "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message": "spot notice",
    }
    assert "the node is drained" in said


def test_it_asks_again_until_the_head_knows(node: Path, metadata: InstanceMetadata) -> None:
    metadata.announce("2026-11-22T18:00:00Z")
    process = _start(node, metadata, REFUSALS="2")
    process.communicate(timeout=30)
    assert len(_asked(node)) == 3


def test_a_node_that_ray_does_not_know_is_looked_for_again(node: Path, metadata: InstanceMetadata) -> None:
    metadata.values["local-ipv4"] = "10.0.0.3"
    metadata.announce("2026-11-22T18:00:00Z")
    process = _start(node, metadata)
    _wait(lambda: _looks(metadata) > 1)
    assert _asked(node) == []
    metadata.values["local-ipv4"] = "10.0.0.2"
    said, _ = process.communicate(timeout=30)
    assert "no living node of the cluster at 10.0.0.1:6379 has the address 10.0.0.3" in said
    assert len(_asked(node)) == 1


def test_the_options_are_those_of_ray() -> None:
    from ray.scripts.scripts import drain_node

    known = {option for parameter in drain_node.params for option in parameter.opts}
    assert {"--address", "--node-id", "--reason", "--reason-message", "--deadline-remaining-seconds"} <= known


def test_an_instance_that_is_not_spot_has_nothing_to_wait_for(node: Path, metadata: InstanceMetadata) -> None:
    metadata.values["instance-life-cycle"] = "on-demand"
    said, _ = _start(node, metadata).communicate(timeout=30)
    assert "not spot" in said
    assert _looks(metadata) == 0


def test_a_later_one_takes_over(node: Path, metadata: InstanceMetadata) -> None:
    """Ray that is started again on the same node, perhaps for another head."""
    first = _start(node, metadata)
    _wait(lambda: _looks(metadata) > 0)
    second = _start(node, metadata)
    assert first.wait(timeout=20) == 0
    assert second.poll() is None
    metadata.announce("2026-11-22T18:00:00Z")
    second.communicate(timeout=30)
    first.communicate()
    assert len(_asked(node)) == 1


class _Watching:
    """The loop in a thread, with a drain that is counted."""

    def __init__(self, metadata: InstanceMetadata) -> None:
        self.drained: list[tuple[str, int]] = []
        self._thread = threading.Thread(
            target=watch, args=(Metadata(metadata.endpoint), self._drain), kwargs={"every_s": 0.02}, daemon=True
        )
        self._thread.start()

    def _drain(self, address: str, left_s: int) -> bool:
        self.drained.append((address, left_s))
        return True

    def end(self) -> None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


def test_one_token_serves_until_it_expires(metadata: InstanceMetadata) -> None:
    watching = _Watching(metadata)
    _wait(lambda: _looks(metadata) > 5)
    assert metadata.num_tokens == 1
    metadata.expire_tokens()
    before = _looks(metadata)
    _wait(lambda: _looks(metadata) > before + 5)
    assert metadata.num_tokens == 2
    metadata.expire_tokens()
    metadata.announce("2000-01-01T00:00:00Z")
    watching.end()
    assert watching.drained == [("10.0.0.2", 1)]


def test_metadata_that_is_away_for_a_while_is_waited_for(
    metadata: InstanceMetadata, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata.is_away = True
    watching = _Watching(metadata)
    time.sleep(0.3)
    metadata.is_away = False
    _wait(lambda: _looks(metadata) > 3)
    metadata.is_away = True
    time.sleep(0.3)
    assert watching.drained == []
    metadata.announce("2000-01-01T00:00:00Z")
    metadata.is_away = False
    watching.end()
    assert watching.drained == [("10.0.0.2", 1)]
    assert capsys.readouterr().out.count("no answer") <= 2  # once for each way in which there was none


@pytest.mark.parametrize(
    ("notice", "left_s"),
    [
        ('{"action": "terminate", "time": "2026-11-22T18:02:00Z"}', 120),
        ('{"action": "stop", "time": "2026-11-22T18:00:30.5Z"}', 30),
        ('{"action": "hibernate", "time": "2026-11-22T17:59:00Z"}', 1),  # Ray takes 0 for no end
        ('{"action": "terminate"}', 120),
        ("soon", 120),
        ("[]", 120),
        ('{"time": null}', 120),
    ],
)
def test_the_seconds_that_are_left(notice: str, left_s: int) -> None:
    assert seconds_left(notice, _NOW.timestamp()) == left_s
