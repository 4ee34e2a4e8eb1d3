"""Curves that trials left become pools: a search sees some seeds, and is measured by the others."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.record_curves import main
from benchmarks.recorded_curves import Recorded, read_curves
from storage.object_store import open_store
from storage.results_table import ResultsTable


def some_curves(num_configurations: int = 20, num_seeds: int = 5, num_epochs: int = 4) -> Recorded:
    scores = np.random.default_rng(0).random((num_configurations, num_seeds, num_epochs))
    return Recorded(name="some", score_NSE=np.maximum.accumulate(scores, axis=2))


def test_a_pool_has_every_configuration_once_and_never_shows_the_seeds_that_it_is_measured_by() -> None:
    curves = some_curves()
    pool = curves.draw(num_configurations=900, num_seeds=3, num_epochs=4, rng=np.random.default_rng(1))
    assert pool.score_NSE.shape == (20, 3, 4)
    ends_NS = curves.score_NSE[:, :, -1]
    back = ends_NS.mean(axis=1).std(), ends_NS.mean()
    of_all = sorted(ends_NS.mean(axis=1))
    shown, hidden = (values * back[0] + back[1] for values in (pool.score_NSE[:, :, -1], pool.quality_N))
    assert sorted((shown.sum(axis=1) + 2 * hidden) / 5) == pytest.approx(of_all)


def test_another_sweep_meets_them_in_another_order() -> None:
    first, second = (
        some_curves().draw(num_configurations=20, num_seeds=3, num_epochs=4, rng=np.random.default_rng(seed))
        for seed in (1, 2)
    )
    assert not np.array_equal(first.quality_N, second.quality_N)


def test_a_seed_has_to_be_left_to_measure_by() -> None:
    with pytest.raises(ValueError, match="5 seeds of 4 epochs, asked for 5 and 4"):
        some_curves().draw(num_configurations=20, num_seeds=5, num_epochs=4, rng=np.random.default_rng(1))


def test_a_missing_epoch_is_told(tmp_path: Path) -> None:
    rows = [{"configuration": c, "seed": s, "epoch": 1, "validation_score": 0.5} for c, s in ((0, 1), (0, 2), (1, 1))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "few.parquet")
    with pytest.raises(ValueError, match=r"few\.parquet: a configuration lacks a seed or an epoch"):
        read_curves(tmp_path / "few.parquet")


def test_curves_of_whole_trials_are_taken_out_of_the_results_table(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = tmp_path / "store"
    table = ResultsTable(open_store(str(store)))
    others = ("objective", "train_loss", "validation_loss", "validation_accuracy", "learning_rate", "epoch_seconds")
    for number, state in enumerate(("finished", "stopped", "finished")):
        trial = {"sweep_id": "s", "trial_id": f"t{number}", "architecture": "cnn"}
        end = {"number": number, "state": state, "seed_epochs": 4, "ended_at": datetime.now(UTC)}
        table.commit("trials", sweep_id="s", commit=f"t{number}", rows=[{**trial, **end}])
        for seed, epoch in itertools.product((1, 2), (1, 2)):
            score = number + seed / 10 - epoch / 100
            row = {**trial, "seed": seed, "epoch": epoch, "seed_epoch": epoch, "validation_score": score}
            commit = f"t{number}-seed{seed}-epoch{epoch}"
            table.commit("epochs", sweep_id="s", commit=commit, rows=[{**row, **dict.fromkeys(others, 0.0)}])
    assert main([str(store), "s", "small", "--into", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("2 configurations, 2 seeds, 2 epochs")
    assert read_curves(tmp_path / "small.parquet") == pytest.approx(
        np.array([[[0.09, 0.09], [0.19, 0.19]], [[2.09, 2.09], [2.19, 2.19]]])
    )
