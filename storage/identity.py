"""Content addresses: the one way in which a value becomes canonical JSON, and JSON becomes a hash.

Fingerprints, split hashes, trial ids and sweep ids are all made here, so that the same content has the same
name on every machine and in every process.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any


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
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"canonical JSON needs string keys, got {list(value)!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"canonical JSON cannot hold a {type(value).__name__}: {value!r}")
