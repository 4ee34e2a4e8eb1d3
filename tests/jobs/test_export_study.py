"""The job that writes a sweep's studies for Optuna, and the report of several sweeps, as a person calls them."""

import json
from pathlib import Path

import optuna
import pytest
from sample_sweep import SampleSweep

from jobs import export_study, report


@pytest.fixture
def store(tmp_path: Path) -> str:
    for name in ("first", "second"):
        SampleSweep(
            root=tmp_path / "store", sweep_id=name, architectures=("cnn",), num_trials=3, num_clips=20, seeds=(42,)
        ).write()
    return str(tmp_path / "store")


def test_a_sweeps_studies_are_exported_by_its_id(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.db"
    assert export_study.main([f"storage.uri={store}", "sweep=first", f"into={path}"]) == 0
    assert "study 'first: cnn': 3 trials" in capsys.readouterr().out
    study = optuna.load_study(study_name="first: cnn", storage=f"sqlite:///{path}")
    assert len(study.trials[0].intermediate_values) == 9
    assert export_study.main([f"storage.uri={store}", "sweep=first", f"into={path}"]) == 2
    assert export_study.main([f"storage.uri={store}", "sweep=first"]) == 2


def test_several_sweeps_are_compared_on_one_page(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"storage.uri={store}", "sweep=[first,second]", f"report.folder={tmp_path / 'pages'}"]
    assert report.main(words) == 0
    (page,) = (tmp_path / "pages").glob("comparison-*.html")
    assert "first · second" in page.read_text()
    assert str(page) in capsys.readouterr().out
    assert report.main([*words, "format=json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"first", "second"}


def test_a_confirmation_is_not_compared_as_if_it_were_a_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = SampleSweep(root=tmp_path / "store", architectures=("cnn",), num_trials=2, num_clips=20, seeds=(42,))
    sample.write()
    confirmed = sample.confirm(seeds=(1,))
    words = [f"storage.uri={tmp_path / 'store'}", f"sweep=[sample-1,{confirmed}]"]
    assert report.main(words) == 2
    assert "Say sample-1: what follows a sweep is told with it." in " ".join(capsys.readouterr().err.split())
    assert report.main([words[0], f"sweep_id={confirmed}", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["statistics"]["of"] == confirmed


def test_one_sweep_in_the_list_is_that_sweep(store: str, tmp_path: Path) -> None:
    assert report.main([f"storage.uri={store}", "sweep=[first]", f"report.folder={tmp_path / 'pages'}"]) == 0
    assert (tmp_path / "pages" / "first.html").exists()


def test_a_confirmation_is_told_on_the_page_of_its_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = SampleSweep(root=tmp_path / "store", architectures=("cnn",), num_trials=2, num_clips=20, seeds=(42,))
    sample.write()
    confirmed = sample.confirm(seeds=(1,))
    words = [f"storage.uri={tmp_path / 'store'}", f"report.folder={tmp_path / 'pages'}"]
    assert report.main([*words, f"sweep_id={confirmed}"]) == 0
    assert f"{confirmed} is told on the page of its sweep, sample-1" in capsys.readouterr().out
    assert confirmed in (tmp_path / "pages" / "sample-1.html").read_text()
    assert report.main(words) == 0  # the newest sweep is no confirmation
    assert "sample-1.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["sweep=[first,first]"], ["sweep=[first]", "sweep_id=second"], ["sweep=[first,none]"], ["sweep=first"]]
)
def test_what_cannot_be_compared_is_refused(store: str, words: list[str]) -> None:
    assert report.main([f"storage.uri={store}", *words]) == 2
