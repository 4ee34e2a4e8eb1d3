"""A cube is whole and in order, whatever order it was given in; two cubes are of the same clips, or an error counts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.evidence import accuracy, answers_of, difference, score_cube
from reports.evidence.layout import lay_out
from storage.errors import InvalidInput


def test_a_score_over_folds_is_the_mean_of_the_folds_whatever_their_sizes() -> None:
    cube = score_cube(np.array([[1], [1], [1], [0]]), clip_ids=list("abcd"), seeds=[7], folds=[1, 1, 1, 2])
    assert cube.seed_scores.tolist() == [0.5]
    assert cube.run_scores.tolist() == [[1.0], [0.0]]


def test_clips_of_a_group_in_a_fold_are_one_unit() -> None:
    layout = lay_out([2, 1, 2, 1, 1], ["a", "b", "a", "c", "a"])
    assert (layout.num_folds, layout.num_units, layout.num_clips) == (2, 4, 5)
    units = layout.unit_sums(np.arange(1.0, 6.0)[:, None])
    assert np.allclose(units[:, 0], [5 / 6, 2 / 6, 4 / 6, (1 + 3) / 4])
    assert np.allclose(layout.fold_sums(units)[:, 0], [11 / 6, 1.0])


def test_the_order_of_clips_and_seeds_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values, clips, groups = rng.random((6, 3)), list("abcdef"), list("uuvvww")
    cube = score_cube(values, clip_ids=clips, seeds=[1, 2, 3], groups=groups)
    order = [3, 0, 5, 1, 4, 2]
    shuffled = score_cube(
        values[order][:, ::-1],
        clip_ids=[clips[place] for place in order],
        seeds=[3, 2, 1],
        groups=[groups[place] for place in order],
    )
    assert (cube.clip_ids, cube.groups, cube.seeds) == (shuffled.clip_ids, shuffled.groups, shuffled.seeds)
    assert (cube.values == shuffled.values).all()


def test_a_difference_is_over_the_seeds_that_both_have() -> None:
    first = score_cube(np.array([[1, 0], [1, 1]]), clip_ids=["a", "b"], seeds=[1, 2])
    second = score_cube(np.array([[1, 1], [0, 1]]), clip_ids=["b", "a"], seeds=[2, 3])
    found = difference(first, second)
    assert found.seeds == (2,)
    assert found.values.tolist() == [[0.0], [0.0]]


def test_cubes_of_other_clips_are_refused_by_their_number() -> None:
    first = score_cube(np.ones((3, 1)), clip_ids=["a", "b", "c"], seeds=[1])
    second = score_cube(np.ones((3, 1)), clip_ids=["b", "c", "d"], seeds=[1])
    with pytest.raises(InvalidInput, match="2 clips that only one of them was tested on, a, d among them"):
        difference(first, second)


def test_cubes_of_other_folds_groups_or_seeds_are_refused() -> None:
    values, clips = np.ones((3, 1)), ["a", "b", "c"]
    first = score_cube(values, clip_ids=clips, seeds=[1], folds=[1, 1, 2], groups=["u", "u", "v"])
    moved = score_cube(values, clip_ids=clips, seeds=[1], folds=[1, 2, 2], groups=["u", "v", "w"])
    other = score_cube(values, clip_ids=clips, seeds=[5], folds=[1, 1, 2], groups=["u", "u", "v"])
    with pytest.raises(InvalidInput, match="1 clips in another fold, 2 in another group"):
        difference(first, moved)
    with pytest.raises(InvalidInput, match="one in common"):
        difference(first, other)


@pytest.mark.parametrize(
    ("values", "clips", "seeds", "told"),
    [
        ([[1.0], [np.nan]], ["a", "b"], [1], "1 that are not finite"),
        ([[1.0], [1.0]], ["a", "a"], [1], "1 more than once"),
        ([[1.0, 1.0]], ["a"], [1, 1], "seeds: got '1 more than once'"),
        ([], [], [1], "clips: got 'none'"),
    ],
)
def test_bad_scores_are_refused(values: list[list[float]], clips: list[str], seeds: list[int], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        score_cube(np.array(values), clip_ids=clips, seeds=seeds)


def test_answers_come_from_one_trial_a_fold_and_leave_out_seeds_that_lack_one() -> None:
    rows = [
        *_rows("t1", 1, {"a": 0, "b": 1}),
        *_rows("t2", 1, {"c": 1}),
        *_rows("t1", 2, {"a": 0, "b": 0}),
        *_rows("other", 1, {"a": 1}),
        *[{**row, "part": "validation"} for row in _rows("t1", 1, {"z": 0})],
    ]
    answers = answers_of(pd.DataFrame(rows), {"t1": 1, "t2": 2}, num_labels=2)
    assert (answers.clip_ids, answers.folds, answers.seeds) == (("a", "b", "c"), (1, 1, 2), (1,))
    assert answers.groups == ("speaker", "speaker", "c")
    assert answers.probabilities.shape == (3, 1, 2)
    assert accuracy(answers).values.tolist() == [[1.0], [0.0], [1.0]]  # c has label 1, too


def test_answers_are_read_from_the_results_table(new_sweep: Callable[..., Any]) -> None:
    sweep = new_sweep()
    sweep.several_labels("t0", seeds=(1, 2), num_clips=12)
    found = sweep.load()
    answers = answers_of(found.predictions_of("t0"), {"t0": 0}, num_labels=len(found.labels))
    assert (len(answers.clip_ids), answers.seeds) == (12, (1, 2))
    assert accuracy(answers).values[0].tolist() == [1.0, 1.0]  # clip000 has label 0, and 0 was predicted


def test_answers_with_rows_twice_or_missing_are_refused() -> None:
    whole = [*_rows("t1", 1, {"a": 0, "b": 1}), *_rows("t1", 2, {"a": 0, "b": 1})]
    with pytest.raises(InvalidInput, match="1 clips with two rows of a seed"):
        answers_of(pd.DataFrame([*whole, whole[0]]), {"t1": 0}, num_labels=2)
    with pytest.raises(InvalidInput, match="1 clips that some of 2 seeds lack"):
        answers_of(pd.DataFrame(whole[:-1]), {"t1": 0}, num_labels=2)
    with pytest.raises(InvalidInput, match="none with all of 2 folds"):
        answers_of(pd.DataFrame(whole), {"t1": 1, "t2": 2}, num_labels=2)


def _rows(trial_id: str, seed: int, predicted: dict[str, int]) -> list[dict[str, object]]:
    """Of clips a, b and c; all are labelled 0, c also 1 and without a group."""
    return [
        {
            "trial_id": trial_id,
            "seed": seed,
            "part": "test",
            "clip_id": clip_id,
            "label": 0,
            "labels": [0, 1] if clip_id == "c" else None,
            "predicted": label,
            "probabilities": [1.0 - label, float(label)],
            "group": None if clip_id == "c" else "speaker",
        }
        for clip_id, label in predicted.items()
    ]
