"""What a sweep says of itself: how configurations and seeds differ, and how well a milestone foretells a seed's end.

Enters: scores. Leaves: per architecture a normal prior of quality, and per milestone the precision with which a score
there tells it. Quality is what a configuration's seeds score at their end in the mean.

The model: a configuration's quality is normal within its architecture; a seed's end is quality plus the seed's own
deviation; from one milestone to the next a score follows a line with residuals. Lines are fitted to the configurations
that went on, which were chosen by the score that the line starts from, so that the choice does not bias them (missing
at random, Rubin 1976). Slopes, residuals and the deviation of seeds are shared by the architectures, levels are each
one's own. Weak priors, in units of the spread of first scores, stand in until there are data.

Shapes: A = architectures, M = milestones, P = pairs of scores at two milestones that follow each other.
"""

from dataclasses import dataclass

import numpy as np

from sweeps.allocation.scores import Floats, Ints, Scores

# Weights of the priors, in observations, and what they say in units of the variance of first scores: a line of slope
# one with residuals of a tenth (a quarter where nobody went on), seeds that share three tenths of the ends' variance.
_SLOPE_WEIGHT = 2.0
_RESIDUAL_WEIGHT, _RESIDUAL_SHARE, _UNSEEN_SHARE = 2.0, 0.1, 0.25
_SEED_WEIGHT, _SEED_SHARE = 2.0, 0.3
_SPREAD_WEIGHT = 4.0  # of all architectures' spread in that of one
_SLOPES = (0.1, 1.5)
_LEAST_SHARE = 1e-6  # of the ends' variance that a milestone tells at least, so that precisions stay above zero
_MOST_SEED_SHARE = 0.9
_LEAST_UNIT = 1e-8  # a variance; scores are shares, and a ten-thousandth is no difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Beliefs:
    """Attributes:
    mean_A, variance_A: prior of the quality of a configuration not yet seen.
    seed_variance_A: of a seed's end around its configuration's quality.
    level_AM, slope_M: a seed's expected end, given its score at a milestone, is level + slope · score.
    precision_AM: of quality, that a score at a milestone adds to the prior's.
    """

    mean_A: Floats
    variance_A: Floats
    seed_variance_A: Floats
    level_AM: Floats
    slope_M: Floats
    precision_AM: Floats

    @property
    def shrinkage_A(self) -> Floats:
        """How much of a seed's expected deviation from the mean is quality."""
        return self.variance_A / (self.variance_A + self.seed_variance_A)


