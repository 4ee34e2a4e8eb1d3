"""Content addresses: the one way in which a value becomes canonical JSON, and JSON becomes a hash.

Fingerprints, split hashes, trial ids and sweep ids are all made here, so that the same content has the same
name on every machine and in every process.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Hashable, Mapping
from typing import Any

_PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, shortest exact floats, no NaN.

    Args:
        value: dataclasses, mappings with string keys, sequences, str, int, float, bool and None, nested.

    Raises:
        TypeError: for any other type (a silent `str()` would give an address that changes from run to run).
        ValueError: for NaN or an infinity.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def content_hash(value: Any, *, length: int = 16) -> str:
    """The first `length` hexadecimal digits of SHA-256 over `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def derive_seed(*parts: Any) -> int:
    """A 63-bit seed that depends on its parts alone, never on the order in which things happen."""
    return int(content_hash(list(parts), length=16), 16) >> 1


def _plain(value: Any) -> Any:
    # Types that are exactly these come first: the rows of a large manifest hold tens of millions of them.
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return value
    if kind is tuple or kind is list:
        return [_plain(item) for item in value]
    names = _field_names(kind)  # type: ignore[arg-type]  # mypy takes types of dataclasses for unhashable
    if names is not None:
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"canonical JSON needs string keys, got {list(value)!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"canonical JSON cannot hold a {kind.__name__}: {value!r}")


@functools.cache
def _field_names(kind: Hashable) -> tuple[str, ...] | None:
    """Of a dataclass; None for any other type."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None
