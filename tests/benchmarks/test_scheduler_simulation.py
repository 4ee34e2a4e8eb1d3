"""The simulation on a few small sweeps: what it prints, and that curves and budgets are what they are said to be."""

import numpy as np
import pytest

from benchmarks import scheduler_simulation, search_methods
from benchmarks.learning_curves import REGIMES, Pool, Regime, draw_pool

_EASY = Regime(name="easy", seeds=0.0, epochs=0.0, rate_spread=0.0)


def _pool(regime: Regime, num_configurations: int = 60, seed: int = 0) -> Pool:
    return draw_pool(
        regime, num_configurations=num_configurations, num_seeds=3, num_epochs=27, rng=np.random.default_rng(seed)
    )


class TestCurves:
    def test_every_curve_ends_at_its_quality_where_nothing_is_noisy(self) -> None:
        pool = _pool(_EASY)
        assert pool.score_NSE[:, :, -1] == pytest.approx(np.tile(pool.quality_N[:, None], (1, 3)))

    @pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
    def test_scores_are_the_best_so_far_and_seeds_differ_as_much_as_the_regime_says(self, regime: Regime) -> None:
        pool = _pool(regime, 4000)
        assert (np.diff(pool.score_NSE, axis=2) >= 0).all()
        between_seeds = pool.score_NSE[:, :, -1].std(axis=1, ddof=1)
        assert np.sqrt((between_seeds**2).mean()) == pytest.approx(regime.seeds, abs=0.05 + 0.4 * regime.epochs)

    @pytest.mark.parametrize(
        ("name", "epoch"), [("one level, slow ones, seeds 0.2", 1), ("one level, slow ones, seeds 0.6", 3)]
    )
    def test_where_slow_ones_begin_at_one_level_with_others_the_best_is_not_ahead_early(
        self, name: str, epoch: int
    ) -> None:
        regime = next(regime for regime in REGIMES if regime.name == name)
        ranks = []
        for seed in range(20):
            pool = _pool(regime, 900, seed)
            early = pool.score_NSE[:, 0, epoch - 1]
            ranks.append((early > early[pool.quality_N.argmax()]).mean())
        assert np.median(ranks) > 1 / 3  # of all, so many are ahead of it

    def test_parallel_curves_tell_at_once(self) -> None:
        pool = _pool(next(regime for regime in REGIMES if regime.name == "parallel curves, seeds 0.2"), 4000)
        assert np.corrcoef(pool.score_NSE[:, 0, 0], pool.quality_N)[0, 1] > 0.9


class TestMethods:
    @pytest.mark.parametrize("name", search_methods.METHODS)
    def test_every_method_finds_the_best_where_all_is_plain_and_the_budget_large(self, name: str) -> None:
        pool = _pool(_EASY)
        assert search_methods.METHODS[name](pool, 27.0 * 3 * 60) == pool.quality_N.argmax()

    @pytest.mark.parametrize("name", search_methods.METHODS)
    def test_what_lies_beyond_the_budget_is_never_found(self, name: str) -> None:
        pool, num_runs = _pool(REGIMES[1], 700), 20
        unreachable = num_runs * 27  # an epoch each of all before it
        pool.score_NSE[unreachable:] += 100.0
        assert search_methods.METHODS[name](pool, 27.0 * num_runs) < unreachable

    def test_ours_is_ahead_of_every_other_on_average_over_a_few_sweeps(self) -> None:
        regrets = np.mean(
            [scheduler_simulation.simulate(regime, 3, 200, 40)[0].mean(axis=0) for regime in REGIMES[1:8:3]], axis=0
        )
        ours = list(search_methods.METHODS).index(scheduler_simulation.OURS)
        assert regrets[ours] == regrets.min()


class TestCommand:
    def test_it_prints_a_line_a_regime_and_a_figure_a_method(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(scheduler_simulation, "REGIMES", REGIMES[:2])
        assert scheduler_simulation.main(["--sweeps", "1", "--configurations", "40", "--runs", "24"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("parallel curves") for line in lines) == 2
        for name in search_methods.METHODS:
            assert any(line.startswith(f"figure search.keep_best_{name} ") for line in lines)
