"""What more training is expected to bring: by how much the best posterior mean rises, in units of the score.

The knowledge gradient of Frazier, Powell and Dayanik ("A Knowledge-Gradient Policy for Sequential Information
Collection", SIAM J. Control Optim. 47(5), 2008), with the remedy of Frazier and Powell ("Paradoxes in Learning and the
Marginal Value of Information", Decision Analysis 7(4), 2010) for what one step alone undervalues: longer steps are
weighed, too, and so is a step after which it may be gone on. Shapes: any, all alike.
"""

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from sweeps.allocation.scores import Floats

# Values of a standard normal, best first, in cells of a quarter: what pays lies far above the middle. The last cell has
# all that lies below.
_POINTS = np.arange(4.0, -2.25, -0.25)
_SHARES = norm.sf(np.append(_POINTS[:-1] - 0.125, -np.inf))  # of all that lies in a cell or above
_WEIGHTS = np.diff(_SHARES, prepend=0.0)


def expected_excess(ahead: Floats, deviation: Floats) -> Floats:
    """E[max(ahead + deviation · Z, 0)] of a standard normal Z."""
    deviation = np.maximum(deviation, 1e-12)
    z = ahead / deviation
    excess: Floats = deviation * (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + z * ndtr(z))
    return excess


def expected_gain(ahead: Floats, deviation: Floats) -> Floats:
    """Rise of the best mean when the mean of one configuration will move by N(0, deviation²).

    Args:
        ahead: its mean less the best of the others'.
    """
    return expected_excess(-np.abs(ahead), deviation)


def gain_per_cost(
    ahead: Floats, deviation: Floats, whole_deviation: Floats, cost: Floats, whole_cost: Floats
) -> Floats:
    """The best rate, over all thresholds, of: pay `cost` for a first look, and the rest of `whole_cost` only above it.

    Args:
        deviation, whole_deviation: by how much the mean will move by the look, and by all of it.
    """
    look = np.minimum(deviation, whole_deviation)
    rest = np.sqrt(np.maximum(whole_deviation**2 - look**2, 0.0))
    seen = ahead[..., None] + look[..., None] * _POINTS
    if_gone_on = np.cumsum(expected_excess(seen, rest[..., None]) * _WEIGHTS, axis=-1)
    if_left = np.maximum(seen, 0.0) * _WEIGHTS
    left_below = if_left.sum(axis=-1, keepdims=True) - np.cumsum(if_left, axis=-1)
    gain = if_gone_on + left_below - np.maximum(ahead, 0.0)[..., None]
    costs = cost[..., None] + _SHARES * (whole_cost - cost)[..., None]
    rate: Floats = np.max(gain / costs, axis=-1)
    return rate
