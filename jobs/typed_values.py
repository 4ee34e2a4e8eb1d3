"""From plain values, as YAML has them, to the dataclasses of settings; a value of another type is refused by name."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from storage.errors import InvalidInput

T = TypeVar("T")


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= dotted(value, f"{name}.")
        else:
            found[name] = value
    return found


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, which is how YAML has them."""
    return {
        key: plain(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
    }


def build(kind: type[T], values: Any, path: str) -> T:
    """A dataclass of dataclasses from mappings that have all its fields.

    Args:
        path: what is written before its fields, for messages.

    Raises:
        InvalidInput: a value is not of its field's type.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for spec in dataclasses.fields(kind):  # type: ignore[arg-type]
        arguments[spec.name] = convert(hints[spec.name], values[spec.name], f"{path}{spec.name}")
    return kind(**arguments)


def convert(hint: Any, value: Any, path: str) -> Any:
    """A plain value as one of this type.

    Raises:
        InvalidInput: it is of another type; the message names `path`.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return build(hint, value, f"{path}.")  # type: ignore[arg-type]
    if origin in (typing.Union, types.UnionType):
        for choice in arguments:
            try:
                return convert(choice, value, path)
            except InvalidInput:
                continue
    elif origin is typing.Literal and value in arguments:
        return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(arguments[0], item, path) for item in value)
    elif origin is dict and isinstance(value, Mapping):
        return dotted(value)  # sweep.trial.model.width=8 sets the one name "model.width"
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is types.NoneType and value is None:
        return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    elif hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(path, given=value, allowed=_in_words(hint), remedy="Correct the value.")


def _in_words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(choice) for choice in arguments)
    if origin is dict:
        return "names below it, each with its value, like trial.batch_size=16"
    if origin is tuple:
        return f"a list like [a,b] of {_in_words(arguments[0])}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", types.NoneType: "null"}
    return words.get(hint, str(hint))
