"""Expected gains and rates against what drawing many times gives."""

import numpy as np
import pytest

from sweeps.allocation.gain import Chain, expected_excess, expected_gain, most_worth

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


def _chain(ahead: float, *, deviations: tuple[float, ...], costs: tuple[float, ...]) -> Chain:
    return Chain(ahead=ahead, deviation_T=np.array(deviations), cost_T=np.array(costs))


def _rate(chain: Chain) -> float:
    found = most_worth([chain])
    assert found is not None
    return found[1]


class TestRate:
    @pytest.mark.parametrize("ahead", [-1.5, -0.5, 0.0, 0.4])
    def test_of_one_stage_it_is_the_gain_per_epoch(self, ahead: float) -> None:
        gain = float(expected_gain(np.array(ahead), np.array(0.6)))
        assert _rate(_chain(ahead, deviations=(0.6,), costs=(4.0,))) == pytest.approx(gain / 4, rel=0.04)

    def test_of_two_stages_it_is_the_best_that_a_threshold_between_them_reaches_when_it_is_drawn(self) -> None:
        first, second = np.random.default_rng(1).standard_normal((2, 400_000))
        ahead, deviations, costs = -1.0, (0.8, 0.6), (2.0, 18.0)
        seen = ahead + deviations[0] * first
        ended = seen + deviations[1] * second
        rates = []
        for threshold in np.linspace(-2, 2, 81):
            goes_on = seen > threshold
            gain = np.where(goes_on, np.maximum(ended, 0), np.maximum(seen, 0)).mean()
            rates.append(gain / (costs[0] + goes_on.mean() * costs[1]))
        assert _rate(_chain(ahead, deviations=deviations, costs=costs)) == pytest.approx(max(rates), rel=0.04)

    def test_of_three_stages_it_is_the_best_that_two_thresholds_reach_when_they_are_drawn(self) -> None:
        moves = np.random.default_rng(2).standard_normal((3, 100_000))
        ahead, deviations, costs = -1.5, (0.4, 0.6, 0.7), (1.0, 3.0, 9.0)
        first, second, third = ahead + np.cumsum(np.array(deviations)[:, None] * moves, axis=0)
        rates = []
        for threshold in np.linspace(-1.8, -0.6, 25):
            for later in np.linspace(-1.0, 0.4, 29):
                goes_on = first > threshold
                to_the_end = goes_on & (second > later)
                gain = np.where(to_the_end, np.maximum(third, 0), np.maximum(np.where(goes_on, second, first), 0))
                rates.append(gain.mean() / (1 + 3 * goes_on.mean() + 9 * to_the_end.mean()))
        assert _rate(_chain(ahead, deviations=deviations, costs=costs)) == pytest.approx(max(rates), rel=0.05)

    def test_to_be_able_to_stop_on_the_way_is_worth_more_than_to_go_all_the_way_or_one_stage_alone(self) -> None:
        whole = _rate(_chain(-1.0, deviations=(1.0,), costs=(9.0,)))
        look = _rate(_chain(-1.0, deviations=(0.5,), costs=(1.0,)))
        both = _rate(_chain(-1.0, deviations=(0.5, np.sqrt(0.75)), costs=(1.0, 8.0)))
        assert both > 1.5 * max(whole, look)


class TestMostWorth:
    def test_it_is_the_one_with_the_highest_rate_of_all_chains(self) -> None:
        dear = _chain(-0.5, deviations=(0.5, 0.5), costs=(10.0, 40.0))
        cheap = _chain(-0.9, deviations=(0.5, 0.5), costs=(1.0, 4.0))
        far = _chain(-2.0, deviations=(0.5, 0.5), costs=(1.0, 4.0))
        found = most_worth([dear, cheap, far])
        assert found is not None
        assert found[0] == 1
        assert found[1] == pytest.approx(_rate(cheap), rel=0.03)

    def test_the_best_and_its_rival_are_worth_alike(self) -> None:
        stages = {"deviations": (0.3, 0.4, 0.5), "costs": (1.0, 2.0, 9.0)}
        assert _rate(_chain(-0.3, **stages)) == pytest.approx(_rate(_chain(0.3, **stages)), rel=0.03)

    def test_with_nothing_to_train_or_nothing_to_gain_there_is_none(self) -> None:
        assert most_worth([]) is None
        assert most_worth([_chain(-100.0, deviations=(0.5,), costs=(1.0,))]) is None

    def test_the_unit_of_scores_changes_nothing_but_the_rate(self) -> None:
        plain = _rate(_chain(-0.4, deviations=(0.2, 0.3), costs=(1.0, 2.0)))
        scaled = _rate(_chain(-0.4e-3, deviations=(0.2e-3, 0.3e-3), costs=(1.0, 2.0)))
        assert scaled == pytest.approx(1e-3 * plain)
