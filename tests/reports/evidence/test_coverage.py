"""Intervals hold the truth in 93 to 97 % of simulated studies and tests err in 5 %; benchmarks/coverage.py has more."""

from pathlib import Path

import numpy as np
import pytest

_ROOT = Path(__file__).parents[3]

_REGIMES = [
    {"num_clips": 400, "num_seeds": 3, "accuracy": 0.9, "seed_points": 0.3},
    {"num_clips": 400, "num_seeds": 3, "accuracy": 0.9, "seed_points": 2.0},
    {"num_clips": 2000, "num_seeds": 5, "accuracy": 0.5, "seed_points": 2.0},
    {"num_clips": 80, "num_groups": 20, "num_seeds": 5, "accuracy": 0.98, "seed_points": 0.1},
    {"num_clips": 400, "num_groups": 40, "num_seeds": 3, "accuracy": 0.9, "seed_points": 2.0},
    {"num_clips": 400, "num_groups": 50, "num_folds": 5, "num_seeds": 3, "fold_points": 2.0},
    {"num_clips": 400, "num_groups": 20, "has_even_groups": False, "num_seeds": 3},
]


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("given", _REGIMES, ids=str)
def test_intervals_hold_the_truth_in_93_to_97_of_100_studies(given: dict[str, float]) -> None:
    from benchmarks.coverage import coverages
    from benchmarks.simulated_studies import Regime

    found = coverages(Regime(**given), num_studies=1000)  # type: ignore[arg-type]
    assert 0.93 <= found["ours"] <= 0.97
    assert found["bootstrap of seeds"] < 0.8  # what papers report


@pytest.mark.slow
def test_intervals_of_macro_f1_and_auc_hold_the_truth_in_92_to_98_of_100_studies() -> None:
    from benchmarks.coverage import coverages_of_scores
    from benchmarks.simulated_probabilities import ScoredRegime

    found = coverages_of_scores(ScoredRegime(num_clips=80, num_labels=10), num_studies=1000)
    assert 0.92 <= found["macro-F1"] <= 0.98
    assert 0.92 <= found["macro AUC"] <= 0.98


def test_simulated_probabilities_have_the_scores_that_are_taken_for_true() -> None:
    from benchmarks.simulated_probabilities import SCORES, ScoredRegime, cubes_of_study, true_scores

    regime, rng = ScoredRegime(num_clips=400, num_labels=10), np.random.default_rng(0)
    truth, studies = true_scores(regime), [cubes_of_study(regime, rng) for _ in range(20)]
    for name in SCORES:
        scores = [float(cubes[name].seed_scores.mean()) for cubes in studies]
        assert 0.5 < truth[name] < 1.0
        assert np.mean(scores) == pytest.approx(truth[name], abs=5 * float(np.std(scores)) / 20**0.5 + 0.002)


@pytest.mark.slow
@pytest.mark.parametrize("seed_points", [0.2, 2.0])
def test_equally_good_configurations_are_told_apart_in_5_of_100_studies(seed_points: float) -> None:
    from benchmarks.coverage import rejections
    from benchmarks.simulated_studies import Regime

    found = rejections(Regime(num_clips=400, num_groups=40, num_seeds=3, seed_points=seed_points), num_studies=1000)
    assert found["ours"] <= 0.07
    assert found["sign flips"] <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("num_clips", [200, 400])
def test_two_equally_good_models_of_one_seed_are_told_apart_in_5_of_100_studies(num_clips: int) -> None:
    from benchmarks.coverage import rejections
    from benchmarks.simulated_studies import Regime

    found = rejections(Regime(num_clips=num_clips, num_seeds=1, accuracy=0.95, seed_points=0.0), num_studies=1000)
    assert found["sign flips"] <= 0.06
    assert found["t over seeds"] != found["t over seeds"]  # there is no such test


def test_the_benchmark_simulates_the_accuracy_it_names() -> None:
    from benchmarks.simulated_studies import Regime, units_of

    regime = Regime(num_clips=200, num_groups=20, num_folds=5, accuracy=0.9, fold_points=2.0, run_points=1.0)
    units = units_of(regime, num_studies=200, seed=1, num_configurations=2)
    assert units.shape == (2, 200, 20, 3)
    assert units.sum(axis=2).mean() == pytest.approx(0.9, abs=0.01)


def test_a_few_studies_of_few_seeds_are_held_by_ours_and_not_by_the_bootstrap_of_seeds() -> None:
    from benchmarks.coverage import coverages
    from benchmarks.simulated_studies import Regime

    found = coverages(Regime(num_clips=100, num_seeds=3), num_studies=200)
    assert found["ours"] > 0.9 > 0.8 > found["bootstrap of seeds"]
