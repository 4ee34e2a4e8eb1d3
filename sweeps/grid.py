"""A grid over a search space: every combination of finitely many values, once, in an order of its own.

Enters: a space, and values for the names that it leaves continuous. Leaves: configurations of the searched names.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from search_spaces import SearchSpace
from search_spaces.values import Value, finite_values, holds
from storage.errors import InvalidInput, first_few
from storage.identity import derive_seed

_MOST = 1_000_000  # more than anybody trains, and few enough to be shuffled


class Grid:
    """All points in random order, so that a sweep that ends before its grid does has seen something of all of it.

    Args:
        given: name → list of values, in the place of the space's.

    Raises:
        InvalidInput: as `check_grid`.
    """

    def __init__(self, space: SearchSpace, given: Mapping[str, Any], *, searcher_seed: int) -> None:
        self._values = _values(space, given)
        self._shape = [len(of_name) for of_name in self._values.values()]
        rng = np.random.default_rng(derive_seed("grid", searcher_seed, space.architecture))
        self._order = rng.permutation(math.prod(self._shape))

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> dict[str, Value]:
        index = self._order[place]  # out of range: an IndexError, so that a grid can be gone through
        places = np.unravel_index(index, self._shape) if self._shape else ()
        return {name: values[at] for (name, values), at in zip(self._values.items(), places, strict=True)}


def grid_size(space: SearchSpace, given: Mapping[str, Any]) -> int:
    """How many points there are."""
    return math.prod(len(of_name) for of_name in _values(space, given).values())


def check_grid(space: SearchSpace, given: Mapping[str, Any]) -> None:
    """Holds that the grid has an end.

    Raises:
        InvalidInput: a name is continuous and has no values of its own, a given value is outside of the space, or there
            are more than a million points.
    """
    size = grid_size(space, given)
    if size > _MOST:
        raise InvalidInput(
            "sweep.sampler.kind",
            given=f"a grid of {size} configurations of {space.architecture}",
            allowed=f"{_MOST} at most",
            remedy="Give fewer values with sweep.sampler.grid.<name>=[…], or fix names with sweep.trial.<name>=….",
        )


def _values(space: SearchSpace, given: Mapping[str, Any]) -> dict[str, list[Value]]:
    found, continuous = {}, []
    for name, kind in space.distributions.items():
        if name in given:
            found[name] = _checked(space, name, given[name])
        elif (of_space := finite_values(kind)) is not None:
            found[name] = of_space
        else:
            continuous.append(name)
    if continuous:
        raise InvalidInput(
            "sweep.sampler.kind",
            given=f"grid over {first_few(continuous)} of {space.architecture}",
            allowed="names with finitely many values",
            remedy=f"Give them: sweep.sampler.grid.{continuous[0]}=[…], or fix them: sweep.trial.{continuous[0]}=….",
        )
    return found


def _checked(space: SearchSpace, name: str, values: Any) -> list[Value]:
    kind = space.distributions[name]
    if not isinstance(values, list | tuple) or not values:
        outside: Any = values
    else:
        outside = next((value for value in values if not holds(kind, value)), None)
        if outside is None:
            return list(values)
    raise InvalidInput(
        f"sweep.sampler.grid.{name}",
        given=outside,
        allowed=f"a list of values of {kind}",
        remedy=f"Correct it; {space.architecture} searches no others.",
    )
