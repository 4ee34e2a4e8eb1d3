"""What a distribution's values are: whether it holds one, all of them where they are finite, and their place in [0, 1].

Enters: Optuna's distributions. Leaves: plain values, so that nobody else has to know the kinds of distributions.
"""

import math
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Value = float | int | bool | str
_Numeric = FloatDistribution | IntDistribution


def holds(kind: BaseDistribution, value: Any) -> bool:
    """Whether this is one of the distribution's values. Texts and truth values are no numbers."""
    if isinstance(kind, _Numeric) and isinstance(value, bool | str):
        return False
    try:
        return bool(kind._contains(kind.to_internal_repr(value)))
    except (TypeError, ValueError):
        return False


def finite_values(kind: BaseDistribution) -> list[Value] | None:
    """All values in order; None where there is no end of them."""
    if isinstance(kind, CategoricalDistribution):
        return [choice for choice in kind.choices if choice is not None]
    if isinstance(kind, _Numeric) and kind.step is not None:
        count = math.floor((kind.high - kind.low) / kind.step + 1e-8) + 1
        return [_stepped(kind, kind.low + place * kind.step) for place in range(count)]
    return [kind.low] if isinstance(kind, FloatDistribution) and kind.low == kind.high else None


def is_numeric(kind: BaseDistribution) -> bool:
    """Whether there are at least two values and they are numbers."""
    return isinstance(kind, _Numeric) and not kind.single()


def to_unit(kind: BaseDistribution, value: float) -> float:
    """The place of a number between the least and the largest, on the distribution's own scale (logarithmic or not)."""
    assert isinstance(kind, _Numeric)
    low, high = _ends(kind)
    return ((math.log(value) if kind.log else value) - low) / (high - low)


def from_unit(kind: BaseDistribution, place: float) -> float | int:
    """The distribution's number at a place in [0, 1], or the nearest one that it has."""
    assert isinstance(kind, _Numeric)
    low, high = _ends(kind)
    value = low + place * (high - low)
    return _stepped(kind, math.exp(value) if kind.log else value)


def _ends(kind: _Numeric) -> tuple[float, float]:
    return (math.log(kind.low), math.log(kind.high)) if kind.log else (kind.low, kind.high)


def _stepped(kind: _Numeric, value: float) -> float | int:
    if kind.step is not None:
        value = kind.low + round((value - kind.low) / kind.step) * kind.step
    value = min(max(value, kind.low), kind.high)
    return round(value) if isinstance(kind, IntDistribution) else float(value)
