"""What may be trained next, and the stages that lie before it.

Enters: scores, what they say of each configuration, and the epochs that are left. Leaves: ways, of whose chains
`gain.py` finds the one that is worth most. Shapes: N = configurations, M = milestones, T = stages.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from sweeps.allocation.beliefs import Beliefs
from sweeps.allocation.gain import Chain
from sweeps.allocation.scores import NOT_BEGUN, Floats, Scores

_FAR = 4.0  # deviations behind the best: what lies further back is not weighed


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """Epochs of the budget. Attributes: free: those that the best one does not need to have all seeds."""

    in_all: float
    free: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a sweep stands. Attributes: mean_N: of quality; -inf of what is not to be weighed. precision_N: of it."""

    scores: Scores
    beliefs: Beliefs
    mean_N: Floats
    precision_N: Floats
    left: Left


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """To the next milestone with one configuration. Attributes: row: of `Scores`; None for one that is begun."""

    chain: Chain
    architecture: int
    seed: int
    milestone: int
    row: int | None = None


def lacks_N(scores: Scores) -> Floats:
    """Epochs that each configuration needs to have all seeds."""
    lacking: Floats = (scores.milestones[-1] - scores.epochs_NS).sum(axis=1)
    return lacking


def ways_further(standing: Standing, *, taken: Collection[int]) -> Iterator[Way]:
    """More epochs of configurations that were begun: of their seed, or of their next one.

    Of those with the same stages before them the one nearest to its rival is worth most, and stands for all.
    """
    scores, mean_N = standing.scores, standing.mean_N
    if not np.isfinite(mean_N).any():
        return
    seed_N = np.minimum(scores.num_whole_N, scores.num_seeds - 1)
    level_N = scores.level_NS[np.arange(scores.num_rows), seed_N]
    ahead_N = mean_N - _rivals(mean_N)
    open_N = (level_N < len(scores.milestones) - 1) & (ahead_N + _FAR / np.sqrt(standing.precision_N) > 0)
    open_N &= lacks_N(scores) <= standing.left.in_all
    open_N[list(taken)] = False
    kind_N3 = np.stack([scores.architecture_N, seed_N, level_N], axis=1)
    for kind in np.unique(kind_N3[open_N], axis=0):
        of_kind_N = open_N & (kind_N3 == kind).all(axis=1)
        row = int(np.argmin(np.where(of_kind_N, np.abs(ahead_N), np.inf)))
        architecture, seed, level = map(int, kind)
        stages = _stages(standing, architecture, seed, level, float(standing.precision_N[row]))
        if stages is not None:
            chain = Chain(ahead=float(ahead_N[row]), deviation_T=stages[0], cost_T=stages[1])
            yield Way(chain=chain, architecture=architecture, seed=seed, milestone=level + 1, row=row)


def ways_to_begin(standing: Standing, *, may_begin: Collection[int]) -> Iterator[Way]:
    """A configuration that nobody has seen yet, of each architecture that has some."""
    scores, beliefs = standing.scores, standing.beliefs
    if scores.num_seeds * float(scores.milestones[-1]) > standing.left.in_all:
        return
    best = float(standing.mean_N.max(initial=-np.inf))
    if not np.isfinite(best):  # nothing to be better than: all have failed
        best = float(beliefs.mean_A.max())
    for architecture in sorted(may_begin):
        stages = _stages(standing, architecture, 0, NOT_BEGUN, 1 / float(beliefs.variance_A[architecture]))
        if stages is not None:
            ahead = float(beliefs.mean_A[architecture]) - best
            chain = Chain(ahead=ahead, deviation_T=stages[0], cost_T=stages[1])
            yield Way(chain=chain, architecture=architecture, seed=0, milestone=0)


def _stages(
    standing: Standing, architecture: int, seed: int, level: int, precision: float
) -> tuple[Floats, Floats] | None:
    """What a configuration has before it whose seed stands at a level: its milestones, and the ends of further seeds.

    Returns:
        By how much each stage will move the mean of its quality, which has this precision now, and what it costs; as
        far as that can be afforded, and None where nothing can.
    """
    scores, told_M = standing.scores, standing.beliefs.precision_AM[architecture]
    cost_M, later_M = scores.milestones.astype(np.float64), slice(level + 1, None)
    known, spent = (0.0, 0.0) if level == NOT_BEGUN else (told_M[level], cost_M[level])
    whole_T = np.arange(2, scores.num_seeds - seed + 1)  # seeds: this one and further ones
    cost_T = np.concatenate([cost_M[later_M], cost_M[-1] * whole_T]) - spent
    told_T = np.concatenate([told_M[later_M], told_M[-1] * whole_T]) - known
    num_stages = int((cost_T <= standing.left.free).sum())
    if not num_stages:
        return None
    variance_T = 1 / (precision + np.concatenate([[0.0], told_T[:num_stages]]))
    deviation_T = np.sqrt(np.maximum(-np.diff(variance_T), 0.0))
    return deviation_T, np.diff(cost_T[:num_stages], prepend=0.0)


def _rivals(mean_N: Floats) -> Floats:
    """The best of all others, for each. With one alone, one deviation of nothing: itself."""
    if len(mean_N) == 1:
        return mean_N.copy()
    first, second = np.argsort(-mean_N, kind="stable")[:2]
    rival_N = np.full_like(mean_N, mean_N[first])
    rival_N[first] = mean_N[second] if np.isfinite(mean_N[second]) else mean_N[first]
    return rival_N
