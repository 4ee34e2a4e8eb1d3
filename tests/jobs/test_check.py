"""jobs/check.py: what is wrong with a data set as lines, and as an exit code for scripts."""

from pathlib import Path

import pytest

from jobs import check
from storage.object_store import ObjectStore


def test_a_sound_data_set_ends_with_0(store: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.put("dog/a.wav", b"audio")
    assert check.main(["data.source=folder", f"data.root={store.uri}"]) == 0
    assert capsys.readouterr().out == f"{store.uri}: sound\n"


def test_every_problem_is_a_line_and_the_job_ends_with_1(
    store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put("dog/a.wav", b"audio")
    store.put("[bold]loose.wav", b"audio")
    store.put("notes.txt", b"text")
    assert check.main(["data.source=folder", f"data.root={store.uri}"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "audio files that lie in no folder and have no label: 1 ([bold]loose.wav)",
        "files that are no audio by their extension and are left out: 1 (notes.txt)",
        f"{store.uri}: problems found: 2",
    ]


def test_the_endpoint_of_the_recordings_may_be_given(
    s3_uri: str, s3_server: str, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("dog/a.wav", b"audio")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert check.main(["data.source=folder", f"data.root={store.uri}", f"data.endpoint_url={s3_server}"]) == 0


@pytest.mark.parametrize("words", [[], ["data.root=/nowhere", "data.source=folders"], ["data.rot=x"]])
def test_bad_input_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check.main(words) == 2
    assert capsys.readouterr().err.startswith("error: ")
