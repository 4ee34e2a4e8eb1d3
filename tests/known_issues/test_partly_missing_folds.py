"""One empty fold cell swapped the official folds for a random split, and only one line of the log showed it."""

import pytest

from pipelines.manifest import Clip, Manifest
from pipelines.splits import SplitSettings, draw_split
from storage.errors import InvalidInput


def _manifest(without_fold: set[int]) -> Manifest:
    clips = tuple(
        Clip(
            clip_id=f"{number:02d}",
            recording_id=f"{number:02d}",
            uri=f"{number:02d}.wav",
            labels=("ab"[number % 2],),
            fold=None if number in without_fold else number % 5 + 1,
        )
        for number in range(30)
    )
    return Manifest(name="corpus", root="/", clips=clips)


def test_a_missing_fold_is_refused_with_both_ways_out() -> None:
    with pytest.raises(InvalidInput, match=r"1 of 30 clips without a fold.*Fill the missing folds, or .*grouped"):
        draw_split(_manifest({7}), SplitSettings())


def test_a_grouped_split_can_still_be_asked_for() -> None:
    assert draw_split(_manifest({7}), SplitSettings(policy="grouped")).policy.startswith("grouped")


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_would_refuse_is_refused_by_name(seed: int) -> None:
    with pytest.raises(InvalidInput, match=r"^split\.seed"):
        SplitSettings(seed=seed)
