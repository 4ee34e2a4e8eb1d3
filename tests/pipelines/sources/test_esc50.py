"""The ESC-50 source: its tree as published, on a disk and on S3, and what it says of a broken one."""

from collections import defaultdict
from pathlib import Path

import pytest

from pipelines.manifest import Manifest
from pipelines.sources import check_tree, list_sources, read_manifest
from storage.errors import InvalidInput
from storage.object_store import ObjectStore, open_store

_HEADER = "filename,fold,target,category,esc10,src_file,take"
_ROWS = (
    "1-007-A-0.wav,1,0,dog,True,007,A",
    "1-007-B-0.wav,1,0,dog,True,007,B",
    "5-1234-A-41.wav,5,41,chainsaw,True,1234,A",
)


@pytest.fixture
def tree(store: ObjectStore) -> ObjectStore:
    _write_meta(store, _HEADER, *_ROWS)
    for row in _ROWS:
        store.put(f"audio/{row.partition(',')[0]}", b"audio")
    return store


def test_a_tree_becomes_a_manifest(tree: ObjectStore) -> None:
    manifest = _manifest(tree)
    first = manifest.clips[0]
    assert [clip.clip_id for clip in manifest.clips] == ["1-007-A-0", "1-007-B-0", "5-1234-A-41"]
    assert (first.uri, first.labels, first.fold, first.size_bytes) == ("audio/1-007-A-0.wav", ("dog",), 1, 5)
    assert (first.recording_id, first.group, first.columns) == ("007", "007", {"take": "A"})
    assert manifest.labels == ("chainsaw", "dog")
    assert manifest.root == tree.uri


def test_a_changed_file_is_another_data_set(tree: ObjectStore) -> None:
    before = _manifest(tree).dataset
    tree.put("audio/1-007-A-0.wav", b"longer audio")
    assert _manifest(tree).dataset != before


def test_a_copied_tree_is_the_same_data_set(tree: ObjectStore, tmp_path: Path) -> None:
    copy = open_store(str(tmp_path / "copy"))
    for info in tree.list(""):
        copy.put(info.key, tree.get(info.key))
    assert _manifest(copy).dataset == _manifest(tree).dataset


@pytest.mark.parametrize("columns", ["filename,fold,category,src_file,take", _HEADER])
def test_only_the_columns_that_are_needed_must_be_there(tree: ObjectStore, columns: str) -> None:
    rows = [dict(zip(_HEADER.split(","), row.split(","), strict=True)) for row in _ROWS]
    _write_meta(tree, columns, *(",".join(row[column] for column in columns.split(",")) for row in rows))
    assert len(_manifest(tree).clips) == 3


class TestRefusals:
    def test_a_missing_root(self, store: ObjectStore) -> None:
        _expect(store, r"data\.root: got '.* \(no such folder\)'; allowed: an ESC-50 tree\. Point data\.root at")

    def test_a_missing_meta_table(self, tree: ObjectStore) -> None:
        tree.delete("meta/esc50.csv")
        _expect(tree, r"got '.* \(no meta/esc50\.csv in it\)'; allowed: an ESC-50 tree\. Point data\.root at")

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\xff\xfe\x00"])
    def test_a_meta_table_that_is_no_csv(self, tree: ObjectStore, content: bytes) -> None:
        tree.put("meta/esc50.csv", content)
        _expect(tree, r"meta/esc50\.csv is no CSV file: .*\)['\"]; allowed: an ESC-50 tree")

    def test_a_meta_table_without_rows(self, tree: ObjectStore) -> None:
        _write_meta(tree, _HEADER)
        _expect(tree, r"\(meta/esc50\.csv has no rows\)")

    def test_a_missing_column(self, tree: ObjectStore) -> None:
        _write_meta(tree, _HEADER.replace("src_file", "source"), *_ROWS)
        _expect(tree, r"\(meta/esc50\.csv has no column src_file\)")

    @pytest.mark.parametrize("fold", ["", "one", "1.5"])
    def test_a_fold_that_is_no_number(self, tree: ObjectStore, fold: str) -> None:
        _write_meta(tree, _HEADER, *_ROWS[:2], f"5-1234-A-41.wav,{fold},41,chainsaw,True,1234,A")
        _expect(tree, rf"meta/esc50\.csv, column fold: '{fold}' in row 3 is not a whole number\)")

    @pytest.mark.parametrize("column", ["filename", "category", "src_file"])
    def test_an_empty_cell(self, tree: ObjectStore, column: str) -> None:
        cells = dict(zip(_HEADER.split(","), _ROWS[1].split(","), strict=True)) | {column: ""}
        _write_meta(tree, _HEADER, _ROWS[0], ",".join(cells.values()), _ROWS[2])
        _expect(tree, rf"meta/esc50\.csv, column {column}: '' in row 2 is not a value\)")

    def test_missing_audio_with_its_number_and_names(self, tree: ObjectStore) -> None:
        for row in _ROWS[:2]:
            tree.delete(f"audio/{row.partition(',')[0]}")
        _expect(
            tree,
            r"names and audio/ does not have: 2 of 3 \(1-007-A-0\.wav, 1-007-B-0\.wav\)\)"
            r".* Restore the original table and files\.",
        )

    def test_a_name_that_leads_out_of_the_tree(self, tree: ObjectStore) -> None:
        _write_meta(tree, _HEADER, *_ROWS, "../meta/esc50.csv,1,0,dog,True,007,A")
        _expect(tree, r"audio/ does not have: 1 of 4 \(\.\./meta/esc50\.csv\)\)")

    def test_a_repeated_row(self, tree: ObjectStore) -> None:
        _write_meta(tree, _HEADER, *_ROWS, _ROWS[0])
        _expect(tree, r"\(meta/esc50\.csv names 1-007-A-0 more than once\)")

    def test_several_problems_are_the_first_and_how_many_more(self, tree: ObjectStore) -> None:
        _write_meta(tree, _HEADER, *_ROWS, "5-1-A-41.wav,five,41,chainsaw,True,1234,A", "5-2-A-41.wav,1,41,,True,1,A")
        _expect(tree, r"\(meta/esc50\.csv, column category: '' in row 5 is not a value; jobs/check\.py lists 2 more\)")


