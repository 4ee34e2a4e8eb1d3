"""What is measured in scores against what they were drawn from."""

import numpy as np
import pytest

from sweeps.allocation import Scores
from sweeps.allocation.beliefs import fit_beliefs
from sweeps.allocation.posterior import posterior_of

_MILESTONES = (1, 3, 9)


def _drawn(
    num_rows: int, *, seeds: float, residual: float, mean: float = 0.5, spread: float = 0.1, rng_seed: int = 0
) -> tuple[Scores, np.ndarray]:
    """All of every seed: ends are quality plus a seed's deviation, and each milestone before adds noise."""
    rng = np.random.default_rng(rng_seed)
    scores = Scores(_MILESTONES, num_seeds=3, num_architectures=1)
    quality = mean + spread * rng.standard_normal(num_rows)
    for row in range(num_rows):
        scores.add(0)
        for seed in range(3):
            end = quality[row] + seeds * rng.standard_normal()
            at_third = end - 0.1 + residual * rng.standard_normal()
            at_first = at_third - 0.2 + residual * rng.standard_normal()
            for milestone, score in enumerate((at_first, at_third, end)):
                scores.record(row, seed, milestone, score)
    return scores, quality


def _partly(scores: Scores, level_NS: np.ndarray) -> Scores:
    """Of every seed only the scores up to a level: 0 for none, 3 for all of them."""
    part = Scores(_MILESTONES, num_seeds=3, num_architectures=1)
    for row, level_S in enumerate(level_NS):
        part.add(0)
        for seed, level in enumerate(level_S):
            for milestone in range(level):
                part.record(row, seed, milestone, float(scores.score_NSM[row, seed, milestone]))
    return part


