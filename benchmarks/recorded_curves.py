"""Learning curves that real trials left, for scheduler_simulation.py: benchmarks/recorded/<name>.parquet, written by
record_curves.py, one row per (configuration, seed, epoch).

A search sees some of the seeds; what it is after is the mean end of the others, which it never sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.learning_curves import Floats, Pool

FOLDER = Path(__file__).parent / "recorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """Attributes: score_NSE: best validation score so far of N configurations, S seeds and E epochs."""

    name: str
    score_NSE: Floats

    def draw(self, *, num_configurations: int, num_seeds: int, num_epochs: int, rng: np.random.Generator) -> Pool:
        """All configurations in a random order (`num_configurations` at most), in deviations of their ends; each shows
        `num_seeds` of its seeds, drawn for it.

        Raises:
            ValueError: no seed would be left to measure by, or the curves are shorter.
        """
        size, all_seeds, length = self.score_NSE.shape
        if num_seeds >= all_seeds or num_epochs > length:
            raise ValueError(
                f"{self.name}: {all_seeds} seeds of {length} epochs, asked for {num_seeds} and {num_epochs}"
            )
        order_N = rng.permutation(size)[:num_configurations]
        seeds_NS = rng.permuted(np.tile(np.arange(all_seeds), (len(order_N), 1)), axis=1)
        score_NSE = self.score_NSE[order_N[:, None], seeds_NS, :num_epochs]
        ends_NS = score_NSE[:, :, -1]
        score_NSE = (score_NSE - ends_NS.mean()) / ends_NS.mean(axis=1).std()
        return Pool(
            quality_N=score_NSE[:, num_seeds:, -1].mean(axis=1),
            architecture_N=np.zeros(len(order_N), dtype=np.int64),
            score_NSE=score_NSE[:, :num_seeds],
        )


def recorded() -> Iterator[Recorded]:
    for path in sorted(FOLDER.glob("*.parquet")):
        yield Recorded(name=f"recorded: {path.stem}", score_NSE=read_curves(path))


def read_curves(path: Path) -> Floats:
    """Best score so far: (configurations, seeds, epochs).

    Raises:
        ValueError: a configuration lacks a seed or an epoch.
    """
    rows = pq.read_table(path)
    axes = [np.unique(rows.column(name).to_numpy(), return_inverse=True) for name in ("configuration", "seed", "epoch")]
    score_NSE = np.full([len(values) for values, _ in axes], np.nan)
    score_NSE[tuple(places for _, places in axes)] = rows.column("validation_score").to_numpy()
    if np.isnan(score_NSE).any():
        raise ValueError(f"{path.name}: a configuration lacks a seed or an epoch")
    return np.maximum.accumulate(score_NSE, axis=2)
