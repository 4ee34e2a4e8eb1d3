"""Splits at rest: a leaky one cannot be built, and what is loaded is what was stored."""

import json
from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_toys import keys_of

from storage.errors import InvalidInput, StorageError
from storage.identity import content_hash
from storage.object_store import ObjectStore, open_store
from storage.split import PARTS, Part, Split, load_split, save_split

_GROUPS = {"c0": "speaker-1", "c1": "speaker-1", "c2": "speaker-2", "c3": "speaker-3", "c4": "speaker-4"}
_PARTS: dict[str, Part] = {"c0": "train", "c1": "train", "c2": "validation", "c3": "test", "c4": "train"}


def _split(
    parts: Mapping[str, Part] = _PARTS, groups: Mapping[str, str] = _GROUPS, policy: str = "by speaker"
) -> Split:
    return Split(dataset="esc50", policy=policy, parts=parts, groups=groups)


def _key(split: Split) -> str:
    return f"splits/esc50/{split.split_hash}.json"


def test_clip_ids_are_sorted_and_belong_to_their_part() -> None:
    assert _split().clip_ids("train") == ("c0", "c1", "c4")
    assert _split().clip_ids("validation") == ("c2",)
    assert _split().clip_ids("test") == ("c3",)


def test_a_group_in_two_parts_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"1 groups in more than one part, first 'speaker-1' in \['test', 'train'\]"):
        _split(parts={**_PARTS, "c1": "test"})


@pytest.mark.parametrize("part", PARTS)
def test_an_empty_part_is_refused_by_name(part: Part) -> None:
    parts = {clip_id: its_part for clip_id, its_part in _PARTS.items() if its_part != part}
    with pytest.raises(InvalidInput, match=f"no clip in {part}"):
        _split(parts=parts, groups={clip_id: _GROUPS[clip_id] for clip_id in parts})


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"\['holdout'\]; allowed: train, validation, test"):
        _split(parts={**_PARTS, "c4": "holdout"})  # type: ignore[dict-item]


def test_a_clip_without_group_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a group for every clip"):
        _split(groups={"c0": "speaker-1"})


def test_the_hash_is_that_of_the_content_in_any_order() -> None:
    backwards = _split(parts=dict(reversed(_PARTS.items())), groups=dict(reversed(_GROUPS.items())))
    assert backwards.split_hash == _split().split_hash
    others = [_split(parts={**_PARTS, "c4": "test"}), _split(groups={**_GROUPS, "c4": "speaker-5"}), _split(policy="x")]
    assert len({split.split_hash for split in [_split(), *others]}) == 4


def test_a_split_comes_back_as_it_was_stored(store: ObjectStore) -> None:
    split_hash = save_split(store, _split())
    assert save_split(store, _split()) == split_hash
    assert load_split(store, dataset="esc50", split_hash=split_hash) == _split()
    assert keys_of(store, "splits/") == [_key(_split())]


def test_a_split_that_is_not_there_is_named(store: ObjectStore) -> None:
    with pytest.raises(StorageError, match=f"{store.uri} has no split 0123 of esc50"):
        load_split(store, dataset="esc50", split_hash="0123")


_FIELDS = {"dataset": "esc50", "policy": "by speaker", "parts": _PARTS, "groups": _GROUPS}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (json.dumps({**_FIELDS, "policy": "by hand"}), "was changed"),
        (json.dumps({**_FIELDS, "parts": {**_PARTS, "c4": "test"}}), "was changed"),
        (json.dumps({**_FIELDS, "parts": {**_PARTS, "c1": "test"}}), "is damaged"),  # changed into a leak
        (json.dumps({**_FIELDS, "parts": 5}), "is damaged"),
        (json.dumps({**_FIELDS, "extra": 5}), "is damaged"),
        ("[1, 2]", "is damaged"),
        ('{"dataset": "es', "is damaged"),
        ("\udcff", "is damaged"),
        ("", "is damaged"),
    ],
)
def test_an_object_changed_after_it_was_stored_is_detected(local_uri: str, content: str, what: str) -> None:
    store = open_store(local_uri)
    split_hash = save_split(store, _split())
    store.put(_key(_split()), content.encode(errors="surrogateescape"))
    with pytest.raises(StorageError, match=f"{store.uri}: the split {split_hash} of esc50 {what}"):
        load_split(store, dataset="esc50", split_hash=split_hash)


@st.composite
def _assignments(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, Part]]:
    groups = draw(st.lists(st.text(), min_size=3, max_size=8, unique=True))
    part_of_group = dict(zip(groups, PARTS, strict=False))  # the first three groups fill the three parts
    part_of_group |= {group: draw(st.sampled_from(PARTS)) for group in groups[3:]}
    group_of_clip = {f"c{number}": group for number, group in enumerate(groups)}
    for number in range(draw(st.integers(0, 10))):
        group_of_clip[f"more{number}"] = draw(st.sampled_from(groups))
    return group_of_clip, {clip_id: part_of_group[group] for clip_id, group in group_of_clip.items()}


@given(_assignments())
def test_every_assignment_by_group_is_a_split(assignment: tuple[dict[str, str], dict[str, Part]]) -> None:
    groups, parts = assignment
    split = _split(parts=parts, groups=groups)
    clip_ids = [clip_id for part in PARTS for clip_id in split.clip_ids(part)]
    assert sorted(clip_ids) == sorted(groups)  # disjoint and complete


@given(_assignments(), st.data())
def test_every_assignment_that_tears_a_group_apart_is_refused(
    assignment: tuple[dict[str, str], dict[str, Part]], data: st.DataObject
) -> None:
    groups, parts = assignment
    torn = data.draw(st.sampled_from(sorted(parts)))
    other_part = data.draw(st.sampled_from([part for part in PARTS if part != parts[torn]]))
    groups = {**groups, "torn away": groups[torn]}
    with pytest.raises(InvalidInput, match="more than one part"):
        _split(parts={**parts, "torn away": other_part}, groups=groups)


class TestLiterature:
    """Papers that choose epochs on the test fold: one clip is in validation and test at once, and it is said."""

    _TWO: ClassVar[dict[str, Part]] = {"c0": "train", "c1": "train", "c2": "test", "c3": "test", "c4": "train"}

    def _split(self, parts: Mapping[str, Part] | None = None) -> Split:
        return Split(dataset="esc50", policy="fold 5", parts=parts or self._TWO, groups=_GROUPS, protocol="literature")

    def test_validation_is_the_test_part(self) -> None:
        split = self._split()
        assert split.clip_ids("validation") == split.clip_ids("test") == ("c2", "c3")
        assert split.has("c2", "validation")
        assert not split.has("c0", "validation")

    def test_a_validation_part_of_its_own_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"literature, with clips in validation.*allowed: test, train alone"):
            self._split(_PARTS)

    def test_it_has_a_hash_of_its_own_and_comes_back_as_it_was(self, store: ObjectStore) -> None:
        split = self._split()
        assert split.split_hash != _split().split_hash
        save_split(store, split)
        assert load_split(store, dataset="esc50", split_hash=split.split_hash) == split


def test_the_hash_of_an_honest_split_is_that_of_before_there_was_a_protocol() -> None:
    assert _split().split_hash == content_hash(
        {"dataset": "esc50", "policy": "by speaker", "parts": _PARTS, "groups": _GROUPS}
    )
