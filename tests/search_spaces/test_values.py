"""Values of distributions: which they hold, all of them, and their places between 0 and 1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.values import finite_values, from_unit, holds, is_numeric, to_unit

_NUMERIC = [
    FloatDistribution(0.0, 0.4),
    FloatDistribution(1e-5, 3e-2, log=True),
    FloatDistribution(0.1, 0.9, step=0.2),
    IntDistribution(3, 17),
    IntDistribution(8, 512, log=True),
    IntDistribution(0, 10, step=5),
]


@pytest.mark.parametrize("kind", _NUMERIC, ids=str)
@given(place=st.floats(0.0, 1.0))
def test_every_place_is_a_value_that_has_that_place(kind: BaseDistribution, place: float) -> None:
    value = from_unit(kind, place)
    assert holds(kind, value)
    assert -1e-9 <= to_unit(kind, value) <= 1 + 1e-9
    assert from_unit(kind, to_unit(kind, value)) == pytest.approx(value)


def test_a_logarithmic_range_has_its_geometric_mean_in_the_middle() -> None:
    assert from_unit(FloatDistribution(1e-4, 1e-2, log=True), 0.5) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (CategoricalDistribution(["linear", "mlp"]), ["linear", "mlp"]),
        (IntDistribution(0, 10, step=5), [0, 5, 10]),
        (IntDistribution(3, 5), [3, 4, 5]),
        (FloatDistribution(0.1, 0.5, step=0.2), pytest.approx([0.1, 0.3, 0.5])),
        (FloatDistribution(0.3, 0.3), [0.3]),
        (FloatDistribution(0.1, 0.5), None),
        (FloatDistribution(0.1, 0.5, log=True), None),
    ],
    ids=str,
)
def test_values_are_listed_where_there_is_an_end_of_them(kind: BaseDistribution, expected: object) -> None:
    assert finite_values(kind) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (FloatDistribution(0.0, 0.4), 0.4, True),
        (FloatDistribution(0.0, 0.4), 0, True),
        (FloatDistribution(0.0, 0.4), 0.41, False),
        (FloatDistribution(0.0, 0.4), "0.2", False),
        (FloatDistribution(0.0, 0.4), True, False),
        (FloatDistribution(0.0, 0.4), None, False),
        (FloatDistribution(1e-4, 0.4, log=True), 0.0, False),
        (IntDistribution(0, 10, step=5), 6, False),
        (CategoricalDistribution([16, 32]), 32, True),
        (CategoricalDistribution([16, 32]), [16], False),
        (CategoricalDistribution(["a", "b"]), "c", False),
    ],
    ids=str,
)
def test_a_value_is_held_or_not(kind: BaseDistribution, value: object, expected: bool) -> None:
    assert holds(kind, value) is expected


def test_numbers_are_told_from_choices_and_from_what_has_one_value() -> None:
    assert all(map(is_numeric, _NUMERIC))
    assert not is_numeric(CategoricalDistribution([1, 2]))
    assert not is_numeric(IntDistribution(3, 3))
