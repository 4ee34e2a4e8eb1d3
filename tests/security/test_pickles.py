"""Whatever is read, nothing is unpickled: no file under any name runs code, and each ends as one clear error."""

import io
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from readers import COLUMNS, READERS, REFUSALS, put
from traps import pickled_column, pickles

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from models import hub_weights
from storage.errors import InvalidInput

_PICKLES = [*pickles(Path("x"))]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Of torch, about the protocols of pickles that it then refuses."""
    warnings.filterwarnings("ignore", message="Detected pickle protocol")


@pytest.mark.parametrize("kind", _PICKLES)
@pytest.mark.parametrize("reader", READERS)
def test_no_file_runs_code(reader: str, kind: str, tmp_path: Path) -> None:
    data = pickles(tmp_path / "sprung")[kind]
    with pytest.raises(REFUSALS):
        READERS[reader](tmp_path / "place", data)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("reader", COLUMNS)
def test_no_column_of_a_table_runs_code(reader: str, tmp_path: Path) -> None:
    """Ray Data, which every job imports, teaches Arrow a type whose values are unpickled when somebody looks."""
    data = pickled_column(tmp_path / "sprung", *COLUMNS[reader])
    with pytest.raises(REFUSALS, match=r"is of the type 'ray\.data\.arrow_pickled_object'"):
        READERS[reader](tmp_path / "place", data)
    assert not (tmp_path / "sprung").exists()


def test_a_type_inside_of_another_one_is_found(tmp_path: Path) -> None:
    data = pickled_column(tmp_path / "sprung", "uri", nested=True, label="dog")
    with pytest.raises(InvalidInput, match=r"its column 'uri' is of the type 'ray\.data\.arrow_pickled_object'"):
        READERS["a table.parquet"](tmp_path / "place", data)
    assert not (tmp_path / "sprung").exists()


def test_it_would_have(tmp_path: Path) -> None:
    table = pq.read_table(io.BytesIO(pickled_column(tmp_path / "sprung", "commit")))
    table.column("commit").to_pylist()
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", _PICKLES)
def test_weights_in_the_cache_of_a_hub_run_no_code(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    name = urlsplit(torchvision.models.AlexNet_Weights.DEFAULT.url).path.rpartition("/")[2]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    put(tmp_path / "cache", f"hub/checkpoints/{name}", pickles(tmp_path / "sprung")[kind])
    with pytest.raises(ValueError, match="the published weights of 'alexnet' cannot be fetched"):
        hub_weights("alexnet")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{}]",
        "[!!python/object/new:os.mkdir [{}]]",
        "!!python/name:os.mkdir",
        "{{a: !!python/object/apply:subprocess.run [[mkdir, {}]]}}",
    ],
)
def test_a_setting_runs_no_code(value: str, tmp_path: Path) -> None:
    for key in ("sweep.num_trials", "split.test_folds", "sweep.trial.model"):
        with pytest.raises(InvalidInput):
            parse_settings(JobSettings, [f"{key}={value.format(tmp_path / 'sprung')}"])
    assert not (tmp_path / "sprung").exists()


def test_a_setting_asks_the_environment_nothing() -> None:
    assert parse_settings(JobSettings, ["data.root=${oc.env:HOME}"]).data.root == "${oc.env:HOME}"
    with pytest.raises(InvalidInput, match=r"sweep\.num_trials: got '\$\{oc\.env:HOME\}'"):
        parse_settings(JobSettings, ["sweep.num_trials=${oc.env:HOME}"])


@pytest.mark.parametrize("name", ["../../../tmp/evil", "/etc/passwd", "esc50.yaml", "esc50\0", ""])
def test_a_preset_is_one_of_the_projects_own(name: str) -> None:
    with pytest.raises(InvalidInput, match="preset: got"):
        parse_settings(JobSettings, [f"preset={name}"])
