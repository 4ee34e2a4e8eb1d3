"""The BirdCLEF source: primary and secondary labels of train.csv, and what it says of a broken tree."""

import pytest

from pipelines.manifest import Manifest
from pipelines.sources import check_tree, read_manifest
from storage.errors import InvalidInput
from storage.object_store import ObjectStore

_HEADER = "primary_label,secondary_labels,type,filename,latitude,author"
_ROWS = (
    "1139490,\"['crow', '', 'crow', '1139490', 'owl']\",['call'],1139490/CSA36385.ogg,7.3200,\"Doe, J.\"",
    "owl,[''],,owl/XC1.ogg,,NA",
    "owl,,,owl/XC2.ogg,-1,A",
)


@pytest.fixture
def tree(store: ObjectStore) -> ObjectStore:
    _write(store, _HEADER, *_ROWS)
    for name in ("1139490/CSA36385", "owl/XC1", "owl/XC2"):
        store.put(f"train_audio/{name}.ogg", b"audio")
    return store


def test_labels_are_the_primary_one_and_then_the_secondary_ones_once(tree: ObjectStore) -> None:
    manifest = _manifest(tree)
    assert [clip.labels for clip in manifest.clips] == [("1139490", "crow", "owl"), ("owl",), ("owl",)]
    assert manifest.labels == ("1139490", "crow", "owl")


def test_a_row_becomes_a_clip_whose_columns_stay_the_text_they_are(tree: ObjectStore) -> None:
    first, second, _ = _manifest(tree).clips
    assert (first.clip_id, first.uri) == ("1139490/CSA36385", "train_audio/1139490/CSA36385.ogg")
    assert (first.recording_id, first.group, first.size_bytes, first.fold) == ("CSA36385", "CSA36385", 5, None)
    assert first.columns["latitude"] == "7.3200"
    assert (first.columns["primary_label"], first.columns["author"]) == ("1139490", "Doe, J.")
    assert (second.columns["author"], second.columns["latitude"], second.columns["type"]) == ("NA", None, None)


@pytest.mark.parametrize("cell", ["crow owl", "{'crow'}", "[1, 2]", "['crow'", "__import__('os')", "[" * 5_000])
def test_secondary_labels_that_are_no_list_are_refused(tree: ObjectStore, cell: str) -> None:
    _write(tree, _HEADER, *_ROWS[1:], f'owl,"{cell}",,owl/XC3.ogg,,')
    tree.put("train_audio/owl/XC3.ogg", b"audio")
    _expect(tree, r"train\.csv, column secondary_labels: .* in row 3 is not a list like")


@pytest.mark.parametrize(
    ("column", "row"), [("primary_label", ",[],,owl/XC1.ogg,,"), ("filename", "owl,[],,,,")], ids=["label", "file"]
)
def test_an_empty_cell_is_refused(tree: ObjectStore, column: str, row: str) -> None:
    _write(tree, _HEADER, row)
    _expect(tree, rf"train\.csv, column {column}: '' in row 1 is not a value\)")


def test_missing_files_are_refused_with_their_number_and_names(tree: ObjectStore) -> None:
    tree.delete("train_audio/owl/XC1.ogg")
    _expect(tree, r"files that train\.csv names and train_audio/ does not have: 1 of 3 \(owl/XC1\.ogg\)\).*Restore")


def test_a_missing_tree_table_or_column_is_refused(store: ObjectStore) -> None:
    _expect(store, r"\(no such folder\)")
    store.put("train_audio/owl/XC1.ogg", b"audio")
    _expect(store, r"\(no train\.csv in it\)")
    _write(store, "primary_label,filename", "owl,owl/XC1.ogg")
    _expect(store, r"\(train\.csv has no column secondary_labels\)")


def test_a_sound_tree_has_no_problems(tree: ObjectStore) -> None:
    assert check_tree("birdclef", root=tree.uri) == []


def test_all_that_is_strange_is_told(tree: ObjectStore) -> None:
    tree.put("train_audio/owl/XC9.ogg", b"audio")
    _write(tree, _HEADER, *_ROWS[:2], "crow,oops,,owl/XC2.ogg,,", "owl,[],,owl/XC4.ogg,,")
    assert check_tree("birdclef", root=tree.uri) == [
        "train.csv, column secondary_labels: 'oops' in row 3 is not a list like ['a', 'b']",
        "files that train.csv names and train_audio/ does not have: 1 of 4 (owl/XC4.ogg)",
        "files in train_audio/ that train.csv does not name: 1 (owl/XC9.ogg)",
        "files that do not lie in the folder of their primary label: 1 (owl/XC2.ogg)",
    ]


def _manifest(tree: ObjectStore) -> Manifest:
    return read_manifest("birdclef", root=tree.uri, name="birds")


def _expect(tree: ObjectStore, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        _manifest(tree)
    assert "\n" not in str(caught.value)


def _write(tree: ObjectStore, *lines: str) -> None:
    tree.put("train.csv", ("\n".join(lines) + "\n").encode())
