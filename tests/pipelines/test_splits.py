"""Splits as they are drawn: by official folds or by group, never through a group."""

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.manifest import Clip, Manifest
from pipelines.splits import _MOST_GROUPS_DRAWN, SplitSettings, draw_split
from storage.errors import InvalidInput
from storage.split import PARTS

# scikit-learn's word on labels rarer than the number of parts.
pytestmark = pytest.mark.filterwarnings("ignore:The least populated class")

# The hash that `_sane_corpus` had before there was another way to draw.
OF_ALWAYS = "28711bac3438b9dd"


def _manifest(rows: list[dict[str, Any]]) -> Manifest:
    clips = (
        Clip(**{"clip_id": f"{number:04d}", "recording_id": f"{number:04d}", "uri": "a.wav", "labels": ("dog",)} | row)
        for number, row in enumerate(rows)
    )
    return Manifest(name="corpus", root="/data", clips=tuple(clips))


def _sane_corpus(**columns: Any) -> Manifest:
    """4 labels, 10 recordings of each, 3 clips of each recording."""
    return _manifest(
        [
            {"labels": (label,), "recording_id": f"{label}-{recording}", **columns}
            for label in ("cat", "cow", "dog", "owl")
            for recording in range(10)
            for _ in range(3)
        ]
    )


def _with_folds() -> Manifest:
    return _manifest([{"fold": 1 + number % 5} for number in range(20)])


class TestFolds:
    def test_official_folds_are_used_where_every_clip_has_one(self) -> None:
        manifest = _with_folds()
        split = draw_split(manifest, SplitSettings())
        expected = {4: "validation", 5: "test"}
        assert split.parts == {clip.clip_id: expected.get(clip.fold or 0, "train") for clip in manifest.clips}
        assert split.policy == "official folds: 1, 2, 3 train, 4 validation, 5 test"
        assert split.dataset == manifest.dataset

    def test_other_folds_may_be_held_out(self) -> None:
        split = draw_split(_with_folds(), SplitSettings(validation_folds=(1, 2), test_folds=(3,)))
        assert [len(split.clip_ids(part)) for part in PARTS] == [8, 8, 4]

    def test_grouped_may_be_asked_for_although_there_are_folds(self) -> None:
        split = draw_split(_with_folds(), SplitSettings(policy="grouped"))
        assert split.policy.startswith("grouped and stratified by label")

    @pytest.mark.parametrize("held_out", [{"validation_folds": (0,)}, {"test_folds": (6,)}])
    def test_unknown_folds_are_refused_with_the_known_ones(self, held_out: dict[str, Any]) -> None:
        with pytest.raises(
            InvalidInput, match=r"test_folds: got \[[06]\]; allowed: the folds \[1, 2, 3, 4, 5\]\. Name"
        ):
            draw_split(_with_folds(), SplitSettings(**held_out))

    def test_clips_without_folds_make_auto_draw_by_group(self) -> None:
        manifest = _manifest([{"fold": None} for _ in range(20)])
        assert draw_split(manifest, SplitSettings()).policy.startswith("grouped")

    def test_a_clip_without_a_fold_makes_folds_refuse(self) -> None:
        manifest = _manifest([{"fold": 1 + number % 5 if number else None} for number in range(20)])
        with pytest.raises(InvalidInput, match=r"split\.policy: got 'folds'; allowed: grouped.*split\.policy=grouped"):
            draw_split(manifest, SplitSettings(policy="folds"))

    def test_folds_that_tear_a_group_apart_are_refused_and_the_group_named(self) -> None:
        rows: list[dict[str, Any]] = [{"fold": 1 + number % 5} for number in range(20)]
        rows[2]["group"] = rows[3]["group"] = "speaker 7"  # folds 3 and 4
        with pytest.raises(InvalidInput, match=r"1 groups in more than one part, first 'speaker 7'.*train.*validation"):
            draw_split(_manifest(rows), SplitSettings())

    def test_folds_that_leave_nothing_to_train_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"split: got 'no clip in train'.*Choose other folds"):
            draw_split(_with_folds(), SplitSettings(validation_folds=(1, 2, 3), test_folds=(4, 5)))


