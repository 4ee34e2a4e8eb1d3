"""The benchmark of a sweep's driver on a few stub trials: a row for every size, and reading leaves the table alone."""

import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sweep_overhead
from benchmarks.actors_in_process import DriverTime, actors_in_process
from benchmarks.stub_sweep import SWEEP_ROW, StubTrial, ledger_of, stub_plan
from benchmarks.sweep_overhead import Mark, growth
from storage.object_store import open_store
from storage.results_table import ResultsTable
from sweeps import run_sweep

_EPOCHS = 4


def _mark(num_trials: int, seconds: float) -> Mark:
    return Mark(
        num_trials=num_trials,
        num_reports=num_trials,
        reports_s=seconds,
        trials_s=seconds,
        optuna_s=seconds,
        commits_s=seconds,
        grown_mib=seconds,
    )


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_growth_is_the_power_of_the_number_of_trials(power: float) -> None:
    marks = [_mark(num_trials, 0.1 * num_trials**power) for num_trials in (500, 1000, 2000, 5000)]
    assert growth(marks, lambda mark: mark.driver_s) == pytest.approx(power)


def test_what_optuna_costs_is_told_beside_figures_that_leave_it_out(capsys: pytest.CaptureFixture[str]) -> None:
    marks = [replace(_mark(num_trials, num_trials), optuna_s=0.001 * num_trials**2) for num_trials in (500, 1000)]
    marks = [replace(mark, restart_s=1.0, again_s=1.0, board_s=1.0) for mark in marks]
    sweep_overhead.print_figures({"local": marks}, marks)
    figures = dict(line.split(" ", 2)[1:] for line in capsys.readouterr().out.splitlines())
    assert figures["sweep.optuna_growth_local"] == "2.00"
    assert figures["sweep.optuna_ms_per_trial_local"] == "1000.0"
    assert figures["sweep.overhead_vs_tune"] == "1.50"
    assert figures["sweep.overhead_with_optuna_vs_tune"] == "2.00"
    assert figures["sweep.worst_growth_local"] == "1.00 (reports, Optuna aside)"


@pytest.mark.usefixtures("ray_local")
class TestDriving:
    def test_every_stub_trial_reports_all_its_epochs_and_commits_what_a_real_one_does(self, tmp_path: Path) -> None:
        store, plan, spent = open_store(str(tmp_path)), stub_plan(6, _EPOCHS), DriverTime()
        ledger = ledger_of(store, plan)
        with actors_in_process(lambda config: StubTrial(config, ledger), spent):
            outcome = run_sweep(plan, None, store, sweep_row=SWEEP_ROW)  # type: ignore[arg-type]
        assert outcome.num_trials_run == 6
        rows = {name: ResultsTable(store).read(name).num_rows for name in ("suggestions", "trials", "seeds", "epochs")}
        assert rows == {"suggestions": 6, "trials": 6, "seeds": 6, "epochs": 6 * _EPOCHS}
        assert set(ResultsTable(store).read("trials").column("state").to_pylist()) == {"finished"}
        assert spent.num_of == {"start": 6, "report": 6 * _EPOCHS, "end": 6}
        assert min(spent.seconds_of.values()) > 0
        assert spent.of_trials_s > 0

    def test_no_scheduler_of_ours_goes_through_all_trials_at_every_report(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr("ray.tune.schedulers.FIFOScheduler.choose_trial_to_run")
        for scheduler in ("seed_epochs", "adaptive"):
            store, plan = open_store(str(tmp_path / scheduler)), stub_plan(3, _EPOCHS, scheduler=scheduler)
            ledger = ledger_of(store, plan)
            with actors_in_process(functools.partial(StubTrial, ledger=ledger), DriverTime()):
                outcome = run_sweep(plan, None, store, sweep_row=SWEEP_ROW)  # type: ignore[arg-type]
            assert outcome.num_trials_run == 3

    def test_there_is_a_mark_for_every_size_and_reading_leaves_the_table_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sweeps.ledger._MANY_COMMITS", 3)
        store = open_store(str(tmp_path / "ours"))
        ours = sweep_overhead.measure_ours(store, 10, _EPOCHS, "cpu")
        plain = sweep_overhead.measure_plain(str(tmp_path / "plain"), 10, _EPOCHS, "wall")
        for marks, num_reports in ((ours, _EPOCHS), (plain, _EPOCHS - 1)):  # with its last one ASHA ends a trial
            assert [mark.num_trials for mark in marks] == [2, 4, 10]
            assert marks[-1].num_reports == 10 * num_reports
            assert all(0 < mark.reports_s < math.inf for mark in marks)
        assert all(mark.restart_s and mark.again_s and mark.board_s for mark in ours)
        assert ResultsTable(store).read("epochs").num_rows == 10 * _EPOCHS
        sweep_overhead.print_marks("ours", ours)
        printed: Any = capsys.readouterr().out
        assert "growth: reports " in printed
