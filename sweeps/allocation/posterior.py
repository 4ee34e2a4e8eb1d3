"""The quality of every configuration, as its scores and the sweep's beliefs tell it. N, S, M, A as elsewhere here."""

from dataclasses import dataclass

import numpy as np

from sweeps.allocation.beliefs import Beliefs
from sweeps.allocation.scores import NOT_BEGUN, Floats, Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class Posterior:
    """Normal, one for each configuration. Attributes: mean_N; precision_N: inverse variance."""

    mean_N: Floats
    precision_N: Floats


def posterior_of(scores: Scores, beliefs: Beliefs) -> Posterior:
    """Each seed tells of quality by all of its scores."""
    of_N = scores.architecture_N
    prior_N = 1 / beliefs.variance_A[of_N]
    mean_N = beliefs.mean_A[of_N]
    precision_N, weighted_N = prior_N.copy(), mean_N * prior_N
    for seed in range(scores.num_seeds):
        level_N = scores.level_NS[:, seed]
        begun_N = level_N != NOT_BEGUN
        if not begun_N.any():
            break
        at_N = np.maximum(level_N, 0)
        score_NM = np.nan_to_num(scores.score_NSM[:, seed])  # weights of milestones that are yet to come are 0
        end_N = beliefs.level_AM[of_N, at_N] + (beliefs.weight_MM[at_N] * score_NM).sum(axis=1)
        expected_N = mean_N + beliefs.shrinkage_A[of_N] * (end_N - mean_N)  # quality, by this seed alone
        added_N = np.where(begun_N, beliefs.precision_AM[of_N, at_N], 0.0)
        precision_N += added_N
        # What moves the prior's mean to `expected` with precision p says (expected · (prior + p) - mean · prior) / p.
        weighted_N += np.where(begun_N, expected_N * (prior_N + added_N) - mean_N * prior_N, 0.0)
    return Posterior(mean_N=weighted_N / precision_N, precision_N=precision_N)