class TestGroups:
    def test_groups_are_disjoint_and_every_label_is_in_every_part(self) -> None:
        manifest = _sane_corpus()
        split = draw_split(manifest, SplitSettings())
        groups, labels = defaultdict(set), defaultdict(set)
        for clip in manifest.clips:
            groups[split.parts[clip.clip_id]].add(clip.group)
            labels[split.parts[clip.clip_id]].add(clip.labels[0])
        assert sum(len(of_part) for of_part in groups.values()) == 40
        assert all(labels[part] == {"cat", "cow", "dog", "owl"} for part in PARTS)
        assert [len(split.clip_ids(part)) for part in PARTS] == [72, 24, 24]

    def test_speakers_rather_than_recordings_where_the_manifest_says_so(self) -> None:
        rows = [{"group": f"speaker {number % 10}"} for number in range(100)]
        manifest = _manifest(rows)
        split = draw_split(manifest, SplitSettings())
        parts = defaultdict(set)
        for clip in manifest.clips:
            parts[clip.group].add(split.parts[clip.clip_id])
        assert all(len(of_speaker) == 1 for of_speaker in parts.values())

    def test_the_same_seed_draws_the_same_split_and_another_seed_another(self) -> None:
        hashes = [draw_split(_sane_corpus(), SplitSettings(seed=seed)).split_hash for seed in (0, 0, 1, 2)]
        assert hashes[0] == hashes[1]
        assert len(set(hashes)) == 3

    def test_too_few_groups_are_refused_with_their_number(self) -> None:
        rows = [{"group": f"speaker {number % 4}"} for number in range(40)]
        with pytest.raises(InvalidInput, match=r"split\.num_parts: got 5; allowed: at most the number of groups, 4\."):
            draw_split(_manifest(rows), SplitSettings())

    def test_labels_of_which_none_can_be_in_every_part_are_refused(self) -> None:
        rows = [{"labels": (f"label {number}",)} for number in range(12)]
        with pytest.raises(InvalidInput, match=r"split\.num_parts: got 5; allowed: .* commonest label, 1\. Lower it"):
            draw_split(_manifest(rows), SplitSettings())

    @settings(max_examples=60, deadline=None)
    @given(
        clips=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["cat", "dog", "owl"])), min_size=1, max_size=80),
        num_parts=st.integers(3, 6),
        seed=st.integers(0, 3),
    )
    def test_no_drawn_split_has_a_group_in_two_parts_or_forgets_a_clip(
        self, clips: list[tuple[int, str]], num_parts: int, seed: int
    ) -> None:
        manifest = _manifest([{"group": f"g{group}", "labels": (label,)} for group, label in clips])
        labels = [label for _, label in clips]
        if min(len({group for group, _ in clips}), max(map(labels.count, labels))) < num_parts:
            with pytest.raises(InvalidInput, match=r"split\.num_parts"):
                draw_split(manifest, SplitSettings(num_parts=num_parts, seed=seed))
            return
        split = draw_split(manifest, SplitSettings(num_parts=num_parts, seed=seed))
        assert sorted(clip_id for part in PARTS for clip_id in split.clip_ids(part)) == [
            clip.clip_id for clip in manifest.clips
        ]
        parts = defaultdict(set)
        for clip in manifest.clips:
            parts[clip.group].add(split.parts[clip.clip_id])
        assert all(len(of_group) == 1 for of_group in parts.values())


class TestMoreGroupsThanAreDrawn:
    """Above a number of groups they are dealt, to the same standard."""

    @pytest.fixture(autouse=True)
    def _small_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipelines.splits._MOST_GROUPS_DRAWN", 20)

    def test_the_policy_says_so_and_groups_and_labels_are_as_they_should(self) -> None:
        manifest = _sane_corpus()
        split = draw_split(manifest, SplitSettings())
        assert split.policy == "grouped and stratified by label: 1 of 5 parts test, 1 validation, seed 0, dealt"
        assert [len(split.clip_ids(part)) for part in PARTS] == [72, 24, 24]
        counts = Counter((split.parts[clip.clip_id], clip.labels[0]) for clip in manifest.clips)
        assert set(counts.values()) == {18, 6}

    def test_the_same_seed_deals_the_same_split_and_another_seed_another(self) -> None:
        hashes = [draw_split(_sane_corpus(), SplitSettings(seed=seed)).split_hash for seed in (0, 0, 1, 2)]
        assert hashes[0] == hashes[1]
        assert len(set(hashes)) == 3

    def test_up_to_the_limit_the_split_is_the_one_of_always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipelines.splits._MOST_GROUPS_DRAWN", 40)  # the corpus has 40
        assert draw_split(_sane_corpus(), SplitSettings()).split_hash == OF_ALWAYS

    def test_what_cannot_be_divided_is_refused_as_ever(self) -> None:
        rows = [{"labels": (f"label {number}",)} for number in range(30)]
        with pytest.raises(InvalidInput, match=r"split\.num_parts: got 5; allowed: .* commonest label, 1\. Lower it"):
            draw_split(_manifest(rows), SplitSettings())


def test_splits_of_data_sets_of_today_keep_their_hashes() -> None:
    assert draw_split(_sane_corpus(), SplitSettings()).split_hash == OF_ALWAYS


def test_no_data_set_that_has_had_splits_is_dealt() -> None:
    assert _MOST_GROUPS_DRAWN > 220_000  # RadioML 2016.10A, whose examples are groups


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"policy": "random"}, r"split\.policy: got 'random'; allowed: auto, folds or grouped"),
        ({"validation_folds": (5,)}, r"split\.test_folds: got \[5\]; allowed: folds that are not in"),
        ({"num_parts": 2}, r"split\.num_parts: got 2; allowed: 3 or more"),
    ],
)
def test_impossible_settings_are_refused(given_settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        SplitSettings(**given_settings)


def test_a_recording_never_straddles_a_split_even_if_its_groups_do() -> None:
    clips = tuple(
        Clip(
            clip_id=f"{recording}-{take}",
            recording_id=f"r{recording}",
            group=f"s{recording}-{take}",
            uri="x",
            labels=("a",),
        )
        for recording in range(20)
        for take in range(3)
    )
    split = draw_split(Manifest(name="torn", root=".", clips=clips), SplitSettings(policy="grouped"))
    for recording in range(20):
        assert len({split.parts[f"{recording}-{take}"] for take in range(3)}) == 1
