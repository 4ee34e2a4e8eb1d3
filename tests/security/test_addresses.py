"""Keys in addresses are refused before anything records, prints or uses them, and the refusal does not repeat them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jobs import (
    audit,
    check,
    collect,
    compact,
    experiments,
    export,
    export_features,
    export_study,
    featurize,
    fetch,
    inspect_data,
    predict,
    report,
    sweep,
    train,
)
from pipelines.files.recordings import Recordings
from pipelines.sources import read_manifest
from storage.addresses import has_credentials
from storage.errors import InvalidInput
from storage.object_store import open_store

Job = Callable[[Sequence[str]], int]
_S3 = "s3://AKIAEXAMPLE:hush-hush@bucket/prefix"
_HTTP = "http://me:hush-hush@127.0.0.1:9000"
_JOBS: tuple[Job, ...] = (
    *(audit.main, check.main, collect.main, compact.main, experiments.main, export.main, export_features.main),
    *(
        export_study.main,
        featurize.main,
        fetch.main,
        inspect_data.main,
        predict.main,
        report.main,
        sweep.main,
        train.main,
    ),
)


@pytest.mark.parametrize("job", _JOBS, ids=lambda job: job.__module__)
@pytest.mark.parametrize(
    "word",
    [
        f"storage.uri={_S3}",
        f"storage.endpoint_url={_HTTP}",
        f"data.root={_S3}",
        f"log.mlflow_uri={_HTTP}",
        f"url={_HTTP}/x.zip",
        f"unknown.key={_S3}",
        f"sweep=[{_S3}]",
        _S3,
    ],
)
def test_every_job_refuses_an_address_with_a_key(
    job: Job, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert job(["data.root=x", word]) == 2
    printed = capsys.readouterr()
    field = word.partition("=")[0] if "=" in word else "command line"
    assert printed.err.startswith(f"error: {field}: got 'an address with a name or a key in it'")
    assert "hush" not in printed.out + printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "use",
    [
        lambda folder: open_store(_S3),
        lambda folder: open_store("s3://bucket/x", endpoint_url=_HTTP),
        lambda folder: Recordings(_S3),
        lambda folder: Recordings("s3://bucket", endpoint_url=_HTTP),
    ],
)
def test_so_do_stores_and_recordings(use: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="an address with a name or a key") as refused:
        use(tmp_path)
    assert "hush" not in str(refused.value)


def test_so_does_a_table_of_clips(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(f"uri,label\na.wav,dog\n{_HTTP}/x.wav,dog\n")
    with pytest.raises(InvalidInput, match="manifest column uri, row 2: got 'an address with") as refused:
        read_manifest("csv", root=str(tmp_path / "clips.csv"), name="d")
    assert "hush" not in str(refused.value)


def test_the_environments_endpoint_is_held_to_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", _HTTP)
    with pytest.raises(InvalidInput, match="AWS_ENDPOINT_URL: got 'an address with a name or a key"):
        open_store("s3://bucket/x")


def test_a_signed_address_has_a_key() -> None:
    assert has_credentials("s3://bucket/prefix?X-Amz-Credential=AKIA%2F2026&X-Amz-Signature=abc")


@pytest.mark.parametrize(
    "text", ["s3://bucket/me@home/x", "https://host/a@b", "me@host", "/data/a@b", "https://host?x=a@b", "s3://bucket"]
)
def test_what_is_elsewhere_is_fine(text: str) -> None:
    assert not has_credentials(text)
