"""Recall and precision of each class from the confusion matrices of a trial's seeds."""

from typing import TYPE_CHECKING

import pytest

from reports import leaderboard, render_page
from reports.class_scores import class_scores

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


def test_a_class_that_no_seed_answered_with_has_no_precision(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.complete_seed("t0", 1, test_confusion=[[4, 0, 0], [4, 0, 0], [0, 0, 4]])
    invented.complete_seed("t0", 2, test_confusion=[[4, 0, 0], [2, 2, 0], [0, 0, 4]])
    sweep = invented.load()
    dog, rain, clock = class_scores(sweep, sweep.seeds)
    assert (rain.num_clips, rain.recall, rain.precision) == (4, {1: 0.0, 2: 0.5}, {1: None, 2: 1.0})
    assert (rain.recall_mean, rain.precision_mean) == (0.25, 1.0)
    assert (dog.precision_mean, clock.precision_mean) == (pytest.approx((4 / 8 + 4 / 6) / 2), 1.0)
    assert ">nan" not in render_page(sweep, leaderboard(sweep))
