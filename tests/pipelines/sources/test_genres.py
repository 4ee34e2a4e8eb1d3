"""The genres source: genre and subgenre are folders; the root may be WAV or the folder above it."""

from typing import Any

import pytest

from pipelines.sources import check_tree, read_manifest
from storage.errors import InvalidInput
from storage.object_store import ObjectStore

_TRACKS = ("House/Deep/one.mp3", "House/Deep/one.wav", "House/Tech/two.flac", "Techno/Acid/three.ogg")


@pytest.fixture
def tree(store: ObjectStore) -> ObjectStore:
    for track in _TRACKS:
        store.put(f"WAV/{track}", b"audio")
    return store


def test_every_track_is_a_clip_labelled_by_its_folders(tree: ObjectStore) -> None:
    manifest = read_manifest("genres", root=tree.uri, name="music")
    first = manifest.clips[0]
    assert [clip.clip_id for clip in manifest.clips] == sorted(_TRACKS)
    assert (first.uri, first.labels, first.size_bytes) == ("House/Deep/one.mp3", ("House/Deep",), 5)
    assert first.columns == {"genre": "House", "subgenre": "Deep"}
    assert manifest.root == f"{tree.uri}/WAV"


def test_one_track_in_two_formats_is_one_recording(tree: ObjectStore) -> None:
    groups = {clip.clip_id: clip.group for clip in read_manifest("genres", root=tree.uri, name="music").clips}
    assert groups["House/Deep/one.mp3"] == groups["House/Deep/one.wav"] == "House/Deep/one"
    assert len(set(groups.values())) == 3


def test_both_roots_give_the_same_data_set(tree: ObjectStore) -> None:
    above = read_manifest("genres", root=tree.uri, name="music")
    assert read_manifest("genres", root=f"{tree.uri}/WAV/", name="music") == above


@pytest.mark.parametrize(
    ("label_level", "labels"),
    [
        ("genre/subgenre", ("House/Deep", "House/Tech", "Techno/Acid")),
        ("genre", ("House", "Techno")),
        ("subgenre", ("Acid", "Deep", "Tech")),
    ],
)
def test_the_level_of_the_label_may_be_chosen(tree: ObjectStore, label_level: Any, labels: tuple[str, ...]) -> None:
    assert read_manifest("genres", root=tree.uri, name="music", label_level=label_level).labels == labels


def test_a_level_that_does_not_exist_or_of_another_source_is_refused(tree: ObjectStore) -> None:
    level: Any = "artist"
    with pytest.raises(
        InvalidInput, match=r"data\.label_level: got 'artist'; allowed: genre/subgenre, genre, subgenre"
    ):
        read_manifest("genres", root=tree.uri, name="music", label_level=level)
    with pytest.raises(InvalidInput, match=r"data\.label_level: got 'genre'; allowed: null for data\.source=folder"):
        read_manifest("folder", root=tree.uri, name="music", label_level="genre")


@pytest.mark.parametrize("track", ["WAV/loose.mp3", "WAV/House/loose.mp3", "WAV/House/Deep/album/deep.mp3"])
def test_a_track_in_another_place_is_refused(tree: ObjectStore, track: str) -> None:
    tree.put(track, b"audio")
    path = track.removeprefix("WAV/")
    with pytest.raises(InvalidInput, match=rf"do not lie in <genre>/<subgenre>/: 1 \({path}\)\).* Move every track"):
        read_manifest("genres", root=tree.uri, name="music")


def test_a_tree_without_audio_is_refused(store: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match=r"\(no such folder\)'; allowed: a tree of <genre>/<subgenre>/<track>"):
        read_manifest("genres", root=store.uri, name="music")
    store.put("WAV/House/Deep/cover.jpg", b"picture")
    with pytest.raises(InvalidInput, match=r"\(no audio in it\)"):
        read_manifest("genres", root=store.uri, name="music")


def test_a_sound_tree_has_no_problems(tree: ObjectStore) -> None:
    tree.put("WAV/House/Deep/cover.jpg", b"picture")
    assert check_tree("genres", root=tree.uri) == check_tree("genres", root=f"{tree.uri}/WAV") == []


def test_all_that_is_strange_is_told(tree: ObjectStore) -> None:
    for path in ("WAV/loose.mp3", "WAV/Techno/Deep/four.mp3", "demo.wav"):
        tree.put(path, b"audio")
    assert check_tree("genres", root=tree.uri) == [
        "audio files that do not lie in <genre>/<subgenre>/: 1 (loose.mp3)",
        "audio files outside WAV/ that are left out: 1 (demo.wav)",
        "subgenres of more than one genre: 1 (Deep)",
    ]
