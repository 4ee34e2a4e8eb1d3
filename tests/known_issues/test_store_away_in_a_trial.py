"""A store that went away used to be each trial's failure: recorded, tried again, and waited for ten minutes each time.

It ends the job, and the same command goes on.
"""

from pathlib import Path

import pandas as pd
import pytest
from away_store import AWAY, store_away_for
from experiment_toys import FOLDER, run, table, toy_features, toy_splits
from experiment_toys import make_plan as make_experiment
from sweep_toys import SWEEP_ROW, make_data, make_plan

from storage import vigil
from storage.errors import StoreOutOfReach
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps import SweepPlan, run_experiment, run_sweep
from sweeps.run_experiment import ExperimentOutcome
from sweeps.watch import SweepProgress

pytestmark = pytest.mark.usefixtures("ray_local")

_SHORT: dict[str, object] = {"num_trials": 1, "seeds": (1,), "epochs": 2}
_ADAPTIVE: dict[str, object] = {**_SHORT, "scheduler": "adaptive", "budget": 2.0}


def _rows(store: ObjectStore, name: str, plan: SweepPlan) -> pd.DataFrame:
    return ResultsTable(store).read(name, sweep_id=plan.sweep_id).to_pandas()


class TestSweeps:
    @pytest.mark.parametrize("settings", [_SHORT, _ADAPTIVE], ids=["halving", "adaptive"])
    def test_a_trial_that_waited_in_vain_ends_the_sweep_and_is_not_to_blame(
        self, settings: dict[str, object], tmp_path: Path
    ) -> None:
        switch, plan = tmp_path / "away", make_plan(**settings)
        store = store_away_for("workers", tmp_path / "store", switch)
        told: list[SweepProgress] = []

        def on_progress(now: SweepProgress) -> None:
            told.append(now)
            switch.touch()

        with pytest.raises(StoreOutOfReach, match=AWAY):
            run_sweep(plan, make_data(), store, sweep_row=SWEEP_ROW, on_progress=on_progress)
        assert len(told) == 1
        assert _rows(store, "failures", plan).empty
        assert _rows(store, "trials", plan).empty

    def test_the_same_command_goes_on_from_there(self, tmp_path: Path) -> None:
        switch, plan = tmp_path / "away", make_plan(**_SHORT)
        store = store_away_for("workers", tmp_path / "store", switch)
        with pytest.raises(StoreOutOfReach):
            run_sweep(plan, make_data(), store, sweep_row=SWEEP_ROW, on_progress=lambda now: switch.touch())
        switch.unlink()
        outcome = run_sweep(plan, make_data(), store, sweep_row=SWEEP_ROW)
        assert (outcome.num_trials_run, outcome.num_failed, outcome.num_given_up) == (1, 0, 0)
        assert _rows(store, "failures", plan).empty
        assert len(_rows(store, "epochs", plan)) == 2

    def test_a_driver_that_waited_in_vain_ends_the_sweep_though_no_trial_reports(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vigil, "_EVERY_S", 0.1)
        switch = tmp_path / "away"
        plan = make_plan(num_trials=1, seeds=(1,), epochs=100_000, grace_epochs=50_000)
        store = store_away_for("driver", tmp_path / "store", switch)
        with pytest.raises(StoreOutOfReach, match=AWAY):
            run_sweep(plan, make_data(), store, sweep_row=SWEEP_ROW, on_progress=lambda now: switch.touch())
        switch.unlink()
        assert _rows(store, "failures", plan).empty
        assert _rows(store, "trials", plan).empty


class TestPlannedTrials:
    """Folds of experiments, confirmations and audits."""

    def test_a_fold_that_waited_in_vain_ends_the_experiment_and_is_not_to_blame(self, tmp_path: Path) -> None:
        switch, plan = tmp_path / "away", make_experiment(seeds=(1,), epochs=1)
        store = store_away_for("workers", tmp_path / "store", switch)
        switch.touch()
        with pytest.raises(StoreOutOfReach, match=AWAY):
            run(plan, store)
        assert table(store, "failures", plan) == table(store, "trials", plan) == []
        switch.unlink()
        assert run(plan, store) == ExperimentOutcome(num_found=0, num_run=2, failed={})
        assert table(store, "failures", plan) == []

    def test_a_driver_that_waited_in_vain_ends_the_experiment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vigil, "_EVERY_S", 0.1)
        monkeypatch.setattr("sweeps.train_turns._PUT_DOWN_S", 100.0)
        switch, plan = tmp_path / "away", make_experiment(epochs=5000)
        store = store_away_for("driver", tmp_path / "store", switch)
        with pytest.raises(StoreOutOfReach, match=AWAY):
            run_experiment(
                plan,
                toy_features,
                toy_splits(toy_features()),
                store,
                folder=FOLDER,
                sweep_row=SWEEP_ROW,
                on_news=lambda news: switch.touch(),
            )
        switch.unlink()
        assert table(store, "failures", plan) == table(store, "trials", plan) == []
