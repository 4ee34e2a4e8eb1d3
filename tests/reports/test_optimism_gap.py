"""The optimism gap on the page: which experiments are compared, on what, and what is said where there is none."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from reports import render_page
from reports.optimism import gaps_of_experiment, optimism_section

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


def experiment(
    new_sweep: "Callable[..., InventedSweep]",
    name: str,
    *,
    protocol: str | None,
    accuracy: float,
    architecture: str = "cnn",
    clips: int = 0,
) -> "InventedSweep":
    """Two folds × two seeds."""
    invented = new_sweep(sweep_id=name, kind="experiment", protocol=protocol)
    for fold in (1, 2):
        trial_id = invented.suggest(
            f"{name}-{fold}", number=fold - 1, seeds=(1, 2), architecture=architecture, parameters={}, fold=fold
        )
        for seed in (1, 2):
            invented.train(trial_id, seed, (0.5, 0.8, 0.7 + 0.01 * seed))
            score = accuracy + 0.01 * seed * fold
            invented.complete_seed(
                trial_id, seed, test_accuracy=score, scores=json.dumps({"test": {"accuracy": score}})
            )
            for clip in range(clips):
                is_right = clip < accuracy * clips
                invented.predict(trial_id, seed, f"c{fold}{clip}", label=0, predicted=0 if is_right else 1)
    return invented


def test_both_protocols_are_compared_from_either_page(new_sweep: "Callable[..., InventedSweep]") -> None:
    literature = experiment(new_sweep, "lit", protocol="literature", accuracy=0.9)
    honest = experiment(new_sweep, "own", protocol="honest", accuracy=0.85)
    choice, gap = gaps_of_experiment(literature.load())
    assert choice.estimate.mean == pytest.approx(0.8 - 0.715)
    assert (gap.estimate.mean, gap.basis) == (pytest.approx(0.05), "folds and seeds")
    (same,) = gaps_of_experiment(honest.load())
    assert same.estimate.mean == gap.estimate.mean
    text = optimism_section(literature.load(), [choice, gap], is_expected=True)
    assert text is not None
    assert "+5.0" in text
    assert "literature − honest (own)" in text
    assert "there is more to train on" in text  # the gap is not the choice of the epoch alone


def test_with_predictions_of_both_it_rests_on_clips(new_sweep: "Callable[..., InventedSweep]") -> None:
    literature = experiment(new_sweep, "lit", protocol="literature", accuracy=0.9, clips=10)
    experiment(new_sweep, "own", protocol=None, accuracy=0.7, clips=10)
    gap = gaps_of_experiment(literature.load())[-1]
    assert gap.basis == "clips, folds and seeds"
    assert gap.estimate.mean == pytest.approx(0.2)
    assert gap.estimate.num_clips == 20


def test_another_configuration_is_no_counterpart(new_sweep: "Callable[..., InventedSweep]") -> None:
    honest = experiment(new_sweep, "own", protocol="honest", accuracy=0.85)
    experiment(new_sweep, "lit", protocol="literature", accuracy=0.9, architecture="resnet")
    assert gaps_of_experiment(honest.load()) == []
    assert optimism_section(honest.load(), [], is_expected=False) is None


def test_a_literature_run_that_has_just_begun_says_when_there_will_be_numbers(
    new_sweep: "Callable[..., InventedSweep]",
) -> None:
    invented = new_sweep(sweep_id="lit", kind="experiment", protocol="literature")
    invented.suggest("t1", fold=1)
    invented.suggest("t2", number=1, fold=2)
    sweep = invented.load()
    assert gaps_of_experiment(sweep) == []
    text = optimism_section(sweep, [], is_expected=True)
    assert text is not None
    assert "Shown once all folds are complete" in text


def test_an_experiments_page_has_the_interval_over_all_folds_and_the_gap(
    new_sweep: "Callable[..., InventedSweep]",
) -> None:
    literature = experiment(new_sweep, "lit", protocol="literature", accuracy=0.9, clips=10)
    experiment(new_sweep, "own", protocol="honest", accuracy=0.8, clips=10)
    page = render_page(literature.load(), [])
    assert "Over all folds and seeds: test accuracy 90.0 %, 95 % interval" in page
    assert "over 20 clips in 20 groups, 2 folds and 2 seeds" in page
    assert "+10.0" in page.partition("Optimism gap")[2]
