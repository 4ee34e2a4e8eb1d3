"""Recordings without labels: a file whatever its name, a folder by the extensions, on a disk and on S3."""

from pathlib import Path

import pytest

from pipelines.sources.unlabelled import all_files, one_file
from storage.errors import InvalidInput
from storage.object_store import open_store


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, s3_uri: str) -> str:
    """The same files on a disk or on S3."""
    uri = {"disk": str(tmp_path / "tree"), "s3": f"{s3_uri}/tree"}[request.param]
    for path in ("a.wav", "deep/er/b.flac", "deep/notes.txt", "deep/recording.xyz"):
        open_store(uri).put(path, path.encode())
    return uri


@pytest.mark.parametrize("place", ["disk", "s3"], indirect=True)
class TestAnywhere:
    def test_a_folder_gives_its_audio_files_without_labels(self, place: str) -> None:
        assert one_file(place) is None
        manifest = all_files(place)
        assert [clip.clip_id for clip in manifest.clips] == ["a.wav", "deep/er/b.flac"]
        assert [clip.recording_id for clip in manifest.clips] == ["a", "deep/er/b"]
        assert manifest.labels == ()
        assert set(manifest.left_out) == {"deep/notes.txt", "deep/recording.xyz"}
        assert manifest.dataset.startswith("tree-")

    def test_a_file_is_one_recording_whatever_its_extension(self, place: str) -> None:
        manifest = one_file(f"{place}/deep/recording.xyz")
        assert manifest is not None
        assert [clip.clip_id for clip in manifest.clips] == ["recording.xyz"]
        assert manifest.root == f"{place}/deep"

    def test_a_file_that_was_changed_is_another_data_set(self, place: str) -> None:
        before = all_files(place).dataset
        open_store(place).put("a.wav", b"b.wav")
        assert all_files(place).dataset != before

    def test_a_place_without_audio_is_refused(self, place: str) -> None:
        assert one_file(f"{place}/nowhere") is None
        with pytest.raises(InvalidInput, match=r"files: got '.*/nowhere \((no such file or folder|nothing)\)'"):
            all_files(f"{place}/nowhere")
        open_store(f"{place}/quiet").put("notes.txt", b"")
        with pytest.raises(InvalidInput, match="1 files, none of them audio"):
            all_files(f"{place}/quiet")


def test_a_whole_bucket_is_a_folder(s3_uri: str) -> None:
    bucket = s3_uri.removesuffix("/prefix")
    open_store(bucket).put("a.wav", b"")
    assert one_file(bucket) is None
    assert [clip.clip_id for clip in all_files(bucket).clips] == ["a.wav"]


def test_a_form_that_nothing_reads_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"files: got 'https://example\.org/a\.wav'"):
        one_file("https://example.org/a.wav")
