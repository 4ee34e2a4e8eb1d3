"""The gap between the literature's protocol and the honest one, from the tables of two experiments."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.evidence import score_cube
from reports.evidence.optimism import choice_gap, optimism_gap, run_cube
from storage.errors import InvalidInput

_FOLDS = {"t1": 1, "t2": 2}


def test_the_gap_is_literature_less_honest_over_folds_and_seeds() -> None:
    literature = run_cube(_seeds({("t1", 1): 0.9, ("t1", 2): 0.92, ("t2", 1): 0.8, ("t2", 2): 0.84}), _FOLDS)
    honest = run_cube(_seeds({("h1", 1): 0.88, ("h1", 2): 0.88, ("h2", 1): 0.79, ("h2", 2): 0.81}), {"h1": 1, "h2": 2})
    found = optimism_gap(literature, honest)
    assert found.mean == pytest.approx((0.02 + 0.04 + 0.01 + 0.03) / 4)
    assert found.interval is not None
    assert found.interval.low < found.mean < found.interval.high
    assert (found.num_folds, found.num_seeds) == (2, 2)


def test_on_one_fold_the_gap_of_runs_rests_on_seeds_alone() -> None:
    literature = run_cube(_seeds({("t1", seed): 0.9 + 0.01 * seed for seed in (1, 2, 3)}), {"t1": 1})
    honest = run_cube(_seeds({("h1", seed): 0.9 for seed in (1, 2, 3)}), {"h1": 1})
    found = optimism_gap(literature, honest)
    low, high = stats.t.interval(0.95, 2, loc=0.02, scale=0.01 / np.sqrt(3))
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=3e-4)


def test_with_the_clips_of_both_the_gap_is_told_clip_by_clip() -> None:
    clips = [f"c{number:03d}" for number in range(100)]
    honest = np.arange(100)[:, None] < [80, 82]
    literature = np.arange(100)[:, None] < [84, 86]
    found = optimism_gap(
        score_cube(literature, clip_ids=clips, seeds=[1, 2]), score_cube(honest, clip_ids=clips, seeds=[1, 2])
    )
    assert (found.mean, found.num_clips) == (pytest.approx(0.04), 100)


def test_the_choice_of_the_epoch_is_best_less_last() -> None:
    rows = [
        *_epochs("t1", 1, [0.5, 0.9, 0.8]),
        *_epochs("t1", 2, [0.5, 0.7, 0.7]),
        *_epochs("t2", 1, [0.6, 0.5, 0.4]),
        *_epochs("t2", 2, [0.1, 0.2, 0.3]),
    ]
    found = choice_gap(pd.DataFrame(rows).sample(frac=1.0, random_state=0), _FOLDS)
    assert found.mean == pytest.approx((0.1 + 0.0 + 0.2 + 0.0) / 4)


def test_earlier_versions_epochs_count_by_accuracy() -> None:
    rows = [{**row, "validation_score": None} for row in _epochs("t1", 1, [0.5, 0.9, 0.8])]
    assert choice_gap(pd.DataFrame(rows), {"t1": 1}).mean == pytest.approx(0.1)


def test_seeds_without_every_fold_are_left_out_and_none_left_is_an_error() -> None:
    scores = {("t1", 1): 0.9, ("t2", 1): 0.8, ("t1", 2): 0.7}
    assert run_cube(_seeds(scores), _FOLDS).seeds == (1,)
    with pytest.raises(InvalidInput, match="1 of 2 folds"):
        run_cube(_seeds({("t1", 1): 0.9}), _FOLDS)


def _seeds(scores: dict[tuple[str, int], float]) -> pd.DataFrame:
    rows = [{"trial_id": trial, "seed": seed, "test_accuracy": score} for (trial, seed), score in scores.items()]
    return pd.DataFrame(rows)


def _epochs(trial_id: str, seed: int, scores: list[float]) -> list[dict[str, object]]:
    return [
        {"trial_id": trial_id, "seed": seed, "epoch": epoch, "validation_score": score, "validation_accuracy": score}
        for epoch, score in enumerate(scores, start=1)
    ]
