"""What an architecture lets a configuration choose, and refusals that name the option, the value and what is allowed.

The options of an architecture are the keyword-only parameters of its builder function; `registry.py` has the contract.
"""

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping

OptionValue = float | int | bool | str


def option_parameters(builder: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """Map each keyword-only parameter of a builder function to what its signature says about it."""
    parameters = inspect.signature(builder).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check_options(
    architecture: str, chosen: Mapping[str, OptionValue], parameters: Mapping[str, inspect.Parameter]
) -> None:
    """Refuses options that the architecture does not have, and values of another type than the option's default.

    Raises:
        ValueError: naming the option, and the nearest known one if it is unknown.
    """
    for name, value in chosen.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"architecture {architecture!r}: option {name!r} is {value}; allowed: a finite number")
        if name not in parameters:
            raise ValueError(
                f"architecture {architecture!r} has no option {name!r}; "
                f"allowed: {', '.join(sorted(parameters)) or 'none'}{suggestion(name, parameters)}"
            )
        wanted = _type_of(parameters[name])
        # An int is a fine float; a bool is an int to Python, but never a width or a dropout.
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(
                f"architecture {architecture!r}: option {name!r} is {value!r} ({type(value).__name__}); "
                f"allowed: {wanted.__name__}"
            )


def check_choice(option: str, value: str, allowed: Iterable[str]) -> None:
    """Refuses a value that is not one of `allowed`.

    Raises:
        ValueError: naming the option and the values that it takes.
    """
    names = tuple(allowed)
    if value not in names:
        raise ValueError(f"{option} is {value!r}; allowed: {', '.join(names)}{suggestion(value, names)}")


def check_dropout(option: str, value: float) -> None:
    """Refuses what is no probability.

    Raises:
        ValueError: if the value is outside [0, 1].
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{option} is {value}; allowed: 0 to 1")


def check_at_least_one(option: str, value: int) -> None:
    """Refuses a width without units.

    Raises:
        ValueError: if the value is below 1.
    """
    if value < 1:
        raise ValueError(f"{option} is {value}; allowed: 1 or more")


def suggestion(given: str, known: Collection[str]) -> str:
    """Return the end of an error message that offers the nearest known name, or nothing if none is near."""
    nearest = difflib.get_close_matches(given, known, n=1, cutoff=0.4)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _type_of(parameter: inspect.Parameter) -> type:
    """The type that a configuration must give: the default's, or that of `X | None` where the default is None."""
    if parameter.default is not None:
        return type(parameter.default)
    kinds = [kind for kind in typing.get_args(parameter.annotation) if kind is not types.NoneType]
    return typing.cast(type, kinds[0])
