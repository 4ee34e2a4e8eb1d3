"""What a sweep says of itself: how configurations and seeds differ, and how well a milestone foretells a seed's end.

Enters: scores. Leaves: per architecture a normal prior of quality, and per milestone the precision with which a score
there tells it. Quality is what a configuration's seeds score at their end in the mean.

The model: a configuration's quality is normal within its architecture; a seed's end is quality plus the seed's own
deviation; a score follows from all scores at earlier milestones by a linear regression with residuals. It is fitted to
the configurations that went on, which were chosen by the scores that it starts from, so that the choice does not bias
it (missing at random, Rubin 1976; such regressions one after the other are the maximum likelihood of a normal with
monotone gaps, Anderson, JASA 52, 1957). Weights, residuals and the deviation of seeds are shared by the architectures,
levels are each one's own. Weak priors stand in until there are data; they are correlations, in units of what is seen.

Shapes: A = architectures, M = milestones, P = pairs of scores at two milestones that follow each other,
G = values of a grid.
"""

from dataclasses import dataclass

import numpy as np

from sweeps.allocation.scores import Floats, Ints, Scores

# Weights of the priors, in observations, and what they say: a score is told by the one before it, with a correlation of
# 0.9, and by no earlier one; where nobody went on, residuals are a quarter of the variance of first scores; seeds
# have three tenths of the ends' variance.
_WEIGHT, _CORRELATION, _UNSEEN_SHARE = 2.0, 0.9, 0.25
_SEED_WEIGHT, _SEED_SHARE = 2.0, 0.3
_SPREAD_WEIGHT = 4.0  # of all architectures' spread in that of one
# What a milestone is said to tell is tempered by this power. Who leads early leads in part by pace, which no normal
# model knows: among the first, an early score tells less than in the whole field, the more so the less it tells at all.
_TEMPERED = 1.5
_LEAST_SHARE = 1e-6  # that a milestone tells at least, before it is tempered, so that precisions stay above zero
_SEED_SHARES = np.linspace(0.02, 0.9, 45)  # that are weighed
_LEAST_UNIT = 1e-8  # a variance; scores are shares, and a ten-thousandth is no difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Beliefs:
    """Attributes:
    mean_A, variance_A: prior of the quality of a configuration not yet seen.
    seed_variance_A: of a seed's end around its configuration's quality.
    level_AM, weight_MM: a seed's expected end, given its scores up to milestone m, is level[m] + weight[m] · scores;
        weights of later milestones are 0.
    precision_AM: of quality, that a score at a milestone adds to the prior's.
    """

    mean_A: Floats
    variance_A: Floats
    seed_variance_A: Floats
    level_AM: Floats
    weight_MM: Floats
    precision_AM: Floats

    @property
    def shrinkage_A(self) -> Floats:
        """How much of a seed's expected deviation from the mean is quality."""
        return self.variance_A / (self.variance_A + self.seed_variance_A)


