"""What a study could have found, and how many seeds would find it. Enters: a `Spread` of a difference. Leaves: numbers
to plan by.

All of them take the measured variances for the true ones and plan for the difference given; a difference that is
itself a guess, from three seeds, makes the number of seeds a guess, too.
"""

import numpy as np
from scipy import special

from reports.evidence.half_width import half_width
from reports.evidence.intervals import LEVEL
from reports.evidence.spread import Spread
from storage.errors import InvalidInput

POWER = 0.8
MOST_SEEDS = 1000  # what would need more, no number of seeds is said to decide


def power_of(found: Spread, true_difference: float, *, level: float = LEVEL) -> float:
    """The chance that the interval of such a study leaves 0 out, if this is the true difference."""
    reach = float(half_width(found, level=level))
    deviation = float(np.sqrt(found.variance))
    if deviation == 0:
        return 1.0 if true_difference else 0.0
    size = abs(true_difference)
    return float(special.ndtr((size - reach) / deviation) + special.ndtr((-size - reach) / deviation))


def detectable_difference(found: Spread, *, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest true difference that such a study finds with this power."""
    reach, deviation = float(half_width(found, level=level)), float(np.sqrt(found.variance))
    return reach + deviation * float(special.ndtri(power))


def seeds_needed(found: Spread, mean_difference: float, *, power: float = POWER, level: float = LEVEL) -> int | None:
    """How many more seeds, of each of two configurations, would decide between them.

    Args:
        found: the spread of their difference, from two seeds at least.
        mean_difference: what is taken for the true difference.

    Returns:
        0 if the interval leaves 0 out already; None if clips and folds alone keep the power below `power`, however
        many seeds are trained.

    Raises:
        InvalidInput: a single seed, which does not tell how seeds differ.
    """
    if found.num_seeds < 2:
        raise InvalidInput(
            "seeds", given=found.num_seeds, allowed="2 or more", remedy="Train a second seed of both configurations."
        )
    if abs(mean_difference) > float(half_width(found, level=level)):
        return 0
    if power_of(found.with_seeds(MOST_SEEDS), mean_difference, level=level) < power:
        return None
    too_few, enough = found.num_seeds, MOST_SEEDS
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if power_of(found.with_seeds(middle), mean_difference, level=level) < power:
            too_few = middle
        else:
            enough = middle
    return enough - found.num_seeds
