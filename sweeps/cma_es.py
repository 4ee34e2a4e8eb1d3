"""CMA-ES over the numbers of a search space, from nothing but what has been told; the only file that imports cmaes.

After Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv:1604.00772), by the package that Optuna uses, too.
Optuna's own sampler keeps pickles of its state beside its trials and starts anew where they are missing; this one is
led through all generations whenever it is asked, so that a rebuilt study goes on as the undisturbed one.
"""

import math
from collections.abc import Mapping, Sequence

import cmaes
import numpy as np

from search_spaces import SearchSpace
from search_spaces.values import from_unit, is_numeric, to_unit
from sweeps.records import TrialRecord

_FIRST_DEVIATION = 1 / 6  # of every name's range, as in Optuna


def next_numbers(space: SearchSpace, told: Sequence[TrialRecord], *, seed: int) -> dict[str, float | int]:
    """Values for all names of the space that are numbers.

    The first generation is drawn around the space's default. A generation is as many trials as the strategy wants, in
    the order in which they ended, whoever suggested them; those that come late belong to the next one.

    Args:
        told: all that ended, in the order in which they did.
        seed: of this draw alone.
    """
    names = [name for name, kind in space.distributions.items() if is_numeric(kind)]
    strategy = cmaes.CMA(
        mean=_place(space, names, space.default),
        sigma=_FIRST_DEVIATION,
        bounds=np.tile([0.0, 1.0], (len(names), 1)),
        seed=seed % 2**32,
        n_max_resampling=10 * len(names),
    )
    heard = [record for record in told if record.state != "failed" and record.objectives]
    for begin in range(0, len(heard) - strategy.population_size + 1, strategy.population_size):
        generation = sorted(heard[begin : begin + strategy.population_size], key=_worth, reverse=True)
        places = [_place(space, names, record.suggestion.parameters) for record in generation]
        strategy.tell([(place, float(rank)) for rank, place in enumerate(places)])
    drawn = strategy.ask()
    return {name: from_unit(space.distributions[name], float(place)) for name, place in zip(names, drawn, strict=True)}


def _place(space: SearchSpace, names: Sequence[str], values: Mapping[str, float | int | bool | str]) -> np.ndarray:
    return np.array([to_unit(space.distributions[name], float(values[name])) for name in names])


def _worth(record: TrialRecord) -> tuple[bool, int, float]:
    """Only ranks count, so that a trial that was stopped has its place: behind all that finished, and behind those that
    were stopped later; an objective of epoch 3 is never compared with one of epoch 75."""
    is_finished = record.state == "finished"
    reached = max(record.objectives)
    objective = record.objective if record.objective is not None else -math.inf
    return is_finished, 0 if is_finished else reached, objective