class TestBeliefs:
    def test_the_deviation_between_seeds_is_found(self) -> None:
        for seeds in (0.02, 0.08):
            scores, _ = _drawn(200, seeds=seeds, residual=0.01)
            assert np.sqrt(fit_beliefs(scores).seed_variance_A[0]) == pytest.approx(seeds, rel=0.15)

    def test_lucky_first_seeds_do_not_make_seeds_look_noisier(self) -> None:
        shares = []
        for rng_seed in range(20):
            scores, _ = _drawn(100, seeds=0.1, residual=0.02, rng_seed=rng_seed)
            first = scores.score_NSM[:, 0, -1]
            is_lucky = first >= np.sort(first)[-12]
            beliefs = fit_beliefs(_partly(scores, np.where(is_lucky[:, None], [3, 3, 3], [3, 0, 0])))
            shares.append(1 - beliefs.shrinkage_A[0])
        assert np.mean(shares) == pytest.approx(0.5, rel=0.12)  # as wide as quality's

    def test_mean_and_spread_of_quality_are_found_from_first_scores(self) -> None:
        beliefs = fit_beliefs(_drawn(400, seeds=0.03, residual=0.02)[0])
        assert beliefs.mean_A[0] == pytest.approx(0.5, abs=0.02)
        assert np.sqrt(beliefs.variance_A[0]) == pytest.approx(0.1, rel=0.15)

    def test_later_milestones_tell_more_and_all_tell_less_where_seeds_differ(self) -> None:
        calm, noisy = (fit_beliefs(_drawn(200, seeds=seeds, residual=0.05)[0]) for seeds in (0.02, 0.1))
        for beliefs in (calm, noisy):
            assert (np.diff(beliefs.precision_AM[0]) > 0).all()
        assert (noisy.precision_AM < calm.precision_AM).all()

    def test_early_scores_are_said_to_tell_less_than_lines_through_all_have_it_and_ends_as_much(self) -> None:
        scores, quality = _drawn(2000, seeds=0.03, residual=0.1)
        precision_M = fit_beliefs(scores).precision_AM[0]
        by_lines = []
        for milestone in range(3):
            seen = np.column_stack([np.ones(2000), scores.score_NSM[:, 0, : milestone + 1]])
            left = quality - seen @ np.linalg.lstsq(seen, quality)[0]
            by_lines.append(1 / np.var(left) - 1 / np.var(quality))
        assert (precision_M[:2] < 0.75 * np.array(by_lines[:2])).all()
        assert (precision_M[:2] > 0.4 * np.array(by_lines[:2])).all()
        assert precision_M[2] == pytest.approx(by_lines[2], rel=0.2)

    def test_a_long_tail_of_leaders_is_not_said_to_be_foretold(self) -> None:
        scores, _ = _drawn(400, seeds=0.03, residual=0.1)
        for _ in range(60):
            scores.record(scores.add(0), 0, 0, 0.8)  # fast ones, which nobody has seen again
        beliefs, first = fit_beliefs(scores), scores.score_NSM[:, 0, 0]
        above = first[first >= np.median(first)] - np.median(first)
        assert np.mean(above**2) > 1.2 * np.var(first)
        in_all = beliefs.variance_A[0] + beliefs.seed_variance_A[0]
        by_the_upper_half = beliefs.weight_MM[0, 0] ** 2 * np.mean(above**2) / in_all
        with_first = 1 / (1 / beliefs.variance_A[0] + beliefs.precision_AM[0, 0])
        told = (1 - with_first / beliefs.variance_A[0]) / beliefs.shrinkage_A[0]
        assert told < 0.95 * by_the_upper_half**1.5  # which is what the power alone would leave

    def test_curves_of_which_only_the_best_went_on_give_the_same_lines(self) -> None:
        everything, _ = _drawn(600, seeds=0.03, residual=0.03)
        first = everything.score_NSM[:, 0, 0]
        goes_on = first > np.quantile(first, 2 / 3)
        chosen = _partly(everything, np.where(goes_on[:, None], [3, 0, 0], [1, 0, 0]))
        whole, of_chosen = fit_beliefs(everything), fit_beliefs(chosen)
        assert of_chosen.weight_MM[0, 0] == pytest.approx(whole.weight_MM[0, 0], rel=0.15)
        assert of_chosen.mean_A[0] == pytest.approx(whole.mean_A[0], abs=0.02)

    def test_configurations_that_fail_do_not_widen_what_the_next_one_may_reach(self) -> None:
        scores, _ = _drawn(200, seeds=0.03, residual=0.02)
        spread = fit_beliefs(scores).variance_A[0]
        for _ in range(60):
            scores.record(scores.add(0), 0, 0, -3.0)
        assert fit_beliefs(scores).variance_A[0] < 2 * spread

    def test_one_score_is_enough_to_answer(self) -> None:
        scores = Scores(_MILESTONES, num_seeds=3, num_architectures=2)
        scores.record(scores.add(1), 0, 0, 0.4)
        scores.add(0)  # in training, without a score
        beliefs = fit_beliefs(scores)
        assert np.isfinite([beliefs.mean_A, beliefs.variance_A]).all()
        assert np.isfinite(posterior_of(scores, beliefs).mean_N).all()


class TestPosterior:
    def test_means_are_nearer_to_quality_than_scores_are_and_their_deviations_are_right(self) -> None:
        scores, quality = _drawn(400, seeds=0.1, residual=0.02)
        one_seed = _partly(scores, np.tile([3, 0, 0], (400, 1)))
        posterior = posterior_of(one_seed, fit_beliefs(scores))  # one seed each cannot tell how seeds differ
        errors = posterior.mean_N - quality
        assert np.abs(errors).mean() < 0.9 * np.abs(scores.score_NSM[:, 0, 2] - quality).mean()
        assert np.std(errors * np.sqrt(posterior.precision_N)) == pytest.approx(1.0, abs=0.15)

    def test_several_whole_seeds_weigh_as_many_as_they_are(self) -> None:
        scores, _ = _drawn(200, seeds=0.05, residual=0.02)
        beliefs = fit_beliefs(scores)
        posterior = posterior_of(scores, beliefs)
        prior = 1 / beliefs.variance_A[0]
        expected = prior + 3 / beliefs.seed_variance_A[0]
        assert posterior.precision_N == pytest.approx(np.full(200, expected), rel=1e-6)
        ends = scores.score_NSM[:, :, 2].mean(axis=1)
        by_hand = (prior * beliefs.mean_A[0] + 3 / beliefs.seed_variance_A[0] * ends) / expected
        assert posterior.mean_N == pytest.approx(by_hand, rel=1e-6)
