"""The audit as a person runs it: words in, a table or JSON and an exit code out."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.audit import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, so that names in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(name: str, *lines: str) -> None:
    Path(name).write_text("\n".join(lines) + "\n")


def test_an_overlap_is_shown_with_examples_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    _write("train.csv", "clip_id,image,speaker", "a,a_noise.png,s1", "a,a.png,s1", "b,b.png,s2")
    _write("validation.csv", "clip_id,image,speaker", "a,a_pitch.png,s1", "c,c.png,s3")
    assert main(["first=train.csv", "second=validation.csv"]) == 1
    printed = capsys.readouterr().out
    cells = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    assert cells["clip"] == ["clip", "id", "clip_id", "2", "2", "1", "50.0%", "a"]
    assert cells["group"] == ["group", "speaker", "2", "2", "1", "50.0%", "s1"]
    assert "not compared: no audio_root given" in printed
    assert "overlap: 1 clip id, 1 group" in printed


def test_nothing_in_common_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    _write("train.csv", "clip_id", "a")
    _write("validation.csv", "clip_id", "b", '""')
    assert main(["first=train.csv", "second=validation.csv"]) == 0
    printed = capsys.readouterr().out
    assert "not compared: no such column" in printed
    assert "clip id: 1 rows of second have no clip_id and were not compared" in printed
    assert "no overlap in what was compared" in printed


def test_identical_audio_ends_with_1_and_unreadable_files_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = np.random.default_rng(0).integers(-20_000, 20_000, 8_000, dtype=np.int16)
    for name in ("a.wav", "renamed.flac"):
        soundfile.write(folder / name, samples, 8_000, subtype="PCM_16")
    _write("train.csv", "filename", "a.wav", "missing.wav")
    _write("validation.csv", "filename", "renamed.flac")
    assert main(["first=train.csv", "second=validation.csv", f"audio_root={folder}"]) == 1
    printed = capsys.readouterr().out
    assert "hash audio, clips 3/3" in printed
    assert "a.wav = renamed.flac" in printed
    assert "1 files could not be read and were not compared" in printed
    assert "missing.wav: missing_file" in printed


def test_json_is_all_that_stands_on_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(folder / "a.wav", np.zeros(8_000), 8_000)
    _write("train.csv", "filename", "a.wav", "missing.wav")
    _write("validation.csv", "filename", "a.wav")
    assert main(["first=train.csv", "second=validation.csv", f"audio_root={folder}", "format=json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["overlaps"] is True
    clip_id, group, audio = found["comparisons"]
    assert (clip_id["num_first"], clip_id["num_both"], clip_id["share_of_second"]) == (2, 1, 1.0)
    assert (group["num_both"], group["not_compared"]) == (None, "not compared: no such column")
    assert (audio["shared"], audio["unreadable"]) == (["a.wav = a.wav"], ["missing.wav: missing_file"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "error: first: got ''; allowed: a CSV file. Give first=<file.csv>."),
        (["first=train.csv"], "error: second: got ''; allowed: a CSV file. Give second=<file.csv>."),
        (["first=train.csv", "second=nowhere.csv"], "error: second: got 'nowhere.csv'; allowed: a CSV file."),
        (["first=train.csv", "secnd=train.csv"], "Did you mean 'second'?"),
        (["first=train.csv", "second=train.csv", "format=xml"], "error: format: got 'xml'; allowed: text, json."),
        (["first=train.csv", "second=train.csv", "id_column=clipid"], "Did you mean 'clip_id'?"),
        (["first=train.csv", "second=other.csv"], "Name it with id_column=… or group_column=…."),
    ],
)
def test_bad_input_is_one_line_and_ends_with_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _write("train.csv", "clip_id", "a")
    _write("other.csv", "weight", "1")
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_help_tells_the_settings_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "1 if" in printed
    assert "id_column=" in printed
