"""Scores of each label, held against scikit-learn, and the page of a sweep whose clips have several labels."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from reports import best_of_each_architecture, leaderboard, render_page
from reports.chosen_by import has_several_labels
from reports.label_scores import area_under_roc, average_precision, label_scores
from reports.plots import score_curves

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

NewSweep = Callable[..., "InventedSweep"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])), min_size=1, max_size=30))
def test_both_numbers_are_those_of_scikit_learn_with_ties_too(clips: list[tuple[bool, float]]) -> None:
    has_label, probability = np.array([has for has, _ in clips]), np.array([value for _, value in clips])
    if not has_label.any():
        assert average_precision(has_label, probability) is None
        assert area_under_roc(has_label, probability) is None
        return
    assert average_precision(has_label, probability) == pytest.approx(average_precision_score(has_label, probability))
    if has_label.all():
        assert area_under_roc(has_label, probability) is None
    else:
        assert area_under_roc(has_label, probability) == pytest.approx(roc_auc_score(has_label, probability))


def test_a_label_has_a_number_for_every_seed_and_its_clips_are_counted_once(new_sweep: NewSweep) -> None:
    invented = new_sweep(labels=("wren", "robin", "owl", "never"))
    invented.several_labels(seeds=(1, 2), num_clips=24)
    sweep = invented.load()
    scores = {label.label: label for label in label_scores(sweep, leaderboard(sweep))}
    assert list(scores) == sweep.labels
    assert all(len(label.auc) == len(label.average_precision) == 2 for label in scores.values())
    predictions = sweep.predictions_of("t0")
    first_seed = predictions[predictions["seed"] == 1]
    assert [label.num_clips for label in scores.values()] == [
        sum(place in labels for labels in first_seed["labels"]) for place in range(4)
    ]
    assert scores["wren"].auc_mean == pytest.approx(np.mean(scores["wren"].auc))
    assert min(scores["wren"].auc) > 0.8


def test_a_label_that_no_clip_has_has_no_number(new_sweep: NewSweep) -> None:
    invented = new_sweep(labels=("wren", "absent"))
    invented.suggest("t0", seeds=(1,), loss="bce")
    invented.complete_seed("t0", 1)
    for clip in ("a", "b"):
        invented.predict("t0", 1, clip, label=0, predicted=0, labels=[0])
    sweep = invented.load()
    wren, absent = label_scores(sweep, leaderboard(sweep))
    assert (wren.num_clips, wren.auc_mean, wren.average_precision_mean) == (2, None, 1.0)
    assert (absent.num_clips, absent.auc_mean, absent.average_precision_mean) == (0, None, None)
    # Both labels have a probability of one half, and are said of both clips.
    assert (wren.recall_mean, wren.precision_mean) == (1.0, 1.0)
    assert (absent.recall_mean, absent.precision_mean) == (None, 0.0)


def test_recall_and_precision_are_of_the_clips_at_one_half_or_above(new_sweep: NewSweep) -> None:
    invented = new_sweep(labels=("wren", "robin"))
    invented.suggest("t0", seeds=(1,), loss="bce")
    invented.complete_seed("t0", 1)
    answers = {"a": ([0], [0.9, 0.6]), "b": ([0, 1], [0.2, 0.5]), "c": ([1], [0.7, 0.1])}
    for clip, (labels, probabilities) in answers.items():
        invented.predict("t0", 1, clip, label=labels[0], predicted=0, labels=labels, probabilities=probabilities)
    sweep = invented.load()
    wren, robin = label_scores(sweep, leaderboard(sweep))
    assert (wren.recall, wren.precision) == ((1 / 2,), (1 / 2,))
    assert (robin.recall, robin.precision) == ((1 / 2,), (1 / 2,))


@pytest.mark.parametrize(("loss", "several"), [("cross_entropy", False), ("bce", True), ("focal", True)])
def test_the_loss_tells_whether_a_clip_may_have_several_labels(
    invented: "InventedSweep", loss: str, *, several: bool
) -> None:
    invented.suggest("t0", loss=loss)
    assert has_several_labels(invented.load()) == several


@pytest.mark.parametrize("labels", [[0], [0, 1]])
def test_once_there_are_predictions_they_tell_whether_clips_have_several_labels(
    new_sweep: NewSweep, labels: list[int]
) -> None:
    invented = new_sweep(labels=("wren", "robin"))
    invented.suggest("t0", seeds=(1,), loss="bce")
    invented.complete_seed("t0", 1)
    for clip, of_clip in (("a", [0]), ("b", labels)):
        invented.predict("t0", 1, clip, label=0, predicted=0, labels=of_clip)
    assert has_several_labels(invented.load()) == (len(labels) > 1)


def test_the_page_shows_scores_by_label_in_place_of_a_matrix(new_sweep: NewSweep) -> None:
    invented = new_sweep(labels=("<b>wren</b>", "robin", "owl"))
    invented.several_labels()
    sweep = invented.load()
    text = _text(render_page(sweep, leaderboard(sweep)))
    assert "Scores by label" in text
    assert "Validation macro ROC-AUC by epoch" in text
    assert "Binary cross-entropy per clip" in text
    assert "objective is the validation macro ROC-AUC" in text
    assert "<b>wren</b>" in text
    assert "Confusion matrix" not in text
    assert "Recall and precision by class" not in text


def test_the_curves_are_those_of_the_score_that_epochs_are_chosen_by(new_sweep: NewSweep) -> None:
    invented = new_sweep(labels=("wren", "robin", "owl"))
    invented.several_labels(seeds=(1, 2))
    sweep = invented.load()
    curves = score_curves(sweep, best_of_each_architecture(leaderboard(sweep)))
    assert [list(trace.y) for trace in curves.data] == [[0.6, 0.71], [0.6, 0.72]]


def test_the_page_of_a_sweep_that_has_hardly_begun_says_when_they_come(invented: "InventedSweep") -> None:
    invented.suggest("t0", loss="bce")
    sweep = invented.load()
    text = _text(render_page(sweep, leaderboard(sweep)))
    assert "Scores by label" in text


def _text(page: str) -> str:
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data)

    Reader().feed(page)
    return " ".join(found)
