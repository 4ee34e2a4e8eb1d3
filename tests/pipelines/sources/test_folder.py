"""The folder source: the first folder below the root is the label."""

from pathlib import Path

import pytest

from pipelines.sources import check_tree, read_manifest
from pipelines.sources.trees import AUDIO_EXTENSIONS
from storage.errors import InvalidInput
from storage.object_store import ObjectStore, open_store


def test_the_first_folder_is_the_label_however_deep_the_file_lies(store: ObjectStore) -> None:
    for path in ("dog/a.wav", "dog/2026/b.ogg", "cat/a.wav"):
        store.put(path, b"audio")
    manifest = read_manifest("folder", root=store.uri, name="pets")
    assert {clip.uri: clip.labels for clip in manifest.clips} == {
        "cat/a.wav": ("cat",),
        "dog/2026/b.ogg": ("dog",),
        "dog/a.wav": ("dog",),
    }
    first = manifest.clips[0]
    assert (first.clip_id, first.group, first.size_bytes) == ("cat/a.wav", "cat/a", 5)


def test_audio_of_every_kind_is_taken_and_nothing_else(local_uri: str) -> None:
    store = open_store(local_uri)
    for extension in AUDIO_EXTENSIONS:
        store.put(f"dog/{extension}.{extension.upper()}", b"audio")
    for name in ("readme.txt", "cover.jpg", "wav", ".hidden.wav"):
        store.put(f"dog/{name}", b"other")
    manifest = read_manifest("folder", root=local_uri, name="pets")
    assert len(manifest.clips) == len(AUDIO_EXTENSIONS) > 20
    assert check_tree("folder", root=local_uri) == [
        "files that are no audio by their extension and are left out: 3 (dog/cover.jpg, dog/readme.txt, dog/wav)"
    ]


def test_a_file_without_a_folder_is_refused_and_told(store: ObjectStore) -> None:
    for path in ("dog/a.wav", "loose.wav", "stray.mp3"):
        store.put(path, b"audio")
    words = "audio files that lie in no folder and have no label: 2 (loose.wav, stray.mp3)"
    assert check_tree("folder", root=store.uri) == [words]
    with pytest.raises(
        InvalidInput, match=r"no label: 2 \(loose\.wav, stray\.mp3\)\)'; allowed: .* Move every recording"
    ):
        read_manifest("folder", root=store.uri, name="pets")


def test_a_name_that_would_move_the_cursor_is_told_in_plain_letters(local_uri: str) -> None:
    open_store(local_uri).put("\x1b[2J\n.wav", b"audio")
    (words,) = check_tree("folder", root=local_uri)
    assert words.endswith(r"1 ('\x1b[2J\n.wav')")


def test_a_tree_without_audio_is_refused(store: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match=r"data\.root: got '.* \(no such folder\)'"):
        read_manifest("folder", root=store.uri, name="pets")
    store.put("dog/readme.txt", b"other")
    with pytest.raises(InvalidInput, match=r"\(no audio in it\)"):
        read_manifest("folder", root=store.uri, name="pets")


def test_a_tree_of_links_is_read_and_a_dead_link_is_a_clip_without_a_size(local_uri: str, tmp_path: Path) -> None:
    open_store(str(tmp_path / "elsewhere")).put("dogs/a.wav", b"audio")
    Path(local_uri).mkdir()
    Path(local_uri, "dog").symlink_to(tmp_path / "elsewhere" / "dogs")
    Path(tmp_path, "elsewhere", "dogs", "gone.wav").symlink_to("nowhere.wav")
    manifest = read_manifest("folder", root=local_uri, name="pets")
    assert {clip.uri: clip.size_bytes for clip in manifest.clips} == {"dog/a.wav": 5, "dog/gone.wav": None}
    assert check_tree("folder", root=local_uri) == ["links that lead nowhere: 1 (dog/gone.wav)"]
