"""Content addresses: the same content has the same text and hash everywhere, anything else is refused."""

import dataclasses
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.identity import canonical_json, content_hash, derive_seed

_finite = st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.none() | st.booleans() | st.integers() | _finite | st.text()
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@dataclasses.dataclass(frozen=True)
class _Window:
    duration_s: float
    hop_samples: int


@given(st.dictionaries(st.text(), _values, max_size=6), st.randoms())
def test_the_order_of_keys_is_irrelevant(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)


@given(_finite)
def test_floats_keep_every_bit(value: float) -> None:
    assert struct.pack("d", float(canonical_json(value))) == struct.pack("d", value)


@given(_finite, _finite)
def test_different_floats_have_different_texts(first: float, second: float) -> None:
    same_bits = struct.pack("d", first) == struct.pack("d", second)
    assert (canonical_json(first) == canonical_json(second)) == same_bits


@given(st.integers(-(2**53), 2**53))
def test_an_integer_and_its_float_are_two_values(value: int) -> None:
    assert canonical_json(value) != canonical_json(float(value))


def test_true_is_not_one() -> None:
    assert len({canonical_json(value) for value in (True, 1, 1.0, "1", "true")}) == 5


@given(_values)
def test_lists_and_tuples_are_one_value(value: Any) -> None:
    assert canonical_json([value, [value]]) == canonical_json((value, (value,)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_without_json_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"learning_rate": [value]})


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", 1j, object(), np.float32(1), np.arange(3), _Window])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="canonical JSON cannot hold"):
        canonical_json({"nested": [value]})


def test_keys_must_be_text() -> None:
    with pytest.raises(TypeError, match="string keys"):
        canonical_json({1: "one"})


def test_a_dataclass_is_its_fields() -> None:
    window = _Window(duration_s=5.0, hop_samples=256)
    assert canonical_json([window]) == '[{"duration_s":5.0,"hop_samples":256}]'


@given(_values, _values)
def test_hashes_are_equal_exactly_where_the_texts_are(first: Any, second: Any) -> None:
    assert (content_hash(first) == content_hash(second)) == (canonical_json(first) == canonical_json(second))


def test_a_hash_has_the_asked_length() -> None:
    assert len(content_hash({"a": 1})) == 16
    assert content_hash({"a": 1}, length=40).startswith(content_hash({"a": 1}))


@given(st.lists(_values, max_size=4))
def test_a_derived_seed_has_63_bits(parts: list[Any]) -> None:
    assert 0 <= derive_seed(*parts) < 2**63


def test_a_derived_seed_never_changes() -> None:
    # Pinned: another value here would silently change every seed of every stored sweep.
    assert derive_seed(42, "trial", 0) == 7609407550557013751
    assert derive_seed(42, "trial", 0) != derive_seed(42, "trial", 1)
