"""Nothing is imported from the folder that a job happens to be run in: it may be a data set of somebody else's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

_PROJECT = Path(__file__).parents[2]
_TRAP = "import pathlib\npathlib.Path(__file__).with_suffix('.sprung').touch()\nraise ImportError(__file__)\n"
# What a worker imports: packages of ours, of others and of Python itself.
_NAMES = "pipelines storage sweeps training models numpy scipy soundfile soxr pyarrow torch json wave decimal".split()

_A_FEW_CLIPS = """
import sys
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.few_clips import features_of_few
from pipelines.sources.unlabelled import all_files

found, quarantine = features_of_few(all_files("."), FeatureSpec(), PipelineSettings(backend="cpu", device="cpu"))
print(len(found.clip_ids), quarantine)
"""
_A_TASK = """
from cluster.session import ray_session

def places():
    import sys
    import decimal, models, numpy, sweeps
    return [decimal.__file__, models.__file__, numpy.__file__, sweeps.__file__, *sys.path]

with ray_session(num_cpus=1):
    import ray
    print("\\n".join(ray.get(ray.remote(places).remote())))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set with modules in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000)
    for name in _NAMES:
        (folder / f"{name}.py").write_text(_TRAP)
    return folder


def _run(code: str, folder: Path) -> str:
    # A script as the jobs are: Python looks beside it, and not where one is.
    script = folder.parent / "script" / "job.py"
    script.parent.mkdir()
    script.write_text(f"import sys\nsys.path.append({str(_PROJECT)!r})\n{code}")
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in folder.glob("*.sprung")) == []
    return done.stdout


def test_the_process_that_decodes_imports_nothing_from_there(folder: Path) -> None:
    assert _run(_A_FEW_CLIPS, folder).strip() == "1 []"


@pytest.mark.cluster
def test_workers_import_nothing_from_there(folder: Path) -> None:
    assert str(folder) not in _run(_A_TASK, folder)


def test_they_would_have(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", "import soundfile"], cwd=folder, capture_output=True)
    assert [path.name for path in folder.glob("*.sprung")] == ["soundfile.sprung"]
