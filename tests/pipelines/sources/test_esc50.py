"""The ESC-50 source: its tree as published, and what it says of a broken one."""

from collections import defaultdict
from pathlib import Path

import pytest

from pipelines.sources import list_sources, read_manifest
from storage.errors import InvalidInput

_HEADER = "filename,fold,target,category,esc10,src_file,take"
_ROWS = (
    "1-007-A-0.wav,1,0,dog,True,007,A",
    "1-007-B-0.wav,1,0,dog,True,007,B",
    "5-1234-A-41.wav,5,41,chainsaw,True,1234,A",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    _write_meta(tmp_path, [_HEADER, *_ROWS])
    (tmp_path / "audio").mkdir()
    for row in _ROWS:
        (tmp_path / "audio" / row.partition(",")[0]).write_bytes(b"audio")
    return tmp_path


def test_a_tree_becomes_a_manifest(root: Path) -> None:
    manifest = read_manifest("esc50", root=str(root), name="esc50")
    first = manifest.clips[0]
    assert [clip.clip_id for clip in manifest.clips] == ["1-007-A-0", "1-007-B-0", "5-1234-A-41"]
    assert (first.uri, first.labels, first.fold, first.size_bytes) == ("audio/1-007-A-0.wav", ("dog",), 1, 5)
    assert (first.recording_id, first.group, first.columns) == ("007", "007", {"take": "A"})
    assert manifest.labels == ("chainsaw", "dog")


def test_a_changed_file_is_another_data_set(root: Path) -> None:
    before = read_manifest("esc50", root=str(root), name="esc50").dataset
    (root / "audio" / "1-007-A-0.wav").write_bytes(b"longer audio")
    assert read_manifest("esc50", root=str(root), name="esc50").dataset != before


def test_a_moved_tree_is_the_same_data_set(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = read_manifest("esc50", root=str(root), name="esc50").dataset
    moved = root.rename(tmp_path_factory.mktemp("elsewhere") / "tree")
    assert read_manifest("esc50", root=str(moved), name="esc50").dataset == before


def test_a_missing_root_is_refused(root: Path) -> None:
    _expect(root / "nowhere", r"data\.root: got '.*no such folder\)'; allowed: an ESC-50 tree\. Point data\.root at")


def test_a_missing_meta_table_is_refused(root: Path) -> None:
    (root / "meta" / "esc50.csv").unlink()
    _expect(root, r"data\.root: got '.*no meta/esc50\.csv in it\)'; allowed: an ESC-50 tree\. Point data\.root at")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\xff\xfe\x00"])
def test_a_meta_table_that_is_no_csv_is_refused(root: Path, content: bytes) -> None:
    (root / "meta" / "esc50.csv").write_bytes(content)
    _expect(root, r"data\.root: got ['\"].*esc50\.csv \(.*\)['\"]; allowed: a CSV file\. Restore the original table")


def test_a_missing_column_is_refused(root: Path) -> None:
    _write_meta(root, [_HEADER.replace("src_file", "source"), *_ROWS])
    _expect(root, r"esc50\.csv column src_file: got 'missing'; allowed: filename, fold, .*Restore the original table")


@pytest.mark.parametrize("fold", ["", "one", "1.5"])
def test_a_fold_that_is_no_number_is_refused(root: Path, fold: str) -> None:
    _write_meta(root, [_HEADER, *_ROWS[:2], f"5-1234-A-41.wav,{fold},41,chainsaw,True,1234,A"])
    _expect(root, rf"esc50\.csv column fold: got '{fold}'; allowed: a whole number in every row\. Restore")


def test_missing_audio_is_refused_with_its_number_and_first_name(root: Path) -> None:
    for row in _ROWS[:2]:
        (root / "audio" / row.partition(",")[0]).unlink()
    _expect(root, r"data\.root: got '2 of 3 audio files missing, first 1-007-A-0\.wav'; allowed: every file .*Copy")


def test_a_repeated_row_is_refused(root: Path) -> None:
    _write_meta(root, [_HEADER, *_ROWS, _ROWS[0]])
    _expect(root, r"manifest column clip_id: got \['1-007-A-0'\]; allowed: every clip_id once\. Remove")


def test_an_unknown_source_is_refused_with_the_nearest(root: Path) -> None:
    with pytest.raises(InvalidInput, match=r"data\.source: got 'esc5'; allowed: esc50, table\. Did you mean 'esc50'\?"):
        read_manifest("esc5", root=str(root), name="esc50")
    assert list_sources() == ("esc50", "table")


def test_the_real_esc10(esc50_root: Path) -> None:
    manifest = read_manifest("esc50", root=str(esc50_root), name="esc10")
    folds_of_recording = defaultdict(set)
    for clip in manifest.clips:
        folds_of_recording[clip.recording_id].add(clip.fold)
    if len(manifest.labels) != 10:
        pytest.skip("ESC50_ROOT names the full ESC-50")
    assert len(manifest.clips) == 400
    assert {clip.fold for clip in manifest.clips} == {1, 2, 3, 4, 5}
    assert all(len(folds) == 1 for folds in folds_of_recording.values())


def _expect(root: Path, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_manifest("esc50", root=str(root), name="esc50")
    assert "\n" not in str(caught.value)


def _write_meta(root: Path, lines: list[str]) -> None:
    (root / "meta").mkdir(exist_ok=True)
    (root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
