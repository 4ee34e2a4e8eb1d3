"""What is said of two configurations: never more than their answers decide."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from reports.evidence import ScoreCube, score_cube
from reports.final_scores import PairedTests, compare_cubes
from reports.pair_sections import pairs_section

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

_CLIPS = [f"clip{number:03d}" for number in range(200)]


def cube(accuracy: float, *, seeds: tuple[int, ...] = (1, 2, 3), clips: list[str] = _CLIPS, rng: int = 0) -> ScoreCube:
    """Right answers to the easiest clips, but for a few that each seed answers by chance."""
    drawn = np.random.default_rng(rng)
    easy = np.arange(len(clips))[:, None] < accuracy * len(clips)
    flipped = drawn.random((len(clips), len(seeds))) < 0.02
    return score_cube(easy ^ flipped, clip_ids=clips, seeds=seeds)


def told(invented: "InventedSweep", cubes: dict[str, ScoreCube], *pairs: tuple[str, str]) -> str:
    tests, reasons = compare_cubes(cubes)
    return str(pairs_section(invented.load(), tests, in_words=pairs, reasons=reasons))


def test_a_clear_difference_is_told_from_either_side(invented: "InventedSweep") -> None:
    text = told(invented, {"a": cube(0.9), "b": cube(0.6, rng=1)}, ("a", "b"), ("b", "a"))
    assert "a is better than b: +28.7 points (+22.3 to +35.0), p &lt; 0.001" in text
    assert "b is worse than a: -28.7 points (-35.0 to -22.3)" in text
    assert "undecided:" not in text


def test_an_unclear_one_is_undecided_and_says_what_might_decide(invented: "InventedSweep") -> None:
    text = told(invented, {"a": cube(0.81), "b": cube(0.8, rng=1)}, ("a", "b"))
    assert "a against b is undecided: " in text
    assert "might" in text


def test_the_same_answers_are_no_difference(invented: "InventedSweep") -> None:
    assert "a and b are right about the same clips" in told(invented, {"a": cube(0.8), "b": cube(0.8)}, ("a", "b"))


def test_one_seed_decides_nothing_about_others(invented: "InventedSweep") -> None:
    text = told(invented, {"a": cube(0.8, seeds=(1,)), "b": cube(0.79, seeds=(1,), rng=1)}, ("a", "b"))
    assert "a single seed does not tell how many would decide" in text


def test_other_clips_and_other_seeds_leave_a_configuration_out(invented: "InventedSweep") -> None:
    cubes = {
        "a": cube(0.8),
        "b": cube(0.7, rng=1),
        "c": cube(0.7, clips=_CLIPS[:100]),
        "d": cube(0.7, seeds=(7, 8)),
    }
    tests, reasons = compare_cubes(cubes)
    assert tests is not None
    assert tests.names == ("a", "b")
    assert reasons.keys() == {"c", "d"}
    assert "Left out: 2 configurations" in told(invented, cubes)


def test_with_one_configuration_there_is_nothing_to_test(invented: "InventedSweep") -> None:
    assert compare_cubes({"a": cube(0.8)}) == (None, {})
    assert compare_cubes({}) == (None, {})
    assert "Two configurations with stored predictions" in told(invented, {"a": cube(0.8)})


def test_every_p_value_of_the_family_is_adjusted(invented: "InventedSweep") -> None:
    tests, _ = compare_cubes({name: cube(0.7 + 0.05 * place, rng=place) for place, name in enumerate("abc")})
    assert isinstance(tests, PairedTests)
    assert len(tests.comparisons) == 3
    for pair, found in tests.comparisons.items():
        assert tests.p_permutation[pair] >= found.p_permutation
        assert all(tests.p_mcnemar[pair][seed] >= test.p_value for seed, test in found.mcnemar.items())
    smallest = min(tests.comparisons.values(), key=lambda found: found.p_value)
    assert smallest.p_adjusted == pytest.approx(min(1.0, 3 * smallest.p_value))
