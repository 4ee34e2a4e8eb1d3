"""The rooms, their arrows and the owners of packages, held against the imports that the files really have.

An import counts wherever it stands: at the top, inside a function, under TYPE_CHECKING, or through importlib.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

_MAY_IMPORT = {
    "jobs": {"sweeps", "pipelines", "training", "reports", "models", "search_spaces", "storage", "cluster"},
    "sweeps": {"training", "models", "search_spaces", "storage", "cluster"},
    "pipelines": {"storage", "cluster"},
    "training": {"models", "storage"},
    "reports": {"storage"},
    "models": set(),
    "search_spaces": set(),
    "storage": set(),
    "cluster": set(),
}
_NOT_A_ROLE = {"utils", "helpers", "common", "misc"}
_OUTSIDE_THE_ROOMS = {"tests", "benchmarks"}  # they import the rooms, never the other way round
_IMPORT_NAMES = {
    "nvidia-dali-cuda130": "nvidia.dali",
    "mlflow-skinny": "mlflow",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
}


def violations(root: Path) -> list[str]:
    """Every breach below `root`, one line each; `root` holds the rooms and pyproject.toml."""
    owners = _owners(root / "pyproject.toml")
    found = []
    for room in _MAY_IMPORT:
        for path in sorted((root / room).rglob("*.py")):
            file = path.relative_to(root)
            found += [f"{file}: {what}" for what in _naming_breaches(file)]
            for line, module in _imports(path, file):
                found += [f"{file}:{line}: {what}" for what in _import_breaches(file, module, owners)]
    return list(dict.fromkeys(found))


def _naming_breaches(file: Path) -> Iterator[str]:
    names = [*file.parts[:-1], file.stem]
    for name in names:
        if name in sys.stdlib_module_names:
            yield f"{name!r} is the name of a standard module"
        if name in _NOT_A_ROLE:
            yield f"{name!r} is no role; name what it is for"


def _import_breaches(file: Path, module: str, owners: dict[str, list[str]]) -> Iterator[str]:
    room, target = file.parts[0], module.partition(".")[0]
    forbidden = (_MAY_IMPORT.keys() | _OUTSIDE_THE_ROOMS) - _MAY_IMPORT[room] - {room}
    if target in forbidden:
        yield f"{room} must not import {target}"
    for package, places in owners.items():
        if _is_within(module, package) and not any(_is_place(file, place) for place in places):
            yield f"only {', '.join(places)} may import {package}"


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _is_place(file: Path, place: str) -> bool:
    return file.as_posix().startswith(place) if place.endswith("/") else file.as_posix() == place


def _imports(path: Path, file: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import; `from a import b` gives both `a` and `a.b`, as b may be a module."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = list(file.parts[: len(file.parts) - node.level]) if node.level else []
            module = ".".join([*here, *([node.module] if node.module else [])])
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and _is_dynamic_import(node.func):
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _is_dynamic_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def _owners(pyproject: Path) -> dict[str, list[str]]:
    """Import name → files or folders (ending in "/") that may import it, from the comments beside the dependencies."""
    text = pyproject.read_text()
    project = tomllib.loads(text)["project"]
    groups = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    owners = {}
    for requirement in (requirement for group in groups for requirement in group):
        comment = re.search(re.escape(f'"{requirement}"') + r",?[ \t]*#([^\n]*)", text)
        places = _places(comment[1]) if comment else []
        if places:
            name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
            owners[_IMPORT_NAMES.get(name, name.replace("-", "_"))] = places
    return owners


def _places(comment: str) -> list[str]:
    parts = [part.rpartition(":")[2].strip() for part in re.split("[;,]", comment)]
    return [part for part in parts if part.partition("/")[0] in _MAY_IMPORT and re.fullmatch(r"[\w/]+(/|\.py)", part)]


def test_the_tree_keeps_its_arrows_owners_and_names() -> None:
    found = violations(Path(__file__).parents[1])
    assert not found, "\n" + "\n".join(found)


_PYPROJECT = """
[project]
name = "tiny"
dependencies = [
  "numpy>=2",
  "boto3>=1.40",               # storage/s3.py
  "nvidia-dali-cuda130>=2.3",  # pipelines/backends/dali.py
  "scikit-learn>=1.6",         # training/metrics.py, pipelines/splits.py
  "ray[data,tune]>=2.55",      # Ray Data: pipelines/featurize.py; Ray Tune: sweeps/
]
[project.optional-dependencies]
dev = [
  "librosa>=0.11",  # the outside reference for log-mel
]
"""


@pytest.mark.parametrize(
    ("file", "code", "expected"),
    [
        ("storage/a.py", "from pipelines import manifest", "storage must not import pipelines"),
        ("models/a.py", "import training.trial", "models must not import training"),
        ("cluster/a.py", "from storage.errors import StorageError", "cluster must not import storage"),
        ("search_spaces/a.py", "import models", "search_spaces must not import models"),
        ("pipelines/deep/a.py", "from training import trial", "pipelines must not import training"),
        ("training/a.py", "import os, pipelines.decoding.decode", "training must not import pipelines"),
        ("reports/a.py", "import training.metrics as metrics", "reports must not import training"),
        ("sweeps/a.py", "from pipelines.splits import draw", "sweeps must not import pipelines"),
        ("sweeps/a.py", "import jobs.sweep", "sweeps must not import jobs"),
        ("storage/a.py", "from tests import conftest", "storage must not import tests"),
        ("models/a.py", "def build():\n    from storage import s3", "models must not import storage"),
        ("models/a.py", "if TYPE_CHECKING:\n    import storage", "models must not import storage"),
        ("models/a.py", "import importlib\nimportlib.import_module('storage.s3')", "models must not import storage"),
        ("models/a.py", "from importlib import import_module as i\n__import__('storage')", "must not import storage"),
        ("storage/local.py", "import boto3", "only storage/s3.py may import boto3"),
        ("storage/deep/s3.py", "import boto3", "only storage/s3.py may import boto3"),
        ("storage/local.py", "def f():\n    from boto3.session import Session", "only storage/s3.py may import boto3"),
        (
            "pipelines/decoding/decode.py",
            "from nvidia import dali",
            "only pipelines/backends/dali.py may import nvidia.dali",
        ),
        ("pipelines/a.py", "import nvidia.dali.fn", "only pipelines/backends/dali.py may import nvidia.dali"),
        ("reports/a.py", "from sklearn import metrics", "only training/metrics.py, pipelines/splits.py may import"),
        ("training/a.py", "import ray", "only pipelines/featurize.py, sweeps/ may import ray"),
        ("training/random.py", "", "'random' is the name of a standard module"),
        ("training/queue/a.py", "", "'queue' is the name of a standard module"),
        ("training/utils/a.py", "", "'utils' is no role"),
        ("training/helpers.py", "", "'helpers' is no role"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, file: str, code: str, expected: str) -> None:
    found = _violations_of(tmp_path, file, code)
    assert len(found) == 1
    assert found[0].startswith(file)
    assert expected in found[0]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("storage/s3.py", "import boto3, json"),
        ("storage/a.py", "import boto3_stubs, numpy, librosa"),
        ("storage/a.py", "from . import s3\nfrom .s3 import S3\nfrom storage import errors"),
        ("pipelines/deep/a.py", "from .. import decode\nfrom ..decode import decode"),
        ("pipelines/a.py", "import nvidia.nvml\nfrom cluster import session"),
        ("pipelines/splits.py", "import sklearn.model_selection"),
        ("pipelines/featurize.py", "import ray.data"),
        ("sweeps/deep/a.py", "from ray import tune"),
        ("training/a.py", "from models.registry import build\nimport storage.split"),
        ("jobs/a.py", "import sweeps, pipelines, training, reports, models, search_spaces, storage, cluster"),
    ],
)
def test_what_is_allowed_is_no_breach(tmp_path: Path, file: str, code: str) -> None:
    assert _violations_of(tmp_path, file, code) == []


def test_the_owners_of_this_project_are_read() -> None:
    owners = _owners(Path(__file__).parents[1] / "pyproject.toml")
    assert owners["boto3"] == ["storage/s3.py"]
    assert len(owners["ray"]) > 1
    assert "numpy" not in owners


def _violations_of(root: Path, file: str, code: str) -> list[str]:
    (root / "pyproject.toml").write_text(_PYPROJECT)
    (root / file).parent.mkdir(parents=True)
    (root / file).write_text(code)
    return violations(root)
