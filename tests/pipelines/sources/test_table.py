"""The table source: any CSV or Parquet file with a uri and a label in every row."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.manifest import Clip, Manifest
from pipelines.sources import read_manifest
from storage.errors import InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").write_bytes(b"audio")
    return tmp_path


def test_a_uri_and_a_label_are_enough(folder: Path) -> None:
    manifest = _manifest(folder, "uri,label", "a.wav,dog", "sub/b.wav,cat")
    assert manifest.root == str(folder.resolve())
    assert manifest.clips[0] == Clip(
        clip_id="a.wav", recording_id="a", uri="a.wav", labels=("dog",), group="a", size_bytes=5
    )
    assert manifest.clips[1].size_bytes is None  # it is not there: the pipeline will say so, clip by clip


def test_all_own_columns_are_taken_and_others_travel_along(folder: Path) -> None:
    (clip,) = _manifest(
        folder,
        "clip_id,recording_id,uri,label,offset_s,duration_s,fold,group,snr_db,speaker,noisy,note",
        "c1,r1,a.wav,dog,1.5,2,3,g1,-4.5,s1,True,",
    ).clips
    assert (clip.clip_id, clip.recording_id, clip.group, clip.fold) == ("c1", "r1", "g1", 3)
    assert (clip.offset_s, clip.duration_s) == (1.5, 2.0)
    assert clip.columns == {"snr_db": -4.5, "speaker": "s1", "noisy": True, "note": None}


def test_empty_optional_cells_take_their_defaults(folder: Path) -> None:
    header = "clip_id,recording_id,uri,label,offset_s,duration_s,fold,group"
    first, second = _manifest(folder, header, ",,a.wav,dog,,,,", "c2,r2,b.wav,dog,1,2,3,g2").clips
    assert (first.clip_id, first.recording_id, first.group) == ("a.wav", "a", "a")
    assert (first.offset_s, first.duration_s, first.fold) == (0.0, None, None)
    assert second.fold == 3


def test_several_labels_are_separated_by_bars(folder: Path) -> None:
    manifest = _manifest(folder, "uri,labels", "a.wav,dog|rain", "b.wav,cat")
    assert [clip.labels for clip in manifest.clips] == [("dog", "rain"), ("cat",)]


def test_what_looks_like_a_number_or_nothing_stays_the_text_it_is(folder: Path) -> None:
    first, second = _manifest(
        folder, "clip_id,recording_id,uri,label,group", "007,1e3,001,0,0042", "008,null,a.wav,NA,nan"
    ).clips
    assert (first.clip_id, first.recording_id, first.uri, first.labels, first.group) == (
        "007",
        "1e3",
        "001",
        ("0",),
        "0042",
    )
    assert (second.recording_id, second.labels, second.group) == ("null", ("NA",), "nan")


def test_parquet_is_read_too_with_lists_of_labels_and_numbers_for_ids(folder: Path) -> None:
    pd.DataFrame(
        {
            "uri": ["a.wav", "b.wav"],
            "labels": [["dog", "rain"], ["cat"]],
            "clip_id": pd.array([7, 8], dtype="Int64"),
            "group": pd.array([1, None], dtype="Int64"),
            "recorded": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        }
    ).to_parquet(folder / "clips.parquet")
    first, second = read_manifest("table", root=str(folder / "clips.parquet"), name="clips").clips
    assert (first.clip_id, first.labels, first.group) == ("7", ("dog", "rain"), "1")
    assert (second.labels, second.group) == (("cat",), "b")
    assert first.columns == {"recorded": "2026-01-01 00:00:00"}


def test_any_table_has_a_dataset_id(folder: Path) -> None:
    manifest = _manifest(folder, "uri,label,level_db,count", "a.wav,dog,inf,1", "b.wav,dog,,2")
    assert manifest.dataset.startswith("clips-")
    assert manifest.clips[1].columns == {"level_db": None, "count": 2}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["label", "dog"], r"column uri: got 'missing in .* \(columns: label\)'; allowed: .*Add the column uri"),
        (["uri", "a.wav"], r"column label: got 'missing in .* \(columns: uri\)'; allowed: .*Add the column label"),
        (["uri,label", "a.wav,dog", ",dog"], r"column uri: got 'empty in row 2'; allowed: a value in every row\. Fill"),
        (["uri,label", "a.wav,"], r"column label: got 'empty in row 1'; allowed: a value in every row\. Fill"),
        (["uri,label"], r"data\.root: got '.*'; allowed: .* at least one clip\. Check"),
        (["uri,label", "a.wav,dog", "a.wav,cat"], r"column clip_id: got \['a\.wav'\]; allowed: every clip_id once"),
        (["uri,label,fold", "a.wav,dog,one"], r"column fold, row 1: got 'one'; allowed: a number\. Correct"),
        (["uri,label,fold", "a.wav,dog,1.5"], r"column fold, row 1: got 1\.5; allowed: a whole number\. Correct"),
        (["uri,label,offset_s", "a.wav,dog,early"], r"column offset_s, row 1: got 'early'; allowed: a number\."),
        (["uri,label,duration_s", "a.wav,dog,inf"], r"column duration_s, row 1: got inf; allowed: a number\."),
        (["uri,label", "https://x/a.wav,dog"], r"column uri, row 1: got 'https://x/a\.wav'; allowed: a path, file://"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(folder: Path, lines: list[str], message: str) -> None:
    _expect(message, _manifest, folder, *lines)


def test_a_missing_table_is_refused(folder: Path) -> None:
    path = folder / "nowhere.csv"
    _expect(
        r"data\.root: got '.*nowhere\.csv'; allowed: a CSV or Parquet file\. Check the path",
        read_manifest,
        "table",
        root=str(path),
        name="clips",
    )


@pytest.mark.parametrize("name", ["clips.csv", "clips.parquet"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\xff\xfe\x00", b'uri,label\n"a.wav,dog\n'])
def test_a_file_that_is_no_table_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    _expect(
        r"data\.root: got ['\"].*clips\.\w+ \(.*\)['\"]; allowed: a CSV or Parquet file\. Repair or convert",
        read_manifest,
        "table",
        root=str(folder / name),
        name="clips",
    )


def _manifest(folder: Path, *lines: str) -> Manifest:
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return read_manifest("table", root=str(folder / "clips.csv"), name="clips")


def _expect(message: str, read: Any, *arguments: Any, **named: Any) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read(*arguments, **named)
    assert "\n" not in str(caught.value)
