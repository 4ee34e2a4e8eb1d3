"""The csv source: any CSV, TSV or Parquet file with a uri and a label in every row, on a disk and on S3."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.manifest import Clip, Manifest
from pipelines.sources import check_tree, read_manifest
from storage.errors import InvalidInput
from storage.object_store import ObjectStore, open_store


@pytest.fixture
def folder(store: ObjectStore) -> ObjectStore:
    store.put("a.wav", b"audio")
    return store


def test_a_uri_and_a_label_are_enough(folder: ObjectStore) -> None:
    manifest = _manifest(folder, "uri,label", "a.wav,dog", "sub/b.wav,cat")
    assert manifest.root == folder.uri
    assert dataclasses.replace(manifest.clips[0], content="") == Clip(
        clip_id="a.wav", recording_id="a", uri="a.wav", labels=("dog",), group="a", size_bytes=5
    )
    assert manifest.clips[1].size_bytes is None  # it is not there: the pipeline will say so, clip by clip


def test_all_own_columns_are_taken_and_others_travel_along(folder: ObjectStore) -> None:
    (clip,) = _manifest(
        folder,
        "clip_id,recording_id,uri,label,offset_s,duration_s,fold,group,snr_db,speaker,noisy,note",
        "c1,r1,a.wav,dog,1.5,2,3,g1,-4.5,s1,True,",
    ).clips
    assert (clip.clip_id, clip.recording_id, clip.group, clip.fold) == ("c1", "r1", "g1", 3)
    assert (clip.offset_s, clip.duration_s) == (1.5, 2.0)
    assert clip.columns == {"snr_db": -4.5, "speaker": "s1", "noisy": True, "note": None}


def test_empty_optional_cells_take_their_defaults(folder: ObjectStore) -> None:
    header = "clip_id,recording_id,uri,label,offset_s,duration_s,fold,group"
    first, second = _manifest(folder, header, ",,a.wav,dog,,,,", "c2,r2,b.wav,dog,1,2,3,g2").clips
    assert (first.clip_id, first.recording_id, first.group) == ("a.wav", "a", "a")
    assert (first.offset_s, first.duration_s, first.fold) == (0.0, None, None)
    assert second.fold == 3


def test_several_labels_are_separated_by_bars(folder: ObjectStore) -> None:
    manifest = _manifest(folder, "uri,labels", "a.wav,dog|rain", "b.wav,cat")
    assert [clip.labels for clip in manifest.clips] == [("dog", "rain"), ("cat",)]


def test_what_looks_like_a_number_or_nothing_stays_the_text_it_is(folder: ObjectStore) -> None:
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


def test_a_row_that_is_added_changes_no_other_one(folder: ObjectStore) -> None:
    header, first = "uri,label,age,note", "a.wav,dog,23,007"
    (alone,) = _manifest(folder, header, first).clips
    beside = _manifest(folder, header, first, "b.wav,dog,,3.5", "c.wav,cat,old,NA").clips
    assert beside[0] == alone
    assert [clip.columns for clip in beside] == [
        {"age": 23, "note": "007"},
        {"age": None, "note": 3.5},
        {"age": "old", "note": "NA"},
    ]


def test_a_label_that_is_given_twice_is_one(folder: ObjectStore) -> None:
    (clip,) = _manifest(folder, "uri,labels", "a.wav,dog|cat|dog").clips
    assert clip.labels == ("dog", "cat")


def test_a_list_with_an_empty_label_is_refused(folder: ObjectStore, tmp_path: Path) -> None:
    pd.DataFrame({"uri": ["a.wav"], "labels": [["dog", None]]}).to_parquet(tmp_path / "t.parquet")
    folder.put("t.parquet", (tmp_path / "t.parquet").read_bytes())
    with pytest.raises(InvalidInput, match=r"manifest column labels, row 1: .*without empty entries"):
        read_manifest("csv", root=f"{folder.uri}/t.parquet", name="t")


def test_a_row_with_more_cells_than_the_header_is_refused(folder: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match="a row has more cells than the header"):
        _manifest(folder, "uri,label", "a.wav,dog,howl", "b.wav,dog,bark")


def test_parquet_is_read_too_with_lists_of_labels_and_numbers_for_ids(folder: ObjectStore) -> None:
    table = pd.DataFrame(
        {
            "uri": ["a.wav", "b.wav"],
            "labels": [["dog", "rain"], ["cat"]],
            "clip_id": pd.array([7, 8], dtype="Int64"),
            "group": pd.array([1, None], dtype="Int64"),
            "recorded": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        }
    )
    folder.put("clips.parquet", table.to_parquet())
    first, second = read_manifest("csv", root=f"{folder.uri}/clips.parquet", name="clips").clips
    assert (first.clip_id, first.labels, first.group) == ("7", ("dog", "rain"), "1")
    assert (second.labels, second.group) == (("cat",), "b")
    assert first.columns == {"recorded": "2026-01-01 00:00:00"}


def test_any_table_has_a_dataset_id(folder: ObjectStore) -> None:
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
        (
            ["uri,label", "a.wav,", ",dog", "b.wav,"],
            r"column label: got 'empty in row 1'; .*Fill it\. jobs/check\.py lists 2 more\.",
        ),
        (["uri,label", "a.wav,dog", "a.wav,cat"], r"column clip_id: got \['a\.wav'\]; allowed: every clip_id once"),
        (["uri,label,fold", "a.wav,dog,one"], r"column fold, row 1: got 'one'; allowed: a number\. Correct"),
        (["uri,label,fold", "a.wav,dog,1.5"], r"column fold, row 1: got '1\.5'; allowed: a whole number\. Correct"),
        (["uri,label,offset_s", "a.wav,dog,early"], r"column offset_s, row 1: got 'early'; allowed: a number\."),
        (["uri,label,duration_s", "a.wav,dog,inf"], r"column duration_s, row 1: got 'inf'; allowed: a number\."),
        (["uri,label", "http://[x/a.wav,dog"], r"column uri, row 1: got 'http://\[x/a\.wav'; allowed: an address with"),
        (["uri,label", "s3:///a.wav,dog"], r"column uri, row 1: got 's3:///a\.wav'; allowed: an address with a bucket"),
        (["uri,label", "gs://x/a.wav,dog"], r"column uri, row 1: got 'gs://x/a\.wav'; allowed: a path, file://, s3://"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(folder: ObjectStore, lines: list[str], message: str) -> None:
    _expect(message, _manifest, folder, *lines)


def test_a_missing_table_is_refused(folder: ObjectStore) -> None:
    _expect(
        r"data\.root: got '.*nowhere\.csv'; allowed: a CSV, TSV or Parquet file\. Check the path",
        read_manifest,
        "csv",
        root=f"{folder.uri}/nowhere.csv",
        name="clips",
    )


@pytest.mark.usefixtures("s3_server")
def test_a_bucket_in_the_place_of_a_table_is_refused() -> None:
    _expect(r"data\.root: got 's3://bucket'; allowed: a file", read_manifest, "csv", root="s3://bucket/", name="clips")


def test_a_folder_in_the_place_of_a_table_is_refused(tmp_path: Path) -> None:
    _expect(r"data\.root: got '.* \(it is a folder\)'", read_manifest, "csv", root=str(tmp_path), name="clips")


@pytest.mark.parametrize("name", ["clips.csv", "clips.parquet"])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\xff\xfe\x00", b'uri,label\n"a.wav,dog\n'])
def test_a_file_that_is_no_table_is_refused(folder: ObjectStore, name: str, content: bytes) -> None:
    folder.put(name, content)
    _expect(
        r"data\.root: got ['\"].*clips\.\w+ \(.*\)['\"]; allowed: a CSV, TSV or Parquet file\. Repair or convert",
        read_manifest,
        "csv",
        root=f"{folder.uri}/{name}",
        name="clips",
    )


def test_tabs_separate_the_cells_of_a_tsv(folder: ObjectStore) -> None:
    folder.put("clips.TSV", b"uri\tlabel\na.wav\tdog, barking\n")
    (clip,) = read_manifest("csv", root=f"{folder.uri}/clips.TSV", name="clips").clips
    assert clip.labels == ("dog, barking",)


def test_uris_may_lie_anywhere_and_their_sizes_are_seen(
    folder: ObjectStore, s3_uri: str, local_uri: str, web_site: Any
) -> None:
    open_store(s3_uri).put("x.wav", b"1234")
    open_store(local_uri).put("y.wav", b"123")
    web_site.files["z.wav"] = b"12"
    uris = (f"{s3_uri}/x.wav", f"file://{local_uri}/y.wav", f"{local_uri}/y.wav", f"{web_site.url}/z.wav?v=1", "a.wav")
    web_site.files["z.wav?v=1"] = b"12"
    manifest = _manifest(folder, "uri,label", *(f"{uri},dog" for uri in uris))
    assert {clip.uri: clip.size_bytes for clip in manifest.clips} == dict(zip(uris, (4, 3, 3, 2, 5), strict=True))
    assert {clip.recording_id for clip in manifest.clips} == {"a", "x", "y", "z"}


def test_the_endpoint_travels_with_the_manifest(
    folder: ObjectStore, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _manifest(folder, "uri,label", "a.wav,dog")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    manifest = read_manifest("csv", root=f"{folder.uri}/clips.csv", name="clips", endpoint_url=s3_server)
    assert manifest.endpoint_url == s3_server
    assert manifest.dataset == plain.dataset


def test_a_linked_table_names_files_beside_the_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "clips.csv").write_text("uri,label\na.wav,dog\n")
    (tmp_path / "clips.csv").symlink_to("elsewhere/clips.csv")
    (tmp_path / "a.wav").write_bytes(b"audio")
    (clip,) = read_manifest("csv", root=str(tmp_path / "clips.csv"), name="clips").clips
    assert clip.size_bytes == 5


class TestCheck:
    def test_a_sound_table_has_no_problems(self, folder: ObjectStore, web_site: Any) -> None:
        web_site.files["b.wav"] = b"12"
        web_site.tells_size = web_site.gives_ranges = False
        assert self._check(folder, "uri,label", "a.wav,dog", f"{web_site.url}/b.wav,dog") == []

    def test_every_problem_is_told(self, folder: ObjectStore, web_site: Any) -> None:
        rows = (
            "a.wav,dog,1",
            "a.wav,cat,1",
            "gone.wav,dog,1",
            f"{web_site.url}/gone.wav,dog,1",
            ",dog,1",
            "a.wav,dog,x",
        )
        words = self._check(folder, "uri,label,fold", *rows)
        assert words == [
            "manifest column uri: empty in row 5; allowed: a value in every row",
            "manifest column fold, row 6: x; allowed: a number",
            "manifest column clip_id: a.wav more than once; allowed: every clip_id once",
            f"files that clips.csv names and that are missing: 2 (gone.wav, {web_site.url}/gone.wav)",
        ]

    def test_what_is_no_table_is_told(self, folder: ObjectStore) -> None:
        (words,) = self._check(folder, "file,label", "a.wav,dog")
        assert words.startswith("manifest column uri: missing in ")

    @staticmethod
    def _check(folder: ObjectStore, *lines: str) -> list[str]:
        folder.put("clips.csv", ("\n".join(lines) + "\n").encode())
        return check_tree("csv", root=f"{folder.uri}/clips.csv")


def _manifest(folder: ObjectStore, *lines: str) -> Manifest:
    folder.put("clips.csv", ("\n".join(lines) + "\n").encode())
    return read_manifest("csv", root=f"{folder.uri}/clips.csv", name="clips")


def _expect(message: str, read: Any, *arguments: Any, **named: Any) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read(*arguments, **named)
    assert "\n" not in str(caught.value)
