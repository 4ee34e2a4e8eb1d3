"""Marks of content: another content is another data set, wherever it lies; the same content is the same one."""

from pathlib import Path

import pytest

from pipelines.files.content_marks import mark_contents
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from storage.errors import UnreadableFile
from storage.object_store import ObjectStore, open_store


def _dataset(root: str, uri: str = "a.wav") -> str:
    clip = Clip(clip_id="a", recording_id="a", uri=uri, labels=("dog",))
    return mark_contents(Manifest(name="corpus", root=root, clips=(clip,)), Recordings(root)).dataset


@pytest.mark.parametrize("size_bytes", [10, 441_044, 1024 * 1024 + 1, 3_000_000])
def test_another_content_of_the_same_size_is_another_data_set(store: ObjectStore, size_bytes: int) -> None:
    store.put("a.wav", b"a" * size_bytes)
    before = _dataset(store.uri)
    assert _dataset(store.uri) == before
    store.put("a.wav", b"b" * size_bytes)
    assert _dataset(store.uri) != before


@pytest.mark.parametrize("position", [0, 290_000, 599_999])
def test_a_single_byte_of_a_short_file_is_noticed(tmp_path: Path, position: int) -> None:
    content = bytearray(600_000)
    (tmp_path / "a.wav").write_bytes(content)
    before = _dataset(str(tmp_path))
    content[position] = 1
    (tmp_path / "a.wav").write_bytes(content)
    assert _dataset(str(tmp_path)) != before


@pytest.mark.parametrize("position", [0, 16 * 1024, 17_000_000, 38_400_000 - 1024 * 1024])
def test_a_mebibyte_of_a_long_file_is_noticed_wherever_it_lies(tmp_path: Path, position: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(38_400_000))  # ten minutes at 32 kHz
    before = _dataset(str(tmp_path))
    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"x" * 1024 * 1024)
    assert _dataset(str(tmp_path)) != before


def test_an_object_has_its_mark_however_it_is_named(s3_uri: str) -> None:
    open_store(s3_uri).put("a.wav", b"audio")
    by_name, by_address = (
        mark_contents(
            Manifest(
                name="corpus", root=s3_uri, clips=(Clip(clip_id="a", recording_id="a", uri=uri, labels=("dog",)),)
            ),
            Recordings(s3_uri),
        )
        for uri in ("a.wav", f"{s3_uri}/a.wav")
    )
    assert by_name.clips[0].content == by_address.clips[0].content != ""


def test_a_moved_tree_is_the_same_data_set(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"audio")
    assert _dataset(str(tmp_path / "here")) == _dataset(str(tmp_path / "there"))


def test_a_small_file_has_the_same_mark_on_a_disk_and_on_s3(tmp_path: Path, s3_uri: str) -> None:
    for store in (open_store(str(tmp_path)), open_store(s3_uri)):
        store.put("a.wav", b"a" * 512 * 1024)
    assert _dataset(str(tmp_path)) == _dataset(s3_uri)


def test_a_missing_file_goes_unmarked(tmp_path: Path) -> None:
    clips = tuple(Clip(clip_id=uri, recording_id=uri, uri=uri, labels=("dog",)) for uri in ("gone.wav", "a.wav"))
    (tmp_path / "a.wav").write_bytes(b"audio")
    marked = mark_contents(Manifest(name="corpus", root=str(tmp_path), clips=clips), Recordings(str(tmp_path)))
    assert {clip.clip_id: bool(clip.content) for clip in marked.clips} == {"a.wav": True, "gone.wav": False}


def test_a_folder_in_place_of_a_file_goes_unmarked(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",))
    manifest = Manifest(name="corpus", root=str(tmp_path), clips=(clip,))
    assert mark_contents(manifest, Recordings(str(tmp_path))).clips[0].content == ""


def test_a_file_without_permission_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.wav").write_bytes(b"audio")
    monkeypatch.setattr(Path, "open", refuse)  # root, who may run the tests, reads every file
    with pytest.raises(UnreadableFile, match=r"a\.wav: Permission denied"):
        _dataset(str(tmp_path))


def test_a_file_of_several_clips_is_looked_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"audio")
    clips = tuple(
        Clip(clip_id=str(number), recording_id="a", uri="a.wav", labels=("dog",), offset_s=number)
        for number in range(3)
    )
    told: list[tuple[int, int]] = []
    manifest = Manifest(name="corpus", root=str(tmp_path), clips=clips)
    mark_contents(manifest, Recordings(str(tmp_path)), on_progress=lambda done, in_all: told.append((done, in_all)))
    assert told == [(1, 1)]
