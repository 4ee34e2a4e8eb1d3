"""Cross-validation: every clip is tested on once, nothing leaks, and validation lies inside the training folds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.folds import FoldSettings, draw_folds
from pipelines.manifest import Clip, Manifest
from storage.errors import InvalidInput

# scikit-learn's word on labels rarer than the number of parts.
pytestmark = pytest.mark.filterwarnings("ignore:The least populated class")


def _corpus(*, num_recordings: int = 10, with_folds: bool = False) -> Manifest:
    """3 labels, so many recordings of each, 2 clips of each recording."""
    clips = [
        Clip(
            clip_id=f"{label}-{recording}-{take}",
            recording_id=f"{label}-{recording}",
            uri="a.wav",
            labels=(label,),
            fold=1 + recording % 5 if with_folds else None,
        )
        for label in ("cat", "dog", "owl")
        for recording in range(num_recordings)
        for take in range(2)
    ]
    return Manifest(name="corpus", root="/data", clips=tuple(clips))


@pytest.mark.parametrize("with_folds", [True, False])
def test_every_clip_is_tested_on_once(with_folds: bool) -> None:
    corpus = _corpus(with_folds=with_folds)
    tested = Counter(
        clip_id for split in draw_folds(corpus, FoldSettings()).values() for clip_id in split.clip_ids("test")
    )
    assert tested == {clip.clip_id: 1 for clip in corpus.clips}


def test_official_folds_keep_their_numbers() -> None:
    corpus = _corpus(with_folds=True)
    for fold, split in draw_folds(corpus, FoldSettings()).items():
        assert set(split.clip_ids("test")) == {clip.clip_id for clip in corpus.clips if clip.fold == fold}
        assert f"fold {fold} test" in split.policy


@given(num_recordings=st.integers(6, 14), seed=st.integers(0, 99), num_folds=st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_validation_lies_inside_the_training_folds_and_holds_whole_groups(
    num_recordings: int, seed: int, num_folds: int
) -> None:
    drawn = draw_folds(
        _corpus(num_recordings=num_recordings), FoldSettings(seed=seed, num_folds=num_folds, validation_parts=3)
    )
    for split in drawn.values():  # `Split` itself refuses groups in two parts
        assert {split.groups[clip] for clip in split.clip_ids("validation")}.isdisjoint(
            split.groups[clip] for clip in split.clip_ids("test")
        )
        assert {clip.partition("-")[0] for clip in split.clip_ids("validation")} == {"cat", "dog", "owl"}


def test_the_literature_chooses_on_the_test_fold_and_the_policy_says_so() -> None:
    split = draw_folds(_corpus(with_folds=True), FoldSettings(protocol="literature", test_folds=(5,)))[5]
    assert split.clip_ids("validation") == split.clip_ids("test")
    assert "chosen on it" in split.policy


def test_some_folds_are_those_of_all_folds() -> None:
    corpus = _corpus()
    every, some = draw_folds(corpus, FoldSettings()), draw_folds(corpus, FoldSettings(test_folds=(2, 4)))
    assert some == {2: every[2], 4: every[4]}


def test_another_seed_draws_other_folds() -> None:
    assert draw_folds(_corpus(), FoldSettings(seed=1)) != draw_folds(_corpus(), FoldSettings())


@pytest.mark.parametrize(
    ("with_folds", "asked", "words"),
    [
        (True, {"test_folds": (6,)}, "folds.test_folds: got .6.; allowed: the folds .1, 2, 3, 4, 5."),
        (False, {"policy": "folds"}, "folds.policy: got 'folds, with 60 of 60 clips without a fold'"),
        (False, {"num_folds": 31}, "folds.num_folds: got 31; allowed: at most 20"),
        (True, {"validation_parts": 30}, "folds.validation_parts: got 30; allowed: at most 16"),
        (True, {"test_folds": (1, 1)}, "none twice"),
    ],
)
def test_what_cannot_be_is_refused(with_folds: bool, asked: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        draw_folds(_corpus(with_folds=with_folds), FoldSettings(**asked))  # type: ignore[arg-type]
