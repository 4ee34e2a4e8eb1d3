"""Tests and effect sizes that need nothing but counts or a few seeds. Plain functions, no simulation, no state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reports.evidence.cubes import ScoreCube, difference
from storage.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class McNemar:
    """Two models on the same clips, one seed each; only clips that exactly one of them got right tell anything.

    Attributes:
        first_only, second_only: clips that the first, or the second alone, got right.
        p_value: exact, two-sided: both counts are equally likely. Takes clips for independent, and speaks of these two
            trained models alone.
        cohens_g: share of the first's among those clips − 0.5, from −0.5 to 0.5; 0.05, 0.15 and 0.25 are small, medium
            and large (Cohen 1988). 0 where there are none.
        odds_ratio: first_only ÷ second_only; None where that is not a number.
    """

    first_only: int
    second_only: int
    p_value: float
    cohens_g: float
    odds_ratio: float | None


def mcnemar(first: Sequence[bool] | NDArray[np.bool_], second: Sequence[bool] | NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test of which clips each got right, clip by clip.

    Raises:
        InvalidInput: they are of different length.
    """
    of_first, of_second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if of_first.shape != of_second.shape:
        raise InvalidInput(
            "clips of two models",
            given=f"{len(of_first)} and {len(of_second)}",
            allowed="the same clips for both",
            remedy="Compare models that were tested on the same split.",
        )
    first_only, second_only = int((of_first & ~of_second).sum()), int((~of_first & of_second).sum())
    told = first_only + second_only
    return McNemar(
        first_only=first_only,
        second_only=second_only,
        p_value=float(stats.binomtest(first_only, told).pvalue) if told else 1.0,
        cohens_g=first_only / told - 0.5 if told else 0.0,
        odds_ratio=first_only / second_only if second_only else None,
    )


def mcnemar_by_seed(first: ScoreCube, second: ScoreCube) -> dict[int, McNemar]:
    """Seed → the test of this seed's two models; of cubes of right (1) and wrong (0) answers to the same clips.

    Raises:
        InvalidInput: a score is neither 0 nor 1, or the cubes cannot be compared (`difference`).
    """
    seeds = difference(first, second).seeds
    for cube in (first, second):
        if not np.isin(cube.values, (0.0, 1.0)).all():
            raise InvalidInput(
                "scores", given="some other than 0 and 1", allowed="right or wrong", remedy="Give cubes of accuracy."
            )
    return {
        seed: mcnemar(first.values[:, first.seeds.index(seed)] > 0, second.values[:, second.seeds.index(seed)] > 0)
        for seed in seeds
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order: below α they are significant in a family that errs with at most α (Holm
    1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def standardised_difference(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Mean of the seeds' differences ÷ their deviation, lessened for few seeds (Hedges 1981); None where it is
    undefined."""
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if len(differences) < 2 or np.ptp(differences) == 0:
        return 0.0 if len(differences) > 1 and not differences.any() else None
    df = len(differences) - 1
    return float(differences.mean() / differences.std(ddof=1) * (1 - 3 / (4 * df - 1)))


def probability_of_superiority(first: Sequence[float], second: Sequence[float]) -> float:
    """The share of pairs, a seed of each, in which the first is higher; ties count half. Cliff's delta is 2 × it −
    1."""
    gaps = np.asarray(first, dtype=np.float64)[:, None] - np.asarray(second, dtype=np.float64)[None]
    gaps = np.where(np.abs(gaps) < 1e-12, 0.0, gaps)
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())
