"""Is one configuration better than another? Enters: two cubes of the same clips, folds and seeds. Leaves: a
`Comparison`."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from reports.evidence.cubes import ScoreCube, difference
from reports.evidence.half_width import half_width
from reports.evidence.intervals import LEVEL, Estimate, estimate
from reports.evidence.pairs import McNemar, holm, mcnemar_by_seed, probability_of_superiority, standardised_difference
from reports.evidence.planning import POWER, detectable_difference, seeds_needed
from reports.evidence.sign_flips import sign_flip_p
from reports.evidence.spread import Spread

_BISECTIONS = 30
_LEAST_P = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """First − second, over the seeds that both have.

    Attributes:
        estimate: the mean difference with its interval; in the units of the score.
        p_value: two-sided, of a mean difference of 0 over all clips, folds and seeds; below 1 − level where the
            interval leaves 0 out.
        p_permutation: the same question by flipping signs of groups (`sign_flips.py`).
        p_adjusted: `p_value` by Holm over the family it was compared in; `p_value` itself for a single comparison.
        mcnemar: seed → McNemar's test of that seed's two models; empty unless scores are right or wrong.
        standardised: mean difference of the seeds ÷ its deviation (Hedges's g); None where that is undefined.
        superiority: the share of pairs of seeds in which the first is higher (ties half); Cliff's delta is 2 × it − 1.
        detectable: the smallest true difference that this study would call with power 0.8; None with a single seed.
        more_seeds: how many more seeds of each would decide, with power 0.8, if the difference is what it seems; 0
            where it is decided, None where no number would, or with a single seed, which tells nothing of others.
    """

    estimate: Estimate
    p_value: float
    p_permutation: float
    p_adjusted: float
    mcnemar: Mapping[int, McNemar]
    standardised: float | None
    superiority: float
    detectable: float | None
    more_seeds: int | None


def compare(first: ScoreCube, second: ScoreCube, *, level: float = LEVEL) -> Comparison:
    """Compares two configurations.

    Raises:
        InvalidInput: they were tested on other clips, folds or groups, or have no seed in common.
    """
    cube = difference(first, second)
    found = estimate(cube, level=level)
    p_value = _p_value(found.mean, found.spread)
    scores = [one.seed_scores[[one.seeds.index(seed) for seed in cube.seeds]].tolist() for one in (first, second)]
    are_right = all(np.isin(one.values, (0.0, 1.0)).all() for one in (first, second))
    has_seeds = len(cube.seeds) > 1
    return Comparison(
        estimate=found,
        p_value=p_value,
        p_permutation=sign_flip_p(cube),
        p_adjusted=p_value,
        mcnemar=mcnemar_by_seed(first, second) if are_right else {},
        standardised=standardised_difference(*scores),
        superiority=probability_of_superiority(*scores),
        detectable=detectable_difference(found.spread, power=POWER, level=level) if has_seeds else None,
        more_seeds=seeds_needed(found.spread, found.mean, power=POWER, level=level) if has_seeds else None,
    )


def compare_all(cubes: Mapping[str, ScoreCube], *, level: float = LEVEL) -> dict[tuple[str, str], Comparison]:
    """(first, second) → comparison, of every pair in the given order, p-values adjusted by Holm over all of them.

    Raises:
        InvalidInput: as `compare`.
    """
    found = {pair: compare(cubes[pair[0]], cubes[pair[1]], level=level) for pair in itertools.combinations(cubes, 2)}
    adjusted = holm([comparison.p_value for comparison in found.values()])
    return {
        pair: replace(comparison, p_adjusted=p) for (pair, comparison), p in zip(found.items(), adjusted, strict=True)
    }


def _p_value(mean: float, found: Spread) -> float:
    """The smallest 1 − level at which the interval around `mean` leaves 0 out; not below one in a million."""
    if mean == 0:
        return 1.0
    low, high = np.log(_LEAST_P), 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if float(half_width(found, level=1.0 - float(np.exp(middle)))) < abs(mean):
            high = middle
        else:
            low = middle
    return float(np.exp(high))
