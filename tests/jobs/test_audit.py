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


class TestAComparisonThatWasAskedForAndNotMadeDoesNotPass:
    @pytest.mark.parametrize("format", ["text", "json"])
    def test_audio_of_which_nothing_can_be_read(
        self, folder: Path, format: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _write("train.csv", "clip_id,filename", "a,a.wav")
        _write("validation.csv", "clip_id,filename", "b,b.wav")
        words = ["first=train.csv", "second=validation.csv", f"audio_root={folder}/nowhere", f"format={format}"]
        assert main(words) == 2
        printed = capsys.readouterr()
        assert "not compared: no readable audio; 2 files could not be read, first a.wav: missing_file" in printed.err
        assert printed.err.count("\n") == 1
        if format == "json":
            assert json.loads(printed.out)["complete"] is False

    def test_one_unreadable_file_where_the_rest_does_not_overlap(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number, name in enumerate(("a.wav", "b.wav")):
            soundfile.write(folder / name, np.random.default_rng(number).uniform(-0.5, 0.5, 8_000), 8_000)
        _write("train.csv", "filename", "a.wav")
        _write("validation.csv", "filename", "b.wav", "missing.wav")
        assert main(["first=train.csv", "second=validation.csv", f"audio_root={folder}"]) == 2
        printed = capsys.readouterr()
        assert "1 files could not be read, first missing.wav: missing_file" in printed.err
        assert "No overlap was found in the rest" in printed.err
        assert "no overlap in what was compared" in printed.out

    def test_rows_that_name_no_file(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for number, name in enumerate(("a.wav", "b.wav")):
            soundfile.write(folder / name, np.random.default_rng(number).uniform(-0.5, 0.5, 8_000), 8_000)
        _write("train.csv", "clip_id,file", "1,a.wav")
        _write("validation.csv", "clip_id,file", "2,b.wav", "3,")
        assert main(["first=train.csv", "second=validation.csv", f"audio_root={folder}"]) == 2
        assert "1 rows name no file" in capsys.readouterr().err

    @pytest.mark.parametrize(("word", "field"), [("group_column=site", "group_column"), ("audio_root=.", "audio_root")])
    def test_a_column_that_one_file_lacks(self, word: str, field: str, capsys: pytest.CaptureFixture[str]) -> None:
        _write("train.csv", "clip_id,site,filename", "a,s,a.wav")
        _write("validation.csv", "clip_id", "b")
        assert main(["first=train.csv", "second=validation.csv", word]) == 2
        errors = capsys.readouterr().err
        assert errors.startswith(f"error: {field}: ")
        assert "not compared: no such column" in errors

    def test_an_overlap_elsewhere_still_ends_with_1(self, folder: Path) -> None:
        _write("train.csv", "clip_id,filename", "a,a.wav")
        _write("validation.csv", "clip_id,filename", "a,a.wav")
        assert main(["first=train.csv", "second=validation.csv", f"audio_root={folder}"]) == 1

    @pytest.mark.parametrize("header", ["clip_id", ""])
    def test_a_table_without_rows(self, header: str, capsys: pytest.CaptureFixture[str]) -> None:
        _write("train.csv", "clip_id", "a")
        _write("validation.csv", header)
        assert main(["first=train.csv", "second=validation.csv"]) == 2
        assert capsys.readouterr().err.startswith("error: second: got 'validation.csv (")


def test_values_written_in_two_ways_match(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(folder / "b.wav", np.ones(8_000), 8_000)
    _write("train.csv", "filename, group", "b.wav ,2.0", "c.wav,3.5", "d.wav,007")
    _write("validation.csv", "filename,group", " b.wav,2", "e.wav,3", "f.wav,7")
    assert main(["first=train.csv", "second=validation.csv", f"audio_root={folder}", "format=json"]) == 1
    clip_id, group, audio = json.loads(capsys.readouterr().out)["comparisons"]
    assert (clip_id["shared"], group["shared"], audio["shared"]) == (["b.wav"], ["2"], ["b.wav = b.wav"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["second=train.csv"], "error: first: got ''; allowed: a CSV file. Give first=<file.csv>."),
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
    assert "1 if anything does" in printed
    assert "could not be made" in printed
    assert "id_column=" in printed
