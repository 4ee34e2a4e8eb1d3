"""The image's Dockerfile: what it copies is there, its Python fits the lock file, nothing runs as root.

No image is built here: that takes a builder, a registry and gigabytes of packages.
"""

import re
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

_PROJECT = Path(__file__).parents[2]
_ROOMS = {path.parent.name for path in _PROJECT.glob("*/__init__.py")} - {"tests", "benchmarks"}
Step = dict[str, Any]


@pytest.fixture(scope="module")
def stages() -> dict[str, list[Step]]:
    """The steps of each stage, after what stands before the first."""
    parser = DockerfileParser(str(_PROJECT / "cluster"), cache_content=True)
    found: dict[str, list[Step]] = {"": []}
    for step in parser.structure:
        if step["instruction"] == "FROM":
            found[step["value"].rpartition(" AS ")[2]] = []
        if step["instruction"] != "COMMENT":
            found[list(found)[-1]].append(step)
    return found


def _values(steps: list[Step], instruction: str) -> list[str]:
    return [step["value"] for step in steps if step["instruction"] == instruction]


@pytest.fixture(scope="module")
def python(stages: dict[str, list[Step]]) -> Version:
    (argument,) = _values(stages[""], "ARG")
    return Version(argument.removeprefix("PYTHON_VERSION="))


@pytest.fixture(scope="module")
def locked() -> dict[str, Version]:
    lines = (_PROJECT / "requirements.lock").read_text().splitlines()
    pins = (line.partition(";")[0].strip().partition("==") for line in lines if "==" in line)
    return {canonicalize_name(name): Version(version) for name, _, version in pins}


@pytest.fixture(scope="module")
def installed(locked: dict[str, Version]) -> dict[str, Distribution]:
    """The packages of the lock file as they are here, which CI installs from it."""
    found = {str(canonicalize_name(distribution.metadata["Name"])): distribution for distribution in distributions()}
    assert locked.keys() <= found.keys()
    return {name: found[name] for name in locked}


def test_the_stages_are_an_environment_and_one_with_the_code(stages: dict[str, list[Step]]) -> None:
    assert list(stages) == ["", "environment", "job"]
    assert _values(stages["environment"], "FROM") == ["python:${PYTHON_VERSION}-slim-bookworm AS environment"]
    assert _values(stages["job"], "FROM") == ["environment AS job"]


def test_the_base_is_pinned_by_version(python: Version) -> None:
    assert len(python.release) == 3
    project = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]
    assert python in SpecifierSet(project["requires-python"])


def test_every_locked_package_runs_on_that_python(python: Version, installed: dict[str, Distribution]) -> None:
    for name, distribution in installed.items():
        assert python in SpecifierSet(distribution.metadata["Requires-Python"] or ""), name


def test_the_lock_file_has_all_that_its_packages_need_on_that_python(
    python: Version, locked: dict[str, Version], installed: dict[str, Distribution]
) -> None:
    environment: dict[str, str] = {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": f"{python.major}.{python.minor}",
        "python_full_version": str(python),
        "extra": "",
    }
    missing = []
    for name, distribution in installed.items():
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate(environment):
                version = locked.get(canonicalize_name(requirement.name))
                if version is None or not requirement.specifier.contains(version, prereleases=True):
                    missing.append(f"{name}: {requirement}")
    assert missing == []


def test_what_is_copied_is_there_and_is_all_of_the_code(stages: dict[str, list[Step]]) -> None:
    copied = [value.split() for stage in ("environment", "job") for value in _values(stages[stage], "COPY")]
    for source, _ in copied:
        assert (_PROJECT / source).exists(), source
    targets = {source: target for source, target in copied if target.startswith("/opt/melsweep/")}
    assert targets == {name: f"/opt/melsweep/{name}" for name in (*_ROOMS, "requirements.lock")}
    assert _values(stages["job"], "ENV") == ["PYTHONPATH=/opt/melsweep"]


def test_the_builder_is_sent_what_is_copied_and_nothing_else(stages: dict[str, list[Step]]) -> None:
    lines = [line for line in (_PROJECT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert let_in == {value.split()[0] for stage in stages.values() for value in _values(stage, "COPY")}


def test_nothing_runs_as_root_and_the_user_is_the_manifests(stages: dict[str, list[Step]]) -> None:
    steps = [step for stage in ("environment", "job") for step in stages[stage]]
    after_user = steps[max(place for place, step in enumerate(steps) if step["instruction"] == "USER") :]
    assert after_user[0]["value"] == "1000:1000"  # a number: Kubernetes cannot look a name up
    assert not _values(after_user, "RUN")
    assert "runAsUser: 1000" in (_PROJECT / "cluster" / "kuberay" / "ray-cluster.yaml").read_text()


def test_only_the_lock_file_is_installed_and_no_address_or_secret_is_named(stages: dict[str, list[Step]]) -> None:
    runs = _values(stages["environment"], "RUN")
    (install,) = (value for value in runs if "pip install" in value)
    assert "--requirement /tmp/requirements.lock" in install
    content = (_PROJECT / "cluster" / "Dockerfile").read_text()
    assert not re.search(r"https?://|index-url|AWS_|TOKEN|PASSWORD", content)
