"""The cluster launcher's file, held against the functions that `ray up` runs before it asks AWS for anything."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env import packaging
from ray.autoscaler._private.aws.config import _configure_key_pair
from ray.autoscaler._private.command_runner import _with_interactive
from ray.autoscaler._private.util import prepare_config, validate_config, with_head_node_ip

_PROJECT = Path(__file__).parents[2]
_MAX_UPLOAD_BYTES = 10 * 2**20


@pytest.fixture
def given() -> dict[str, Any]:
    return yaml.safe_load((_PROJECT / "ray_cluster.yaml").read_text())


@pytest.fixture
def prepared(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With Ray's defaults filled in, as it goes to the head."""
    monkeypatch.chdir(_PROJECT)
    return prepare_config(given)


def test_ray_accepts_the_file(prepared: dict[str, Any]) -> None:
    validate_config(prepared)
    assert prepared["provider"]["type"] == "aws"


def test_ray_refuses_a_misspelt_field(given: dict[str, Any]) -> None:
    given["idle_timeout"] = given.pop("idle_timeout_minutes")
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(given))


def test_nothing_of_rays_example_values_remains(given: dict[str, Any], prepared: dict[str, Any]) -> None:
    """Ray fills fields that are absent from an example file, which pip-installs into the system's Python."""
    decided_by_ray = {
        "docker",
        "initialization_commands",
        "rsync_exclude",
        "rsync_filter",
        "file_mounts_sync_continuously",
    }
    assert prepared.keys() - given.keys() == decided_by_ray
    assert not any(prepared[name] for name in decided_by_ray)


