"""How good the configurations are that ways to search find at equal budget: thousands of simulated sweeps.

python benchmarks/scheduler_simulation.py [--quick] [--sweeps 100] [--configurations 900] [--runs 60] [--processes N]

A sweep has so many configurations to choose from and a budget of so many whole trainings of one seed (27 epochs). Each
way to spend it (search_methods.py) meets the same configurations with the same curves (learning_curves.py), in the same
order. Regret is the quality of the best configuration of all less that of the one found, in deviations of quality
between configurations; "kept" is how often the best of all was found. Beside the name of a regime stands what early
epochs foretell there: the rank correlation of quality with one seed's best score up to epoch 1, 3, 9 and 27.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.learning_curves import REGIMES, Pool
from benchmarks.machine import print_machine
from benchmarks.recorded_curves import recorded
from benchmarks.search_methods import METHODS

NUM_EPOCHS, NUM_SEEDS = 27, 3
OURS = "adaptive"
_EPOCHS = (1, 3, 9, 27)
_NAME_WIDTH, _FORETOLD_WIDTH = 36, 20  # of the table
_NOTHING = 1e-9  # added to both sides of a ratio, so that no regret over no regret is one


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three sweeps a regime: within a minute, and noisy")
    parser.add_argument("--sweeps", type=int, default=100, help="of each regime")
    parser.add_argument("--configurations", type=int, default=900)
    parser.add_argument("--runs", type=int, default=60, help="whole trainings of one seed that the budget pays for")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="the sweeps are the same with any number")
    arguments = parser.parse_args(argv)
    num_sweeps = 3 if arguments.quick else arguments.sweeps
    print_machine(("numpy", "scipy"), num_cores=arguments.processes)
    print(
        f"\n{num_sweeps} sweeps a regime, {arguments.configurations} configurations, {arguments.runs} whole trainings"
    )
    print(
        f"{'regret, kept':{_NAME_WIDTH}s}{'foretold by epoch':{_FORETOLD_WIDTH}s}"
        + "".join(f"{name:>22s}" for name in METHODS)
    )
    regrets, kept = [], []
    regimes: list[Curves] = [*REGIMES, *recorded()]
    with ProcessPoolExecutor(arguments.processes) as executor:
        for regime in regimes:
            of_regime = simulate(regime, num_sweeps, arguments.configurations, arguments.runs, executor)
            regrets.append(of_regime[0].mean(axis=0))
            kept.append(of_regime[1].mean(axis=0))
            cells = _cells(regrets[-1], kept[-1])
            print(f"{regime.name:{_NAME_WIDTH}s}{foretold(regime, arguments.configurations)}{cells}", flush=True)
    _print_figures(np.array(regrets), np.array(kept))
    return 0


class Curves(Protocol):
    """Where the pools of a regime come from: `learning_curves.Regime` or `recorded_curves.Recorded`."""

    @property
    def name(self) -> str: ...

    def draw(self, *, num_configurations: int, num_seeds: int, num_epochs: int, rng: np.random.Generator) -> Pool: ...


def simulate(
    regime: Curves, num_sweeps: int, num_configurations: int, num_runs: int, executor: Executor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Regret, and whether the best of all was found: (sweeps, methods) each."""
    of_sweep = partial(_searched, regime, num_configurations, num_runs)
    results = (executor.map if executor else map)(of_sweep, range(num_sweeps))
    regrets, found = zip(*results, strict=True)
    return np.array(regrets), np.array(found)


def _searched(regime: Curves, num_configurations: int, num_runs: int, sweep: int) -> tuple[np.ndarray, np.ndarray]:
    pool = regime.draw(
        num_configurations=num_configurations,
        num_seeds=NUM_SEEDS,
        num_epochs=NUM_EPOCHS,
        rng=np.random.default_rng(sweep),
    )
    found_M = np.array([search(pool, num_runs * NUM_EPOCHS) for search in METHODS.values()])
    return pool.quality_N.max() - pool.quality_N[found_M], found_M == pool.quality_N.argmax()


def foretold(curves: Curves, num_configurations: int) -> str:
    """Rank correlations of quality with a seed's score at four epochs, in the mean of five pools."""
    found = []
    for sweep in range(5):
        pool = curves.draw(
            num_configurations=num_configurations,
            num_seeds=NUM_SEEDS,
            num_epochs=NUM_EPOCHS,
            rng=np.random.default_rng(sweep),
        )
        found.append([stats.spearmanr(pool.quality_N, pool.score_NSE[:, 0, epoch - 1]).statistic for epoch in _EPOCHS])
    return "".join(f"{correlation:5.2f}" for correlation in np.mean(found, axis=0))


def _print_figures(regret_RM: np.ndarray, kept_RM: np.ndarray) -> None:
    """Shapes: R = regimes, M = methods."""
    names, ours = list(METHODS), list(METHODS).index(OURS)
    print(
        f"{'mean of all regimes':{_NAME_WIDTH + _FORETOLD_WIDTH}s}"
        + _cells(regret_RM.mean(axis=0), kept_RM.mean(axis=0))
    )
    for name, share in zip(names, kept_RM.mean(axis=0), strict=True):
        print(f"figure search.keep_best_{name} {share:.3f}")
    for name, regret in zip(names, regret_RM.mean(axis=0), strict=True):
        print(f"figure search.regret_{name} {regret:.3f}")
    others_R = np.delete(regret_RM, ours, axis=1).min(axis=1)
    worst = np.max((regret_RM[:, ours] + _NOTHING) / (others_R + _NOTHING))
    kept_by_others_R = np.delete(kept_RM, ours, axis=1).max(axis=1)
    least = np.min((kept_RM[:, ours] + _NOTHING) / (kept_by_others_R + _NOTHING))
    print(f"figure search.worst_regret_vs_best_other {worst:.3f}")
    print(f"figure search.worst_keep_best_vs_best_other {least:.3f}")


def _cells(regret_M: np.ndarray, kept_M: np.ndarray) -> str:
    return "".join(f"{regret:15.3f} {share:6.2f}" for regret, share in zip(regret_M, kept_M, strict=True))


if __name__ == "__main__":
    sys.exit(main())
