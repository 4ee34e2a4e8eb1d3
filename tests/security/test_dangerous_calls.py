"""No shell is involved anywhere, nothing is unpickled, nothing is run that is text: by the code itself."""

import ast
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[2]
_ROOMS = "jobs sweeps pipelines training reports models search_spaces storage cluster".split()

# Full name of a call → why it is not made.
_FORBIDDEN = {
    **dict.fromkeys(
        "os.system os.popen subprocess.getoutput subprocess.getstatusoutput pty.spawn "
        "asyncio.create_subprocess_shell".split(),
        "starts a shell",
    ),
    **dict.fromkeys("eval exec compile".split(), "runs text"),
    **dict.fromkeys(
        "pickle.load pickle.loads pickle.Unpickler _pickle.loads marshal.load marshal.loads shelve.open joblib.load "
        "dill.load dill.loads cloudpickle.load cloudpickle.loads ray.cloudpickle.loads pandas.read_pickle "
        "torch.jit.load torch.hub.load torch.package.PackageImporter".split(),
        "unpickles",
    ),
    **dict.fromkeys("yaml.load yaml.full_load yaml.unsafe_load yaml.load_all".split(), "makes any object of text"),
    **dict.fromkeys("tarfile.open shutil.unpack_archive".split(), "follows the names in an archive"),
    **dict.fromkeys(
        "pyarrow.parquet.read_table pyarrow.parquet.ParquetFile pyarrow.dataset.dataset pandas.read_parquet "
        "pyarrow.ipc.open_file pyarrow.ipc.open_stream pyarrow.feather.read_table pandas.read_hdf".split(),
        "decodes types of Python (storage/parquet.py reads Parquet)",
    ),
    "tempfile.mktemp": "names a file that another may make first",
    "ssl._create_unverified_context": "believes any server",
}
# Where such a call is right, and why.
_ADMITTED = {
    ("pipelines/isolation/server.py", "pickle.loads"): "of what its own parent wrote into a pipe",
    ("storage/parquet_bounds.py", "pyarrow.parquet.ParquetFile"): "which looks at the types first",
    ("pipelines/sources/csv_table.py", "pandas.read_parquet"): "after storage/parquet.py has looked",
}
# Calls that need a keyword with this value.
_NEEDED = {
    "torch.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "numpy.lib.format.write_array": ("allow_pickle", False),
    "torch.hub.load_state_dict_from_url": ("weights_only", True),
}
_NEEDED_OF_METHODS = {"get_state_dict": ("weights_only", True)}  # of torchvision's weights
_REFUSED_KEYWORDS = {"shell": "starts a shell", "allow_pickle": "unpickles", "trust_remote_code": "runs code"}
_SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash", "zsh", "cmd"}


def breaches(file: str, code: str) -> list[str]:
    """What the code does that nothing here does, one line each."""
    tree = ast.parse(code)
    names = _imported(tree)
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = _full_name(call.func, names)
        if name in _FORBIDDEN and (file, name) not in _ADMITTED:
            found.append(f"{file}:{call.lineno} {name} {_FORBIDDEN[name]}")
        needed = _NEEDED.get(name) or _NEEDED_OF_METHODS.get(name.rpartition(".")[2])
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if needed and not _is(keywords.get(needed[0]), needed[1]):
            found.append(f"{file}:{call.lineno} {name} lacks {needed[0]}={needed[1]}")
        for keyword, why in _REFUSED_KEYWORDS.items():
            if keyword in keywords and not _is(keywords[keyword], False):
                found.append(f"{file}:{call.lineno} {keyword}= {why}")
        if name.startswith("subprocess.") and call.args and _first_word(call.args[0]) in _SHELLS:
            found.append(f"{file}:{call.lineno} {name} starts a shell")
        if isinstance(call.func, ast.Attribute) and call.func.attr == "extractall":
            found.append(f"{file}:{call.lineno} extractall follows the names in an archive")
    for made in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for name in (_full_name(base, names) for base in made.bases):  # what it makes of itself
            if name in _FORBIDDEN and (file, name) not in _ADMITTED:
                found.append(f"{file}:{made.lineno} {name} {_FORBIDDEN[name]}")
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    """Name in the file → full name."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _full_name(function: ast.expr, names: dict[str, str]) -> str:
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ".".join(["?", *reversed(parts)])
    return ".".join([names.get(function.id, function.id), *reversed(parts)])


def _is(value: ast.expr | None, wanted: bool) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def _first_word(argument: ast.expr) -> object:
    first = argument.elts[0] if isinstance(argument, ast.List | ast.Tuple) and argument.elts else argument
    return first.value if isinstance(first, ast.Constant) else None


def _sources() -> dict[str, str]:
    paths = (path for room in _ROOMS for path in sorted((_PROJECT / room).rglob("*.py")))
    return {path.relative_to(_PROJECT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_nothing_here_starts_a_shell_unpickles_or_runs_text() -> None:
    sources = _sources()
    assert len(sources) > 200
    assert [breach for file, code in sources.items() for breach in breaches(file, code)] == []


def test_what_is_admitted_is_still_there() -> None:
    sources = _sources()
    for file, name in _ADMITTED:
        code = sources[file]
        tree = ast.parse(code)
        names = _imported(tree)
        calls = {_full_name(node.func, names) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        bases = [base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
        assert name in calls | {_full_name(base, names) for base in bases}, (file, name)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os\nos.system('x')", "os.system starts a shell"),
        ("from os import system as run\nrun('x')", "os.system starts a shell"),
        ("import subprocess\nsubprocess.run('x', shell=True)", "shell= starts a shell"),
        ("import subprocess as s\ns.Popen(['bash', '-c', x])", "subprocess.Popen starts a shell"),
        ("import subprocess\nsubprocess.run('x', shell=flag)", "shell= starts a shell"),
        ("eval(x)", "eval runs text"),
        ("import pickle\npickle.load(x)", "pickle.load unpickles"),
        ("from pickle import loads\nloads(x)", "pickle.loads unpickles"),
        ("import torch\ntorch.load(x)", "torch.load lacks weights_only=True"),
        ("import torch\ntorch.load(x, weights_only=False)", "torch.load lacks weights_only=True"),
        ("import numpy as np\nnp.load(x)", "numpy.load lacks allow_pickle=False"),
        ("import numpy as np\nnp.lib.format.read_array(x, allow_pickle=True)", "allow_pickle= unpickles"),
        ("w.DEFAULT.get_state_dict(check_hash=True)", "lacks weights_only=True"),
        ("import pyarrow.parquet as pq\npq.read_table(x)", "pyarrow.parquet.read_table decodes"),
        ("import pyarrow.parquet as pq\nclass X(pq.ParquetFile): pass", "pyarrow.parquet.ParquetFile decodes"),
        ("import pandas as pd\npd.read_pickle(x)", "pandas.read_pickle unpickles"),
        ("import yaml\nyaml.load(x, Loader=yaml.Loader)", "yaml.load makes any object"),
        ("archive.extractall(x)", "extractall follows"),
    ],
)
def test_a_breach_is_found(code: str, told: str) -> None:
    (found,) = breaches("jobs/x.py", code)
    assert told in found


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.run(['git', 'log'], shell=False)",
        "model.eval()",
        "import torch\ntorch.load(x, weights_only=True)",
        "import re\nre.compile(x)",
        "import numpy as np\nnp.load(x, allow_pickle=False)",
    ],
)
def test_what_does_no_harm_is_no_breach(code: str) -> None:
    assert breaches("jobs/x.py", code) == []