class TestCheck:
    @pytest.mark.parametrize(("num_classes", "per_fold"), [(50, 400), (10, 80)])
    def test_trees_of_the_published_shapes_are_sound(
        self, num_classes: int, per_fold: int, monkeypatch: pytest.MonkeyPatch, local_uri: str
    ) -> None:
        store = open_store(local_uri)
        folder = Path(local_uri, "audio")
        folder.mkdir(parents=True)
        rows = []
        for number in range(5 * per_fold):
            fold, target = 1 + number % 5, (number // 5) % num_classes
            rows.append(f"{fold}-{number}-A-{target}.wav,{fold},{target},class {target},False,{number},A")
            (folder / rows[-1].partition(",")[0]).touch()
        _write_meta(store, _HEADER, *rows)
        assert _check(store) == []

    def test_wrong_counts_are_told(self, tree: ObjectStore) -> None:
        words = _check(tree)
        assert words[:3] == [
            "3 clips; ESC-10 has 400",
            "2 classes; ESC-10 has 10",
            "fold 1 has 2 clips; in ESC-10 it has 80",
        ]
        assert len(words) == 2 + 5

    def test_files_that_the_table_does_not_name_are_told(self, tree: ObjectStore) -> None:
        tree.put("audio/5-9-A-1.wav", b"audio")
        assert "files in audio/ that meta/esc50.csv does not name: 1 (5-9-A-1.wav)" in _check(tree)

    def test_names_off_the_pattern_and_names_unlike_their_row_are_told(self, tree: ObjectStore) -> None:
        rows = ["5-1234-A-41.wav,4,40,chainsaw,True,1235,B", "dog.wav,9,0,dog,True,007,A"]
        _write_meta(tree, _HEADER, *_ROWS[:2], *rows)
        tree.put("audio/dog.wav", b"audio")
        words = _check(tree)
        for column in ("fold", "src_file", "take", "target"):
            assert f"file names whose {column} is not that of their row: 1 (5-1234-A-41.wav)" in words
        assert "file names off the pattern <fold>-<src_file>-<take>-<target>: 1 (dog.wav)" in words
        assert "folds that are none of 1 to 5: 1 (9)" in words

    def test_it_begins_with_all_that_the_manifest_refuses(self, tree: ObjectStore) -> None:
        _write_meta(tree, _HEADER, *_ROWS, "5-1-A-41.wav,five,41,chainsaw,True,1234,A")
        assert _check(tree)[:2] == [
            "meta/esc50.csv, column fold: 'five' in row 4 is not a whole number",
            "files that meta/esc50.csv names and audio/ does not have: 1 of 4 (5-1-A-41.wav)",
        ]

    def test_an_empty_root_is_told(self, store: ObjectStore) -> None:
        assert _check(store) == ["no such folder"]


def test_an_unknown_source_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"data\.source: got 'esc5'; allowed: birdclef, .* Did you mean 'esc50'\?"):
        read_manifest("esc5", root=str(tmp_path), name="esc50")
    assert list_sources() == ("birdclef", "csv", "emodb", "esc50", "folder", "genres", "radioml", "synthetic")


def test_the_real_esc10(esc50_root: Path) -> None:
    manifest = read_manifest("esc50", root=str(esc50_root), name="esc10")
    folds_of_recording = defaultdict(set)
    for clip in manifest.clips:
        folds_of_recording[clip.recording_id].add(clip.fold)
    if len(manifest.labels) != 10:
        pytest.skip("ESC50_ROOT names the full ESC-50")
    assert len(manifest.clips) == 400
    assert check_tree("esc50", root=str(esc50_root)) == []
    assert {clip.fold for clip in manifest.clips} == {1, 2, 3, 4, 5}
    assert all(len(folds) == 1 for folds in folds_of_recording.values())


def _manifest(tree: ObjectStore) -> Manifest:
    return read_manifest("esc50", root=tree.uri, name="esc50")


def _check(tree: ObjectStore) -> list[str]:
    return check_tree("esc50", root=tree.uri)


def _expect(tree: ObjectStore, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        _manifest(tree)
    assert "\n" not in str(caught.value)


def _write_meta(tree: ObjectStore, *lines: str) -> None:
    tree.put("meta/esc50.csv", ("\n".join(lines) + "\n").encode())