def test_the_head_runs_no_tasks_and_is_not_spot(prepared: dict[str, Any]) -> None:
    head = prepared["available_node_types"][prepared["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert head["max_workers"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_start_on_demand_only_and_end_when_idle(prepared: dict[str, Any]) -> None:
    workers = {
        name: kind for name, kind in prepared["available_node_types"].items() if name != prepared["head_node_type"]
    }
    assert {kind["min_workers"] for kind in workers.values()} == {0}
    assert 0 < max(kind["max_workers"] for kind in workers.values()) <= prepared["max_workers"] <= 8
    assert prepared["idle_timeout_minutes"] <= 10
    assert all(kind.get("idle_timeout_s", 0) <= 600 for kind in workers.values())
    spot = {name for name, kind in workers.items() if "InstanceMarketOptions" in kind["node_config"]}
    assert spot == workers.keys() - {"cpu_worker"}
    assert len(spot) >= 2


def test_every_node_has_a_disk_for_the_environment_and_for_spilling(prepared: dict[str, Any]) -> None:
    for kind in prepared["available_node_types"].values():
        (disk,) = kind["node_config"]["BlockDeviceMappings"]
        assert disk["Ebs"]["VolumeSize"] >= 50
        assert disk["Ebs"]["DeleteOnTermination"]
        assert disk["Ebs"]["Encrypted"]


def test_credentials_of_a_node_are_not_given_to_every_request_that_it_forwards(prepared: dict[str, Any]) -> None:
    """Nor are they off: spot nodes look for their notice there. One hop is enough, as nothing runs in a container."""
    for kind in prepared["available_node_types"].values():
        assert kind["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
    assert not prepared["docker"]


_IN_PYTHONS_PLACE = """#!/bin/sh
echo "$$ $RAY_AUTH_MODE $@" > ~/started.new
mv ~/started.new ~/started
exec sleep 20
"""


def test_workers_wait_for_a_spot_notice_in_the_background(prepared: dict[str, Any], tmp_path: Path) -> None:
    """As Ray's launcher runs the command, whose end, and that of its output, it waits for."""
    commands = with_head_node_ip(prepared["worker_start_ray_commands"], "10.0.0.1")
    (start,) = (command for command in commands if "drain_on_notice" in command)
    assert commands.index(start) < next(index for index, command in enumerate(commands) if "ray start" in command)
    python = tmp_path / "melsweep" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(_IN_PYTHONS_PLACE)
    python.chmod(0o755)
    (tmp_path / ".bashrc").touch()
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", " ".join(_with_interactive(start))],
        env={"HOME": str(tmp_path), "PATH": os.defpath},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - began < 10
    while not (tmp_path / "started").exists():
        assert time.monotonic() - began < 20
        time.sleep(0.05)
    pid, mode, script, *words = (tmp_path / "started").read_text().split()
    assert os.getsid(int(pid)) == int(pid)  # the end of the launcher's connection is not its own
    os.kill(int(pid), signal.SIGKILL)
    assert (mode, words) == ("token", ["--address=10.0.0.1:6379"])
    mounted = prepared["file_mounts"][script.replace(str(tmp_path), "~")]
    assert (_PROJECT / mounted).samefile(_PROJECT / "cluster" / "aws" / "drain_on_notice.py")
    assert not any("drain_on_notice" in command for command in prepared["head_start_ray_commands"])  # on demand


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_spilled_objects_of_an_earlier_ray_are_gone_when_it_starts(
    prepared: dict[str, Any], commands: str, tmp_path: Path
) -> None:
    (start,) = (command for command in prepared[commands] if "ray start" in command)
    (option,) = re.findall(r"--object-spilling-directory=\S+", start)
    left = tmp_path / "melsweep" / "spill" / "ray_spilled_objects_dead" / "object"
    left.parent.mkdir(parents=True)
    left.touch()
    before = prepared[commands][: prepared[commands].index(start)]
    here = [command for command in before if command != "ray stop" and "drain_on_notice" not in command]
    for command in (*here, f"printf %s {option} > ~/option"):
        subprocess.run(["bash", "-c", command], env={"HOME": str(tmp_path), "PATH": os.defpath}, check=True, timeout=60)
    folder = Path((tmp_path / "option").read_text().partition("=")[2])
    assert folder == left.parents[1]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_ray_starts_with_token_authentication_everywhere(prepared: dict[str, Any], commands: str) -> None:
    (start,) = (command for command in prepared[commands] if "ray start" in command)
    assert start.index("export RAY_AUTH_MODE=token;") < start.index("ray start")


def test_the_head_makes_a_token_for_itself_that_workers_get(prepared: dict[str, Any], tmp_path: Path) -> None:
    commands = [command for command in prepared["head_setup_commands"] if "auth_token" in command]
    environment = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    tokens = set()
    for _ in range(2):  # `ray up` runs them again for every change
        for command in commands:
            subprocess.run(["bash", "-c", command], env=environment, check=True, timeout=60)
        token = tmp_path / ".ray" / "auth_token"
        assert token.stat().st_mode & 0o777 == 0o600
        tokens.add(token.read_text())
    assert len(tokens) == 1
    assert prepared["cluster_synced_files"] == ["~/.ray/auth_token"]
    assert not any("token" in remote for remote in prepared["file_mounts"])


def test_the_dashboard_and_the_job_api_are_on_loopback(prepared: dict[str, Any]) -> None:
    (start,) = (command for command in prepared["head_start_ray_commands"] if "ray start" in command)
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start


def test_only_the_lock_file_is_installed(prepared: dict[str, Any]) -> None:
    assert prepared["file_mounts"] == {
        "~/melsweep/requirements.lock": "./requirements.lock",
        "~/melsweep/drain_on_notice.py": "./cluster/aws/drain_on_notice.py",  # which needs nothing of the project
    }
    for commands in (prepared["head_setup_commands"], prepared["worker_setup_commands"]):
        installs = [command for command in commands if "pip install" in command]
        assert installs == [
            "~/melsweep/venv/bin/python -m pip install --quiet --requirement ~/melsweep/requirements.lock"
        ]


def test_no_value_of_an_account_is_in_the_file(prepared: dict[str, Any]) -> None:
    for kind in prepared["available_node_types"].values():
        assert kind["node_config"].keys().isdisjoint({"ImageId", "KeyName", "SubnetIds", "SecurityGroupIds"})
        assert kind["node_config"]["IamInstanceProfile"].keys() == {"Name"}  # an Arn has the number of an account
    assert prepared["auth"] == {"ssh_user": "ubuntu"}
    assert not re.search(r"\b\d{12}\b|\b(ami|sg|subnet|vpc)-[0-9a-f]{8}", (_PROJECT / "ray_cluster.yaml").read_text())


def test_a_key_of_ones_own_needs_its_name_in_every_node_config(prepared: dict[str, Any]) -> None:
    """What the file's comment says about ssh_private_key."""
    prepared["auth"]["ssh_private_key"] = "~/.ssh/mine.pem"
    for kind in prepared["available_node_types"].values():
        kind["node_config"]["KeyName"] = "mine"
    assert _configure_key_pair(prepared) == prepared


def test_the_working_directory_of_a_job_is_small_and_has_what_a_job_needs(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    packaging._zip_files(
        str(_PROJECT),
        get_runtime_env_default_excludes(),
        str(package),
        include_gitignore=True,
        logger=logging.getLogger("quiet"),
    )
    assert package.stat().st_size < _MAX_UPLOAD_BYTES
    names = {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}
    code = {
        str(path.relative_to(_PROJECT))
        for room in (
            "cluster",
            "jobs",
            "models",
            "pipelines",
            "reports",
            "search_spaces",
            "storage",
            "sweeps",
            "training",
        )
        for path in (_PROJECT / room).rglob("*")
        if path.suffix in (".py", ".yaml")
    }
    assert code <= names
    assert "requirements.lock" in names
    first_folders = {name.split("/", 1)[0] for name in names if "/" in name}
    assert first_folders.isdisjoint({"workspace", "tests", "docs"})
    assert not any(part.startswith(".") or part == "__pycache__" for name in names for part in name.split(os.sep))
