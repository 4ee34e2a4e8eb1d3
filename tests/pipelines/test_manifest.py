"""The manifest: what makes a data set the same data set, and what it refuses."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.manifest import Clip, Manifest, shards
from storage.errors import InvalidInput


def _clip(clip_id: str, **columns: Any) -> Clip:
    return Clip(
        **{"clip_id": clip_id, "recording_id": f"r{clip_id}", "uri": f"{clip_id}.wav", "labels": ("dog",)} | columns
    )


def _manifest(*clips: Clip, root: str = "/data", name: str = "barks") -> Manifest:
    return Manifest(name=name, root=root, clips=clips)


def test_a_moved_tree_is_the_same_data_set() -> None:
    assert _manifest(_clip("a"), root="/here").dataset == _manifest(_clip("a"), root="/there").dataset


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert _manifest(_clip("a"), _clip("b")) == _manifest(_clip("b"), _clip("a"))


def test_the_dataset_id_begins_with_the_name() -> None:
    assert _manifest(_clip("a")).dataset.startswith("barks-")


@pytest.mark.parametrize(
    "change",
    [
        {"clip_id": "b"},
        {"recording_id": "other"},
        {"uri": "other.wav"},
        {"offset_s": 1.0},
        {"duration_s": 1.0},
        {"labels": ("cat",)},
        {"labels": ("dog", "cat")},
        {"fold": 1},
        {"group": "other"},
        {"size_bytes": 1},
        {"columns": {"speaker": "s1"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_content_is_another_data_set(change: dict[str, Any]) -> None:
    clip = _clip("a")
    assert _manifest(dataclasses.replace(clip, **change)).dataset != _manifest(clip).dataset


def test_repeated_clip_ids_are_refused_by_name() -> None:
    with pytest.raises(
        InvalidInput, match=r"manifest column clip_id: got \['a'\]; allowed: every clip_id once\. Remove"
    ):
        _manifest(_clip("a"), _clip("b"), _clip("a", uri="other.wav"))


def test_a_data_set_without_clips_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"data\.root: got '/data'; allowed: .* at least one clip\. Check the path"):
        _manifest()


def test_the_group_is_the_recording_where_none_is_given() -> None:
    assert _clip("a").group == "ra"
    assert _clip("a", group="speaker 1").group == "speaker 1"


def test_labels_are_all_labels_sorted_once() -> None:
    manifest = _manifest(_clip("a", labels=("dog", "cat")), _clip("b", labels=("ape", "dog")), _clip("c", labels=()))
    assert manifest.labels == ("ape", "cat", "dog")


@given(num_clips=st.integers(1, 50), clips_per_shard=st.integers(1, 60))
def test_shards_are_the_clips_in_order_and_none_is_longer_than_asked(num_clips: int, clips_per_shard: int) -> None:
    clips = [_clip(str(number)) for number in range(num_clips)]
    cut = list(shards(clips, clips_per_shard))
    assert [clip for shard in cut for clip in shard] == clips
    assert all(len(shard) == clips_per_shard for shard in cut[:-1])
    assert 0 < len(cut[-1]) <= clips_per_shard


@pytest.mark.parametrize("label", ["", " ", "dog ", "\tdog"])
def test_a_label_that_would_be_a_class_of_its_own_by_mistake_is_refused(label: str) -> None:
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=name, labels=("dog",)) for name in "ab")
    odd = Clip(clip_id="c", recording_id="c", uri="c", labels=("dog", label))
    with pytest.raises(InvalidInput, match=r"^labels of clip c: got .*; allowed: labels that are not empty"):
        Manifest(name="corpus", root="/", clips=(*clips, odd))


@pytest.mark.parametrize("name", ["", "esc/v2", "..", ".hidden", "back\\slash", "two\nlines"])
def test_a_name_that_would_be_no_folder_of_its_own_in_a_store_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^data\.name: got "):
        Manifest(name=name, root="/", clips=(_clip("a"),))


@pytest.mark.parametrize("name", ["esc-50", "my sounds", "Vögel 2025", "v1.2_final"])
def test_names_that_people_give_are_taken(name: str) -> None:
    assert Manifest(name=name, root="/", clips=(_clip("a"),)).dataset.startswith(f"{name}-")


def test_what_was_left_out_is_no_part_of_the_data_set() -> None:
    manifest = Manifest(name="corpus", root="/", clips=(_clip("a"),), left_out=("notes.txt",))
    assert manifest.dataset == Manifest(name="corpus", root="/", clips=(_clip("a"),)).dataset
