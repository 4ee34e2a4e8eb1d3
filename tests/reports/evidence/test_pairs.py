"""Counts, ranks and signs against what can be worked out by hand or was published."""

import numpy as np
import pytest
from scipy import stats

from reports.evidence import ScoreCube, score_cube
from reports.evidence.layout import lay_out
from reports.evidence.pairs import (
    holm,
    mcnemar,
    mcnemar_by_seed,
    probability_of_superiority,
    standardised_difference,
)
from reports.evidence.sign_flips import p_of_units, sign_flip_p
from storage.errors import InvalidInput


def test_mcnemars_p_is_the_binomials() -> None:
    # 6 clips only the first got right, 1 only the second: 2 × (1 + 7) ÷ 2⁷.
    found = mcnemar([True] * 6 + [False] + [True, False], [False] * 6 + [True] + [True, False])
    assert (found.first_only, found.second_only) == (6, 1)
    assert found.p_value == pytest.approx(16 / 128)
    assert found.cohens_g == pytest.approx(6 / 7 - 0.5)
    assert found.odds_ratio == 6


def test_models_that_answer_alike_are_not_told_apart() -> None:
    found = mcnemar([True, False], [True, False])
    assert (found.p_value, found.cohens_g, found.odds_ratio) == (1.0, 0.0, None)


def test_mcnemar_refuses_other_clips_and_other_scores() -> None:
    with pytest.raises(InvalidInput, match="2 and 1"):
        mcnemar([True, False], [True])
    half = score_cube(np.array([[0.5]]), clip_ids=["a"], seeds=[1])
    with pytest.raises(InvalidInput, match="right or wrong"):
        mcnemar_by_seed(half, half)


def test_mcnemar_by_seed_tests_each_common_seed() -> None:
    first = score_cube(np.array([[1, 1], [1, 0]]), clip_ids=["a", "b"], seeds=[1, 2])
    second = score_cube(np.array([[0, 1], [0, 1]]), clip_ids=["a", "b"], seeds=[2, 3])
    found = mcnemar_by_seed(first, second)
    assert list(found) == [2]
    assert (found[2].first_only, found[2].second_only) == (1, 0)


def test_holm_multiplies_by_rank_and_never_falls() -> None:
    # 0.01 × 4, 0.02 × 3, then 0.03 × 2 = 0.06 and 0.04 × 1, which must not fall below it.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_signs_of_few_groups_are_enumerated() -> None:
    # Differences 3, 2, 1: of eight patterns only + + + and − − − reach 6.
    cube = _differences([3, 2, 1])
    assert sign_flip_p(cube) == pytest.approx(2 / 8)
    # 3, −1, 1: sums ± 3, ± 3, ± 5, ± 1; |3| or more in six of eight.
    assert sign_flip_p(_differences([3, -1, 1])) == pytest.approx(6 / 8)


def test_clips_of_a_group_flip_together() -> None:
    cube = _differences([3, 2, 1, 1], groups=["a", "b", "c", "c"])
    assert sign_flip_p(cube) == pytest.approx(2 / 8)
    assert sign_flip_p(_differences([3, 2, 1, 1])) == pytest.approx(2 / 16)


def test_drawn_signs_agree_with_enumerated_ones() -> None:
    # Sixteen differences of one: the binomial's chance of 13 or more alike is 2 × 697 ÷ 2¹⁶.
    p = sign_flip_p(_differences([1] * 13 + [-1] * 3), num_flips=40_000)
    assert p == pytest.approx(2 * 697 / 2**16, abs=0.003)


@pytest.mark.parametrize(("num_clips", "plus", "minus"), [(100, 12, 4), (100, 14, 5), (400, 13, 3)])
def test_flips_that_tie_with_what_was_seen_are_counted_as_large(num_clips: int, plus: int, minus: int) -> None:
    # A sum of hundredths is no exact number; with a tie lost, 12 against 4 has p = 0.02 and not 0.08.
    p = sign_flip_p(_differences([1] * plus + [-1] * minus + [0] * (num_clips - plus - minus)))
    exact = stats.binomtest(plus, plus + minus).pvalue
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / 10_000))


def test_ties_are_found_whatever_the_unit_of_the_score() -> None:
    values = [1] * 12 + [-1] * 4 + [0] * 84
    large = [7_000_003 * value for value in values]
    assert sign_flip_p(_differences(large)) == sign_flip_p(_differences(values))


def test_nothing_that_differs_gives_p_1() -> None:
    assert sign_flip_p(_differences([0, 0, 0])) == 1.0
    assert sign_flip_p(_differences([1, -1])) == 1.0


def test_seeds_that_disagree_raise_the_p_value() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (200, 3))
    agreed, split = noise + 0.03, noise + np.array([0.13, 0.03, -0.07])
    layout = lay_out(np.zeros(200, dtype=int), np.arange(200))
    p = [
        p_of_units(layout.unit_sums(values), layout, num_flips=2000, rng=np.random.default_rng(1))
        for values in (agreed, split)
    ]
    assert p[0] < 0.01
    assert p[1] > 0.2


def test_standardised_difference_is_hedges_g_of_the_seeds() -> None:
    # Differences 1, 2, 3: mean 2, deviation 1, correction 1 − 3 ÷ (4 × 2 − 1).
    assert standardised_difference([2, 4, 6], [1, 2, 3]) == pytest.approx(2 * (1 - 3 / 7))
    assert standardised_difference([1, 1], [1, 1]) == 0.0
    assert standardised_difference([2, 2], [1, 1]) is None
    assert standardised_difference([2], [1]) is None


def test_superiority_counts_pairs_and_halves_ties() -> None:
    assert probability_of_superiority([0.9, 0.8], [0.8, 0.7]) == pytest.approx(3.5 / 4)
    assert probability_of_superiority([0.5], [0.5]) == 0.5


def _differences(values: list[int], groups: list[str] | None = None) -> ScoreCube:
    clips = [f"c{place:03d}" for place in range(len(values))]
    return score_cube(np.array(values)[:, None], clip_ids=clips, seeds=[1], groups=groups, is_share=False)