def fit_beliefs(scores: Scores) -> Beliefs:
    """Args: scores: of one configuration or more; those without any score yet say nothing."""
    unit = max(float(np.nanvar(scores.score_NSM[:, 0, 0])), _LEAST_UNIT)
    steps = [_step(scores, milestone) for milestone in range(len(scores.milestones) - 1)]
    level_AM, weight_MM, residual_M = _chained(steps, scores, _UNSEEN_SHARE * unit)
    ends = _ends(scores, level_AM[:, 0], float(weight_MM[0, 0]), residual_M[0])
    seed_variance_A = _seed_share(scores, ends) * ends.upper_variance_A
    variance_A = ends.upper_variance_A - seed_variance_A
    told_share_AM = np.maximum(1 - residual_M / ends.variance_A[:, None], _LEAST_SHARE) ** _TEMPERED
    told_AM = ends.upper_variance_A[:, None] * told_share_AM
    left_AM = variance_A[:, None] - (variance_A / ends.upper_variance_A)[:, None] ** 2 * told_AM
    return Beliefs(
        mean_A=ends.mean_A,
        variance_A=variance_A,
        seed_variance_A=seed_variance_A,
        level_AM=level_AM,
        weight_MM=weight_MM,
        precision_AM=1 / left_AM - 1 / variance_A[:, None],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """From the scores up to a milestone to the next one's: a level per architecture, weights (milestone + 1,), and the
    residuals' variance."""

    level_A: Floats
    weight_K: Floats
    residual: float


def _step(scores: Scores, milestone: int) -> _Step | None:
    """K: the milestones up to this one."""
    went_on = ~np.isnan(scores.score_NSM[:, :, milestone + 1])
    if not went_on.any():
        return None
    before_PK = scores.score_NSM[:, :, : milestone + 1][went_on]
    after_P = scores.score_NSM[:, :, milestone + 1][went_on]
    of_P = np.broadcast_to(scores.architecture_N[:, None], went_on.shape)[went_on]
    num_pairs, num_levels = len(of_P), len(np.unique(of_P))
    before_AK = np.stack([_means(values_P, of_P, scores.num_architectures) for values_P in before_PK.T], axis=1)
    after_A = _means(after_P, of_P, scores.num_architectures)
    x_PK, y_P = before_PK - before_AK[of_P], after_P - after_A[of_P]
    x_variance_K = ((x_PK**2).sum(axis=0) + _LEAST_UNIT) / max(1, num_pairs - num_levels)
    y_variance = (y_P @ y_P + x_variance_K[-1]) / (num_pairs - num_levels + 1)
    prior_K = np.zeros(milestone + 1)
    prior_K[-1] = _CORRELATION * np.sqrt(y_variance / x_variance_K[-1])
    ridge_K = _WEIGHT * x_variance_K
    within_KK = x_PK.T @ x_PK
    weight_K = np.linalg.solve(within_KK + np.diag(ridge_K), x_PK.T @ y_P + ridge_K * prior_K)
    num_fitted = float(np.trace(np.linalg.solve(within_KK + np.diag(ridge_K), within_KK)))
    left_P = y_P - x_PK @ weight_K
    squares = left_P @ left_P + _WEIGHT * (1 - _CORRELATION**2) * y_variance
    residual = float(squares / (max(0.0, num_pairs - num_levels - num_fitted) + _WEIGHT))
    return _Step(level_A=after_A - before_AK @ weight_K, weight_K=weight_K, residual=residual)


def _means(values_P: Floats, of_P: Ints, num_architectures: int) -> Floats:
    """Of each architecture; of all where it has none."""
    counts_A = np.bincount(of_P, minlength=num_architectures)
    sums_A = np.bincount(of_P, weights=values_P, minlength=num_architectures)
    return np.where(counts_A > 0, sums_A / np.maximum(counts_A, 1), values_P.mean())


def _chained(steps: list[_Step | None], scores: Scores, unseen: float) -> tuple[Floats, Floats, Floats]:
    """Level (A, M), weights (M, M) and residual variance (M,) from every milestone straight to the end.

    Args:
        unseen: residual variance of a step that nobody has made.
    """
    num_milestones = len(steps) + 1
    level_AM = np.zeros((scores.num_architectures, num_milestones))
    weight_MM, residual_M = np.eye(num_milestones), np.zeros(num_milestones)
    for milestone, step in reversed(list(enumerate(steps))):
        further = weight_MM[milestone + 1, milestone + 1]
        weight_MM[milestone, : milestone + 1] = weight_MM[milestone + 1, : milestone + 1]
        if step is None:
            weight_MM[milestone, milestone] += further
        else:
            weight_MM[milestone, : milestone + 1] += further * step.weight_K
        residual_M[milestone] = residual_M[milestone + 1] + further**2 * (step.residual if step else unseen)
        level_AM[:, milestone] = level_AM[:, milestone + 1] + further * (step.level_A if step else 0.0)
    return level_AM, weight_MM, residual_M


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ends:
    """Of all configurations, those that never got there too: first scores, carried on.

    Attributes:
        upper_variance_A: around the median, of those above it. Configurations that fail make a long tail below, which
            says nothing of how far the next one may surpass the best.
        variance_A: of all, and at most that: a long tail above is in part of fast ones, which lead at first alone.
    """

    mean_A: Floats
    upper_variance_A: Floats
    variance_A: Floats


def _ends(scores: Scores, level_A: Floats, slope: float, residual: float) -> _Ends:
    first_N = scores.score_NSM[:, 0, 0]
    medians, counts, squares, variances = [], [], [], []
    for architecture in range(scores.num_architectures):
        first = first_N[(scores.architecture_N == architecture) & ~np.isnan(first_N)]
        medians.append(float(np.median(first)) if len(first) else float(np.nanmedian(first_N)))
        above = first[first >= medians[-1]] - medians[-1]
        counts.append(len(above))
        squares.append(float(above @ above))
        variances.append(float(np.var(first)) if len(first) > 1 else np.nan)
    of_all = sum(squares) / max(1, sum(counts))
    upper_A = (np.array(squares) + _SPREAD_WEIGHT * of_all) / (np.array(counts) + _SPREAD_WEIGHT)
    variance_A = np.fmin(np.array(variances), upper_A)
    return _Ends(
        mean_A=level_A + slope * np.array(medians),
        upper_variance_A=slope**2 * np.maximum(upper_A, _LEAST_UNIT) + residual,
        variance_A=slope**2 * np.maximum(variance_A, _LEAST_UNIT) + residual,
    )


def _seed_share(scores: Scores, ends: _Ends) -> float:
    """The seeds' share of the ends' variance: its mean, weighed by the likelihood of every further seed's end.

    Further seeds go to configurations whose first ones did well, in part by luck. The distance between the seeds would
    overstate the share; how far the next one falls back from those before it, given these, does not.
    """
    of_N, share_G = scores.architecture_N, _SEED_SHARES
    z_NS = (scores.score_NSM[:, :, -1] - ends.mean_A[of_N, None]) / np.sqrt(ends.upper_variance_A[of_N, None])
    log_weight_G = _SEED_WEIGHT * (_SEED_SHARE * np.log(share_G) + (1 - _SEED_SHARE) * np.log(1 - share_G))
    for seed in range(1, scores.num_seeds):
        whole_N = scores.num_whole_N > seed
        told_G = (1 - share_G) / (seed * (1 - share_G) + share_G)  # of the next one by the sum of those before it
        left_G = 1 - told_G * seed * (1 - share_G)  # variance of the next one, given those
        off_NG = z_NS[whole_N, seed, None] - told_G * z_NS[whole_N, :seed].sum(axis=1, keepdims=True)
        log_weight_G = log_weight_G - 0.5 * (off_NG**2 / left_G + np.log(left_G)).sum(axis=0)
    weight_G = np.exp(log_weight_G - log_weight_G.max())
    return float(weight_G @ share_G / weight_G.sum())
