"""What a user can get wrong: one line on stderr, exit code 2, no traceback, nothing half-written."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jobs import (
    check,
    collect,
    experiments,
    export,
    export_features,
    featurize,
    fetch,
    predict,
    report,
    sweep,
    synthesize,
    train,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An ESC-50 tree whose audio nobody will get to read."""
    (tmp_path / "tree" / "meta").mkdir(parents=True)
    (tmp_path / "tree" / "audio").mkdir()
    rows = [f"{fold}-100-A-0.wav,{fold},0,dog,True,10{fold},A" for fold in range(1, 6)]
    for row in rows:
        (tmp_path / "tree" / "audio" / row.partition(",")[0]).touch()
    meta = "\n".join(["filename,fold,target,category,esc10,src_file,take", *rows])
    (tmp_path / "tree" / "meta" / "esc50.csv").write_text(meta)
    return tmp_path / "tree"


def refused(
    job: Callable[[Sequence[str]], int], words: list[str], capsys: pytest.CaptureFixture[str], store: Path
) -> str:
    """The one line that the job prints; holds that it exits with 2 and leaves no file in the store."""
    assert job([*words, f"storage.uri={store}"]) == 2
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "Traceback" not in printed.out + printed.err
    assert not store.exists() or [path for path in store.rglob("*") if path.is_file()] == []
    return lines[0]


@pytest.mark.parametrize("job", [sweep.main, featurize.main])
def test_an_unknown_key(
    job: Callable[[Sequence[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(job, ["data.rot=x"], capsys, tmp_path / "store")
    assert "data.rot" in line
    assert "Did you mean 'data.root'?" in line


@pytest.mark.parametrize("job", [sweep.main, featurize.main])
def test_a_missing_root(
    job: Callable[[Sequence[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(job, [f"data.root={tmp_path}/nowhere"], capsys, tmp_path / "store")
    assert f"{tmp_path}/nowhere (no such folder)" in line
    assert "data.root" in refused(job, [], capsys, tmp_path / "store")


def test_a_manifest_without_uri(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("file,label\na.wav,dog\n")
    line = refused(featurize.main, ["data.source=csv", f"data.root={table}"], capsys, tmp_path / "store")
    assert "manifest column uri" in line
    assert "Add the column uri" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.endpoint_url=localhost"], "data.endpoint_url"),
        (["data.label_level=artist"], "genre/subgenre, genre, subgenre"),
        (["data.label_level=genre"], "allowed: null for data.source=esc50"),
        (["data.root=gs://bucket"], "s3://bucket/prefix"),
    ],
)
def test_data_settings_that_cannot_be(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert told in refused(featurize.main, [f"data.root={tree}", *words], capsys, tmp_path / "store")


def test_an_s3_endpoint_that_is_down(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-nobody-may-see")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"data.root={tree}", "storage.uri=s3://bucket/x", f"storage.endpoint_url=http://127.0.0.1:{port}"]
    assert sweep.main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: s3://bucket/x at http://127.0.0.1:")
    assert "does not answer" in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert "a-secret-nobody-may-see" not in printed.err + printed.out


@pytest.mark.parametrize("uri", ["", "file://"])
def test_a_store_without_a_place(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for job, words in ((sweep.main, [f"data.root={tree}"]), (report.main, [])):
        assert job([*words, f"storage.uri={uri}"]) == 2
        assert capsys.readouterr().err.startswith(f"error: storage.uri: got {uri!r}; allowed: a path, ")
    assert list((tmp_path / "here").iterdir()) == []


def test_folds_that_do_not_exist(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(sweep.main, [f"data.root={tree}", "split.test_folds=[9]"], capsys, tmp_path / "store")
    assert "allowed: the folds [1, 2, 3, 4, 5]" in line


def test_a_trial_setting_that_does_not_exist(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(sweep.main, [f"data.root={tree}", "sweep.trial.learning_rat=1"], capsys, tmp_path / "store")
    assert "sweep.trial.learning_rat" in line


def test_a_model_option_that_does_not_exist(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(sweep.main, [f"data.root={tree}", "sweep.trial.model.widht=1"], capsys, tmp_path / "store")
    assert "widht" in line
    assert "width" in line


def test_a_backend_that_does_not_exist(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(featurize.main, [f"data.root={tree}", "pipeline.backend=dalli"], capsys, tmp_path / "store")
    assert "Did you mean 'dali'?" in line


def test_a_report_of_a_store_without_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(report.main, [], capsys, tmp_path / "store")
    assert "Run a sweep first" in line


def test_a_store_that_cannot_be_written(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert sweep.main([f"data.root={tree}", f"storage.uri={tmp_path}/file/store"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert len(printed.err.strip().splitlines()) == 1
    assert (tmp_path / "file").read_text() == "no folder"


def test_another_synthetic_data_set_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"root={tmp_path}/data", "num_clips_per_class=5"]
    assert synthesize.main(words) == 0
    assert synthesize.main(words) == 0
    assert synthesize.main([*words, "seed=8"]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "job",
    [
        sweep.main,
        featurize.main,
        report.main,
        synthesize.main,
        check.main,
        fetch.main,
        collect.main,
        export_features.main,
        predict.main,
        export.main,
        train.main,
        experiments.main,
    ],
)
def test_help_is_printed(job: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert job(["--help"]) == 0
    assert "Settings and their defaults" in capsys.readouterr().out
