"""Mean, deviation over seeds and confidence interval of a score. Enters: a `ScoreCube`. Leaves: an `Estimate`.

The interval says where the mean score of this configuration lies over all clips, folds and seeds, of which the study
saw a few. Its width comes from the variance of all sources together (`spread.py`, `half_width.py`). Near 0 and 1 a
share's variance depends on the share itself, so there the interval holds every value that the study does not
contradict, as Wilson's (1927) does: the variance is taken to rise and fall with (p (1 − p)) to the power 1.5.
Wilson's power is 1, that of independent clips; a skill that differs by seed, fold or group on the scale of log odds
has 2; 1.5 covered best in `benchmarks/coverage.py`. For rare answers of clustered clips see Dean & Pagano 2015 and
Franco et al. 2019 (J. Survey Stat. Methodol. 7:334), who put an effective number of clips into Wilson's formula.
"""

from dataclasses import dataclass, replace

import numpy as np

from reports.evidence.cubes import ScoreCube
from reports.evidence.half_width import half_width
from reports.evidence.layout import Layout
from reports.evidence.spread import Numbers, Spread, spread

LEVEL = 0.95
_POWER = 1.5
_LEAST_ERRORS = 0.25  # a share is held this many clips away from 0 and 1 when its variance is told
_NOTHING = 1e-20  # a variance below it is rounding
_BISECTIONS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """From `low` to `high`, in the units of the score; made so that a share `level` of studies holds the truth."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean score and how far it can be trusted.

    Attributes:
        mean: over seeds, of the score over all folds.
        deviation: sample standard deviation of the seeds' scores (ddof = 1); None for a single seed.
        interval: None where nothing repeats: one seed on one group.
        spread: where the uncertainty comes from.
        num_clips, num_groups, num_folds, num_seeds: what it rests on. The interval leaves out a source of which there
            is
            one: with a single seed it is about these trained models, not about the configuration.
    """

    mean: float
    deviation: float | None
    interval: Interval | None
    spread: Spread
    num_clips: int
    num_groups: int
    num_folds: int
    num_seeds: int


def estimate(cube: ScoreCube, *, level: float = LEVEL) -> Estimate:
    """The mean of a cube, the deviation of its seeds and its interval."""
    layout, scores = cube.layout, cube.seed_scores
    found, mean = _spread_of(cube), float(scores.mean())
    interval = None
    if layout.num_units > 1 or len(cube.seeds) > 1:
        low, high = bounds(np.asarray(mean), found, layout, is_share=cube.is_share, level=level)
        interval = Interval(low=float(low), high=float(high), level=level)
    return Estimate(
        mean=mean,
        deviation=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        interval=interval,
        spread=found,
        num_clips=len(cube.clip_ids),
        num_groups=len(set(cube.groups)),
        num_folds=layout.num_folds,
        num_seeds=len(cube.seeds),
    )


def _spread_of(cube: ScoreCube) -> Spread:
    """Of differences that are all alike, and not 0, the clips' variance is taken around 0, not around their mean.

    A handful of clips that agree would otherwise be proof; so four clips are worth t = 2, as four equal signs are p =
    1/8.
    """
    found, mean = spread(cube.unit_sums, cube.layout), cube.seed_scores.mean()
    if cube.is_share or found.variance > _NOTHING or cube.layout.num_units == 1:
        return found
    return replace(found, base=mean**2 / cube.layout.effective_units)


def bounds(
    mean: Numbers, found: Spread, layout: Layout, *, is_share: bool, level: float = LEVEL
) -> tuple[Numbers, Numbers]:
    """(low, high) of the interval; arrays over studies where `mean` is one."""
    if not is_share:
        half = half_width(found, level=level)
        return mean - half, mean + half
    margin = _LEAST_ERRORS / layout.num_clips
    share = np.clip(mean, margin, 1.0 - margin)
    # Where all answered alike, the study is worth what as many independent clips as it has units would be: Wilson's.
    is_alike = np.asarray(found.variance) < _NOTHING
    base = np.where(is_alike, share * (1.0 - share) / layout.effective_units, found.base)
    half = half_width(replace(found, base=base), level=level)
    power = np.where(is_alike, 1.0, _POWER)
    mean, at_share = np.clip(mean, 0.0, 1.0), (share * (1.0 - share)) ** power
    low, high = (_end(mean, end * np.ones_like(mean), half, power, at_share) for end in (0.0, 1.0))
    return low, high


def _end(mean: Numbers, outermost: Numbers, half: Numbers, power: Numbers, at_share: Numbers) -> Numbers:
    """The value farthest from `mean`, towards `outermost`, that its own variance would let the study find."""
    inside, outside = mean, outermost
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        is_held = np.abs(middle - mean) <= half * np.sqrt((middle * (1.0 - middle)) ** power / at_share)
        inside, outside = np.where(is_held, middle, inside), np.where(is_held, outside, middle)
    return inside
