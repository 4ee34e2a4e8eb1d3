"""Scores of an experiment: by fold, over folds, and what its page says of how epochs were chosen."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from reports import fold_header, fold_lines, fold_rows, is_experiment, leaderboard, load_sweep, render_page

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

# fold → seed → test accuracy
ACCURACIES = {1: {1: 0.8, 2: 0.6}, 2: {1: 0.9, 2: 0.7}}


def experiment(
    new_sweep: Callable[..., "InventedSweep"], *, protocol: str = "honest", loss: str = "cross_entropy", **missing: Any
) -> "InventedSweep":
    invented = new_sweep(kind="experiment", protocol=protocol)
    for fold, of_seed in ACCURACIES.items():
        trial_id = f"trial-{fold}"
        invented.results.commit(
            "suggestions",
            sweep_id=invented.sweep_id,
            commit=trial_id,
            rows=[
                {
                    "sweep_id": invented.sweep_id,
                    "trial_id": trial_id,
                    "number": fold - 1,
                    "architecture": "cnn",
                    "parameters": "{}",
                    "distributions": "{}",
                    "configuration": json.dumps({"seeds": [1, 2], "loss": {"kind": loss}}),
                    "untuned_default": True,
                    "fold": fold,
                }
            ],
        )
        for seed, accuracy in of_seed.items():
            if (fold, seed) == missing.get("without"):
                continue
            scores = {"accuracy": accuracy, "macro_f1": accuracy, "macro_auc": None, "kl": 0.5}
            invented.train(trial_id, seed, (0.4, 0.7, 0.6))
            invented.complete_seed(trial_id, seed, scores=json.dumps({"test": scores, "validation": scores}))
    return invented


def test_a_fold_has_mean_and_deviation_over_its_seeds(new_sweep: Callable[..., "InventedSweep"]) -> None:
    first, second, _ = fold_rows(experiment(new_sweep).load())
    assert (first.fold, second.fold, first.seeds) == (1, 2, (1, 2))
    assert first.mean["accuracy"] == pytest.approx(0.7)
    assert first.deviation["accuracy"] == pytest.approx(0.2 / 2**0.5)
    assert first.best_epochs == (2, 2)


def test_over_all_folds_the_deviation_is_that_of_the_seeds_means(new_sweep: Callable[..., "InventedSweep"]) -> None:
    overall = fold_rows(experiment(new_sweep).load())[-1]
    assert overall.fold is None
    assert overall.mean["accuracy"] == pytest.approx(0.75)  # of 0.85 and 0.65
    assert overall.deviation["accuracy"] == pytest.approx(0.2 / 2**0.5)


def test_a_seed_that_lacks_a_fold_does_not_count_over_all_folds(new_sweep: Callable[..., "InventedSweep"]) -> None:
    overall = fold_rows(experiment(new_sweep, without=(2, 2)).load())[-1]
    assert (overall.fold, overall.seeds) == (None, (1,))
    assert overall.mean["accuracy"] == pytest.approx(0.85)
    assert overall.deviation["accuracy"] is None


def test_a_metric_that_is_not_defined_is_a_dash(new_sweep: Callable[..., "InventedSweep"]) -> None:
    sweep = experiment(new_sweep).load()
    cells = dict(zip(fold_header(sweep), fold_lines(sweep, fold_rows(sweep))[0], strict=True))
    assert cells["macro AUC"] == "–"
    assert cells["accuracy"] == "70.0 ± 14.1 %"


def test_several_labels_a_clip_are_told_by_their_own_metrics(new_sweep: Callable[..., "InventedSweep"]) -> None:
    header = fold_header(experiment(new_sweep, loss="bce").load())
    assert "mAP" in header
    assert "accuracy" not in header


def test_the_page_has_every_fold_and_no_leaderboard(new_sweep: Callable[..., "InventedSweep"]) -> None:
    sweep = experiment(new_sweep).load()
    page = render_page(sweep, leaderboard(sweep))
    assert is_experiment(sweep)
    assert "Scores by fold" in page
    assert "75.0 ± 14.1 %" in page
    assert "Leaderboard" not in page
    assert "Protocol: literature" not in page


def test_the_page_says_first_that_epochs_were_chosen_on_test(new_sweep: Callable[..., "InventedSweep"]) -> None:
    sweep = experiment(new_sweep, protocol="literature").load()
    page = render_page(sweep, [])
    assert page.index("Protocol: literature") < page.index("Scores by fold")


def test_an_experiment_that_has_hardly_begun_has_a_page(new_sweep: Callable[..., "InventedSweep"]) -> None:
    invented = new_sweep(kind="experiment")
    sweep = load_sweep(invented.results, invented.sweep_id)
    assert fold_rows(sweep) == []
    assert "Shown once a seed of a fold is complete" in render_page(sweep, [])


def test_each_class_has_recall_and_precision_by_seed_over_all_folds(new_sweep: Callable[..., "InventedSweep"]) -> None:
    invented = experiment(new_sweep, without=(2, 2))
    scores = json.dumps({"test": {"accuracy": 0.6}})
    invented.complete_seed("trial-2", 2, scores=scores, test_confusion=[[0, 4, 0], [0, 4, 0], [0, 0, 2]])
    sweep = invented.load()
    page = render_page(sweep, leaderboard(sweep))
    assert "Recall and precision by class" in page
    # Of dog, seed 2: three of its four clips in the first fold and none of four in the second.
    assert "37.5 %" in page
