"""A deleted row of a finished trial used to vanish from the leaderboard without a word; now the trial is trained again.

The remedy of a damaged file is to delete it and run the same command again, so this must bring every row back.
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from sweep_toys import SWEEP_ROW, make_data, make_plan

from storage.errors import StorageError
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps import SweepPlan, run_sweep

PLAN = make_plan(num_trials=1)


@pytest.fixture(scope="module")
def once(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep that no test changes."""
    folder = tmp_path_factory.mktemp("swept")
    assert run_sweep(PLAN, make_data(), open_store(str(folder)), sweep_row=SWEEP_ROW).num_trials_run == 1
    return folder


@pytest.fixture
def swept(once: Path, tmp_path: Path) -> ObjectStore:
    return open_store(str(shutil.copytree(once, tmp_path / "swept")))


@pytest.mark.parametrize("table", ["seeds", pytest.param("predictions", marks=pytest.mark.slow)])
def test_a_lost_row_of_a_finished_trial_is_made_again(swept: ObjectStore, table: str) -> None:
    before = _rows(swept, table)
    first = next(iter(swept.list(f"results/{table}/")))
    swept.delete(first.key)
    outcome = run_sweep(PLAN, make_data(), swept, sweep_row=SWEEP_ROW)
    assert (outcome.num_trials_found, outcome.num_trials_run) == (0, 1)
    pd.testing.assert_frame_equal(_rows(swept, table), before)
    assert run_sweep(PLAN, make_data(), swept, sweep_row=SWEEP_ROW).num_trials_found == 1


def test_lost_suggestions_are_told(swept: ObjectStore) -> None:
    for info in list(swept.list("results/suggestions/")):
        swept.delete(info.key)
    with pytest.raises(StorageError, match=r"has lost suggestions.*Restore"):
        run_sweep(PLAN, make_data(), swept, sweep_row=SWEEP_ROW)


def _rows(store: ObjectStore, table: str, plan: SweepPlan = PLAN) -> pd.DataFrame:
    rows = ResultsTable(store).read(table, sweep_id=plan.sweep_id).to_pandas()
    return rows.drop(columns="train_seconds", errors="ignore").sort_values(["trial_id", "seed"], ignore_index=True)