def fit_beliefs(scores: Scores) -> Beliefs:
    """Args: scores: of one configuration or more; those without any score yet say nothing."""
    unit = max(float(np.nanvar(scores.score_NSM[:, 0, 0])), _LEAST_UNIT)
    lines = [_line(scores, milestone, unit) for milestone in range(len(scores.milestones) - 1)]
    level_AM, slope_M, residual_M = _chained(lines, scores, unit)
    mean_A, end_variance_A = _ends(scores, level_AM[:, 0], slope_M[0], residual_M[0])
    seed_variance_A = np.minimum(_seed_variance(scores, end_variance_A), _MOST_SEED_SHARE * end_variance_A)
    variance_A = end_variance_A - seed_variance_A
    told_AM = np.maximum(end_variance_A[:, None] - residual_M, _LEAST_SHARE * end_variance_A[:, None])
    left_AM = variance_A[:, None] - (variance_A / end_variance_A)[:, None] ** 2 * told_AM
    return Beliefs(
        mean_A=mean_A,
        variance_A=variance_A,
        seed_variance_A=seed_variance_A,
        level_AM=level_AM,
        slope_M=slope_M,
        precision_AM=1 / left_AM - 1 / variance_A[:, None],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """From a milestone's score to the next one's: per architecture a level, one slope, the residuals' variance."""

    level_A: Floats
    slope: float
    residual: float


def _line(scores: Scores, milestone: int, unit: float) -> _Line | None:
    went_on = ~np.isnan(scores.score_NSM[:, :, milestone + 1])
    if not went_on.any():
        return None
    before_P = scores.score_NSM[:, :, milestone][went_on]
    after_P = scores.score_NSM[:, :, milestone + 1][went_on]
    of_P = np.broadcast_to(scores.architecture_N[:, None], went_on.shape)[went_on]
    before_A, after_A = (_means(values_P, of_P, scores.num_architectures) for values_P in (before_P, after_P))
    x_P, y_P = before_P - before_A[of_P], after_P - after_A[of_P]
    weight = _SLOPE_WEIGHT * unit
    slope = float(np.clip((x_P @ y_P + weight) / (x_P @ x_P + weight), *_SLOPES))
    left_P = y_P - slope * x_P
    freedom = max(0, len(x_P) - scores.num_architectures)
    residual = (left_P @ left_P + _RESIDUAL_WEIGHT * _RESIDUAL_SHARE * unit) / (freedom + _RESIDUAL_WEIGHT)
    return _Line(level_A=after_A - slope * before_A, slope=slope, residual=float(residual))


def _means(values_P: Floats, of_P: Ints, num_architectures: int) -> Floats:
    """Of each architecture; of all where it has none."""
    counts_A = np.bincount(of_P, minlength=num_architectures)
    sums_A = np.bincount(of_P, weights=values_P, minlength=num_architectures)
    return np.where(counts_A > 0, sums_A / np.maximum(counts_A, 1), values_P.mean())


def _chained(lines: list[_Line | None], scores: Scores, unit: float) -> tuple[Floats, Floats, Floats]:
    """Level (A, M), slope (M,) and residual variance (M,) from every milestone straight to the end."""
    num_milestones = len(lines) + 1
    level_AM = np.zeros((scores.num_architectures, num_milestones))
    slope_M, residual_M = np.ones(num_milestones), np.zeros(num_milestones)
    unseen = _UNSEEN_SHARE * unit
    for milestone, line in reversed(list(enumerate(lines))):
        further = slope_M[milestone + 1]
        slope_M[milestone] = further * (line.slope if line else 1.0)
        residual_M[milestone] = residual_M[milestone + 1] + further**2 * (line.residual if line else unseen)
        level_AM[:, milestone] = level_AM[:, milestone + 1] + further * (line.level_A if line else 0.0)
    return level_AM, slope_M, residual_M


def _ends(scores: Scores, level_A: Floats, slope: float, residual: float) -> tuple[Floats, Floats]:
    """Mean and variance of the ends of all configurations, those that never got there too: first scores, carried on.

    The spread is that above the median: configurations that fail make a long tail below, which says nothing of how far
    the next one may surpass the best.
    """
    first_N = scores.score_NSM[:, 0, 0]
    medians, counts, squares = [], [], []
    for architecture in range(scores.num_architectures):
        first = first_N[(scores.architecture_N == architecture) & ~np.isnan(first_N)]
        medians.append(float(np.median(first)) if len(first) else float(np.nanmedian(first_N)))
        above = first[first >= medians[-1]] - medians[-1]
        counts.append(len(above))
        squares.append(float(above @ above))
    of_all = sum(squares) / max(1, sum(counts))
    spread_A = (np.array(squares) + _SPREAD_WEIGHT * of_all) / (np.array(counts) + _SPREAD_WEIGHT)
    return level_A + slope * np.array(medians), slope**2 * np.maximum(spread_A, _LEAST_UNIT) + residual


def _seed_variance(scores: Scores, end_variance_A: Floats) -> float:
    """Pooled over the configurations of which several seeds came to their end."""
    ends_NS = scores.score_NSM[:, :, -1]
    several = scores.num_whole_N >= 2
    squares = _SEED_WEIGHT * _SEED_SHARE * float(end_variance_A.mean())
    freedom = _SEED_WEIGHT
    if several.any():
        means_N = np.nanmean(ends_NS[several], axis=1, keepdims=True)
        squares += float(np.nansum((ends_NS[several] - means_N) ** 2))
        freedom += float((scores.num_whole_N[several] - 1).sum())
    return squares / freedom
