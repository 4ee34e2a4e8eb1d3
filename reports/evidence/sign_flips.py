"""A permutation test of a paired difference. Enters: a difference cube. Leaves: a p-value.

If two configurations are equally good, then exchanging their names on a group of clips changes the sign of that
group's difference and nothing else, so the signs that came out are one draw of equally likely ones. Groups flip whole,
with all seeds: their clips and seeds are not independent. Flipping groups says nothing of other seeds, and with three
seeds flipping those can only tell p = 0.25. So what seeds and folds add (`spread.py`) is added to every flip as a draw
of its own: from the fiducial distribution as far as they weigh against the clips (`half_width.py`), else the estimated
deviation times Student's t, which is Behrens's and Fisher's answer to two unknown variances.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from reports.evidence.cubes import ScoreCube
from reports.evidence.half_width import fiducial_weights
from reports.evidence.layout import Layout
from reports.evidence.spread import Excess, spread

NUM_FLIPS = 10_000
_ENUMERATED = 12  # up to so many units every pattern of signs is looked at
_AT_ONCE = 2_000_000  # signs in memory
_SLACK = 1e-9  # of the largest sum there can be: sums of the same numbers in another order are equal


def sign_flip_p(cube: ScoreCube, *, num_flips: int = NUM_FLIPS, rng: np.random.Generator | None = None) -> float:
    """The two-sided p-value that the mean difference is 0; 1 where nothing differs.

    Exact, with every pattern of signs, where at most 12 groups differ at all and seeds and folds add nothing.

    Args:
        cube: a difference, see `difference`.
        num_flips: patterns drawn otherwise.
        rng: what draws them; the same one for the same p-value. None: a fixed one.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    return p_of_units(cube.unit_sums, cube.layout, num_flips=num_flips, rng=rng)


def p_of_units(units: NDArray[np.float64], layout: Layout, *, num_flips: int, rng: np.random.Generator) -> float:
    """The same of the contributions of units to the difference, float64 (U, S)."""
    if not units.any():
        return 1.0
    sums = units.mean(axis=1)
    sums = sums[sums != 0]
    least, found = abs(float(sums.sum())) - _SLACK * float(np.abs(sums).sum()), spread(units, layout)
    excesses = [(excess, float(weight)) for excess, weight in fiducial_weights(found) if excess.positive > 0]
    if not excesses and len(sums) <= _ENUMERATED:
        flipped = np.array(list(itertools.product((-1.0, 1.0), repeat=len(sums)))) @ sums
        return float((np.abs(flipped) >= least).mean())
    flipped = _flipped(sums, num_flips, rng) + _added(excesses, num_flips, rng)
    return float((1 + (np.abs(flipped) >= least).sum()) / (1 + num_flips))


def _flipped(sums: NDArray[np.float64], num_flips: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(num_flips,): the sum with random signs."""
    at_once = max(1, _AT_ONCE // max(1, len(sums)))
    batches = [min(at_once, num_flips - done) for done in range(0, num_flips, at_once)]
    return np.concatenate([_signs(rng, num, len(sums)) @ sums for num in batches])


def _signs(rng: np.random.Generator, num_rows: int, num_columns: int) -> NDArray[np.float64]:
    bits = np.unpackbits(rng.integers(0, 256, (num_rows, -(-num_columns // 8)), dtype=np.uint8), axis=1)
    return bits[:, :num_columns].astype(np.float64) * 2 - 1


def _added(excesses: list[tuple[Excess, float]], num_flips: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(num_flips,): what other seeds and folds would have added."""
    draws = np.zeros(num_flips)
    for excess, weight in excesses:
        drawn = np.maximum(excess.square * excess.df / rng.chisquare(excess.df, num_flips) - excess.floor, 0.0)
        fiducial = np.sqrt(drawn) * rng.standard_normal(num_flips)
        plain = np.sqrt(excess.positive) * rng.standard_t(excess.df, num_flips)
        draws += np.where(rng.random(num_flips) < weight, fiducial, plain)
    return draws
