"""Expected gains against what drawing many times gives."""

import numpy as np
import pytest

from sweeps.allocation.gain import expected_excess, expected_gain, gain_per_cost

_DRAWS = np.random.default_rng(0).standard_normal(400_000)


@pytest.mark.parametrize(("ahead", "deviation"), [(-1.0, 0.5), (0.0, 1.0), (0.7, 0.3), (-3.0, 1.0)])
def test_the_excess_is_the_mean_of_what_lies_above_zero(ahead: float, deviation: float) -> None:
    drawn = np.maximum(ahead + deviation * _DRAWS, 0).mean()
    assert expected_excess(np.array(ahead), np.array(deviation)) == pytest.approx(drawn, abs=0.005)


@pytest.mark.parametrize("ahead", [-0.8, 0.0, 0.8])
def test_the_best_and_its_rival_gain_alike_by_what_may_change_their_order(ahead: float) -> None:
    drawn = np.maximum(ahead + 0.5 * _DRAWS, 0).mean() - max(ahead, 0)
    assert expected_gain(np.array(ahead), np.array(0.5)) == pytest.approx(drawn, abs=0.005)


def test_nothing_is_gained_by_what_cannot_move() -> None:
    assert expected_gain(np.array(-0.1), np.array(0.0)) == pytest.approx(0.0, abs=1e-12)


def test_a_look_after_which_the_rest_is_paid_only_above_a_threshold_is_worth_more_than_all_or_the_look_alone() -> None:
    ahead, look, whole, cost, whole_cost = (np.array(value) for value in (-1.0, 0.5, 1.0, 1.0, 9.0))
    rate = gain_per_cost(ahead, look, whole, cost, whole_cost)
    assert rate > 1.5 * max(expected_gain(ahead, look) / cost, expected_gain(ahead, whole) / whole_cost)


def test_the_rate_is_the_best_that_a_threshold_reaches_when_it_is_drawn() -> None:
    first, second = np.random.default_rng(1).standard_normal((2, 400_000))
    ahead, look, whole, cost, whole_cost = -1.0, 0.8, 1.0, 2.0, 20.0
    seen = ahead + look * first
    ended = seen + np.sqrt(whole**2 - look**2) * second
    rates = []
    for threshold in np.linspace(-2, 2, 81):
        goes_on = seen > threshold
        gain = np.where(goes_on, np.maximum(ended, 0), np.maximum(seen, 0)).mean()
        rates.append(gain / (cost + goes_on.mean() * (whole_cost - cost)))
    found = gain_per_cost(*(np.array(value) for value in (ahead, look, whole, cost, whole_cost)))
    assert found == pytest.approx(max(rates), rel=0.05)
