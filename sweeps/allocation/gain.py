"""What more training is expected to bring: by how much the best posterior mean rises, in units of the score, per epoch.

A configuration is trained in stages. Each moves its posterior mean by a normal step and costs epochs; after each one
may stop. Its rate is the highest price of an epoch at which it still pays to begin, if after every stage the better of
stopping and going on is done at that price: the index of Gittins ("Bandit Processes and Dynamic Allocation Indices",
JRSS B 41(2), 1979), with the gain of Frazier, Powell and Dayanik's knowledge gradient (SIAM J. Control Optim. 47(5),
2008): E[max(mean, rival)] at the end less what the best one has now. To look one stage ahead alone undervalues what
tells little at first (Frazier and Powell, Decision Analysis 7(4), 2010).

Shapes: C = chains, T = stages, G = points of a grid, R = rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtr

from sweeps.allocation.scores import Floats

_REACH, _NUM_POINTS = 6.0, 65  # deviations of all stages to each side of the rival, and points of the grid
_LEAST = 1e-12  # deviation, in units of the score
_NUM_RATES, _PRECISION = 13, 1.02  # rates that are tried at once, until neighbours differ by no more than this


def expected_excess(ahead: Floats, deviation: Floats) -> Floats:
    """E[max(ahead + deviation · Z, 0)] of a standard normal Z."""
    deviation = np.maximum(deviation, _LEAST)
    z = ahead / deviation
    excess: Floats = deviation * (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + z * ndtr(z))
    return excess


def expected_gain(ahead: Floats, deviation: Floats) -> Floats:
    """Rise of the best mean when the mean of one configuration moves by N(0, deviation²).

    Args:
        ahead: its mean less the best of the others'.
    """
    return expected_excess(-np.abs(ahead), deviation)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """The stages before a configuration.

    Attributes:
        ahead: its mean less the best of the others'.
        deviation_T: by how much a stage will move the mean; cost_T: its epochs, above zero.
    """

    ahead: float
    deviation_T: Floats
    cost_T: Floats


def most_worth(chains: Sequence[Chain]) -> tuple[int, float] | None:
    """The place of the chain with the highest rate, and that rate; None where nothing is to be gained."""
    solved = [_Solved(chain) for chain in chains]
    low, high = (max((getattr(each, bound) for each in solved), default=0.0) for bound in ("low", "high"))
    found = None
    while low > 0:
        rate_R = np.geomspace(low, high, _NUM_RATES)
        net_CR = np.array([each.net_R(rate_R) for each in solved])
        pays = np.flatnonzero((net_CR > 0).any(axis=0))
        if not len(pays):
            break
        last = int(pays[-1])
        found = int(np.argmax(net_CR[:, last])), float(rate_R[last])
        if high <= _PRECISION * low or last == _NUM_RATES - 1:
            break
        low, high = rate_R[last], rate_R[last + 1]
    return found


class _Solved:
    """A chain's values on a grid of what a configuration may be ahead.

    Attributes:
        low, high: bounds of its rate. To train the first stage alone, or all of them in any case, is no better than to
            decide on the way; and no more can be gained than by all stages for the cheapest.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        deviation_T1 = np.maximum(chain.deviation_T, _LEAST)[:, None]
        whole = float(np.linalg.norm(deviation_T1))
        self._grid_G = np.linspace(-_REACH * whole, _REACH * whole, _NUM_POINTS)
        edges = (self._grid_G[1] - self._grid_G[0]) * (np.arange(1 - _NUM_POINTS, _NUM_POINTS + 1) - 0.5)
        below = ndtr(edges / deviation_T1)
        shares = sliding_window_view(below[:, 1:] - below[:, :-1], _NUM_POINTS, axis=1)
        self._move_TGG = np.ascontiguousarray(shares[:, ::-1])  # the share of one point that comes to another
        self._gain_TG = expected_gain(self._grid_G, deviation_T1)
        self.high = float(self._gain_TG.max(axis=1).sum() / chain.cost_T.min())
        deviations, costs = np.array([chain.deviation_T[0], whole]), np.array([chain.cost_T[0], chain.cost_T.sum()])
        self.low = float((expected_gain(np.array(chain.ahead), deviations) / costs).max()) / 2  # the grid is not exact

    def net_R(self, rate_R: Floats) -> Floats:
        """Gain less cost at each rate, of beginning the first stage."""
        paid_TR = self._chain.cost_T[:, None] * rate_R
        later_GR = np.zeros((_NUM_POINTS, len(rate_R)))
        for move_GG, gain_G, paid_R in zip(self._move_TGG[::-1], self._gain_TG[::-1], paid_TR[::-1], strict=True):
            net_GR = gain_G[:, None] + move_GG @ later_GR - paid_R
            later_GR = np.maximum(net_GR, 0.0)
        at = (self._chain.ahead - self._grid_G[0]) / (self._grid_G[1] - self._grid_G[0])
        place = min(max(int(at), 0), _NUM_POINTS - 2)
        share = min(max(at - place, 0.0), 1.0)
        net_R: Floats = net_GR[place] * (1 - share) + net_GR[place + 1] * share
        return net_R
