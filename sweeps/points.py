"""Configurations that people want tried first: `sweep.points`, right after the untuned default, or `sweep.first`."""

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces import SearchSpace
from search_spaces.values import Value, holds
from storage.errors import InvalidInput, nearest

Point = Mapping[str, Any]


def check_first(first: Point, fixed: Mapping[str, Any], space: SearchSpace) -> None:
    """Holds that the values of `sweep.first` are inside of what is searched.

    Args:
        fixed: values that are the same in every configuration, and so not searched.

    Raises:
        InvalidInput: one is outside.
    """
    outside = _outside({name: value for name, value in first.items() if name not in fixed}, space)
    if outside is not None:
        name, allowed = outside
        remedy = f"Correct the value, or fix it for all configurations with sweep.trial.{name}."
        raise InvalidInput(f"sweep.first.{name}", given=first[name], allowed=allowed, remedy=remedy)


def points_for(points: Sequence[Point], space: SearchSpace) -> list[dict[str, Value]]:
    """The points that a space takes, in order: those whose names it searches all; other names are as in the default."""
    searched = space.distributions.keys()
    default = {name: space.default[name] for name in searched}
    return [{**default, **point} for point in points if point.keys() <= searched]


def check_points(points: Sequence[Point], spaces: Mapping[str, SearchSpace]) -> None:
    """Holds, before anything is computed, that every point is of some architecture's space, and inside of it.

    Args:
        spaces: by architecture.

    Raises:
        InvalidInput: no space searches all names of a point, or a value is outside of one that does.
    """
    searched = sorted({name for space in spaces.values() for name in space.distributions})
    for point in points:
        takers = [space for space in spaces.values() if point.keys() <= space.distributions.keys()]
        if not takers or not point:
            unknown = next((name for name in point if name not in searched), "")
            raise InvalidInput(
                "sweep.points",
                given=dict(point),
                allowed="names that one of the architectures searches, at least one",
                remedy=f"{nearest(unknown, searched)}Searched are: {', '.join(searched)}.",
            )
        for space in takers:
            outside = _outside(point, space)
            if outside is not None:
                name, allowed = outside
                given = f"{name}={point[name]}"
                raise InvalidInput(
                    "sweep.points", given=given, allowed=allowed, remedy="Correct the value; nothing has run."
                )


def _outside(point: Point, space: SearchSpace) -> tuple[str, str] | None:
    """The first name whose value is outside of what the space searches, and what is inside; None without one."""
    for name in point:
        distribution = space.distributions.get(name)
        if distribution is not None and not holds(distribution, point[name]):
            return name, f"values of {distribution} for {space.architecture}"
    return None
