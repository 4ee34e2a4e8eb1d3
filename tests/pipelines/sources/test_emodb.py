"""The EmoDB source: speaker, text, emotion and take out of file names, and what it says of names off the pattern."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.manifest import Manifest
from pipelines.sources import check_tree, read_manifest
from storage.errors import InvalidInput
from storage.object_store import ObjectStore, open_store

_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")


def test_a_name_tells_speaker_text_emotion_and_take(store: ObjectStore) -> None:
    (clip,) = _manifest(store, ["03a01Fa.wav"]).clips
    assert (clip.clip_id, clip.recording_id, clip.uri, clip.size_bytes) == ("03a01Fa", "03a01Fa", "wav/03a01Fa.wav", 5)
    assert (clip.labels, clip.group) == (("happiness",), "03")
    assert clip.columns == {"speaker": "03", "text": "a01", "take": "a"}


@pytest.mark.parametrize(
    ("letter", "emotion"),
    [
        ("W", "anger"),
        ("L", "boredom"),
        ("E", "disgust"),
        ("A", "anxiety"),
        ("F", "happiness"),
        ("T", "sadness"),
        ("N", "neutral"),
    ],
)
def test_every_letter_is_its_emotion(store: ObjectStore, letter: str, emotion: str) -> None:
    assert _manifest(store, [f"16b10{letter}d.WAV"]).labels == (emotion,)


def test_all_clips_of_a_speaker_are_one_group(store: ObjectStore) -> None:
    manifest = _manifest(store, ["03a01Fa.wav", "03b02Wb.wav", "08a01Fa.wav"])
    assert [clip.group for clip in manifest.clips] == ["03", "03", "08"]


@pytest.mark.parametrize(
    "name", ["03a01Xa", "3a01Fa", "03a01F", "03a01Fab", "03a01fa", "AAa01Fa", "03101Fa", "03a01F1"]
)
def test_a_name_off_the_pattern_is_refused(store: ObjectStore, name: str) -> None:
    with pytest.raises(
        InvalidInput, match=rf"off the pattern of 03a01Fa\.wav: 1 \(wav/{name}\.wav\)\)'; allowed: an Emo"
    ):
        _manifest(store, ["03a01Fa.wav", f"{name}.wav"])


@pytest.mark.parametrize(("files", "told"), [([], "no such folder"), (["../03a01Fa.wav"], r"no wav/\*\.wav in it")])
def test_a_tree_without_recordings_is_refused(tmp_path: Path, files: list[str], told: str) -> None:
    (tmp_path / "tree" / "wav").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=rf"data\.root: got '.* \({told}\)'; allowed: an EmoDB tree"):
        _manifest(open_store(str(tmp_path / "tree" if files else tmp_path / "nowhere")), files)


def test_a_link_that_leads_nowhere_is_a_clip_without_a_size_and_told(local_uri: str) -> None:
    _fill(open_store(local_uri), ["03a01Fa.wav"])
    Path(local_uri, "wav", "03a02Fa.wav").symlink_to("nowhere.wav")
    manifest = read_manifest("emodb", root=local_uri, name="emodb")
    assert [clip.size_bytes for clip in manifest.clips] == [5, None]
    assert "links that lead nowhere: 1 (wav/03a02Fa.wav)" in check_tree("emodb", root=local_uri)


class TestCheck:
    def test_a_tree_of_the_published_shape_is_sound(self, local_uri: str) -> None:
        store = open_store(local_uri)
        texts = [f"{letter}{number:02d}" for letter in "ab" for number in range(1, 6)]
        names = [f"{speaker}{text}{emotion}a.wav" for speaker in _SPEAKERS for text in texts for emotion in "WLEATN"]
        _fill(store, names[:535])
        assert check_tree("emodb", root=store.uri) == ["9 speakers; EmoDB has 10"]
        _fill(store, [names[-1]])
        store.delete(f"wav/{names[0]}")
        assert check_tree("emodb", root=store.uri) == []

    def test_other_counts_and_audio_elsewhere_are_told(self, store: ObjectStore) -> None:
        _fill(store, ["03a01Fa.wav", "../extra.wav", "deep/03a01Fb.wav", "x.mp3", "notes.txt", "bad.wav"])
        assert check_tree("emodb", root=store.uri) == [
            "file names off the pattern of 03a01Fa.wav: 1 (wav/bad.wav)",
            "audio files that are no wav/*.wav and are left out: 3 (extra.wav, wav/deep/03a01Fb.wav, wav/x.mp3)",
            "2 clips; EmoDB has 535",
            "1 speakers; EmoDB has 10",
        ]

    def test_an_empty_root_is_told(self, store: ObjectStore) -> None:
        assert check_tree("emodb", root=store.uri) == ["no such folder"]


def _manifest(store: ObjectStore, names: Sequence[str]) -> Manifest:
    _fill(store, names)
    return read_manifest("emodb", root=store.uri, name="emodb")


def _fill(store: ObjectStore, names: Sequence[str]) -> None:
    for name in names:
        store.put(name.removeprefix("../") if name.startswith("../") else f"wav/{name}", b"audio")
