"""Logs of many runs that are told side by side, as a sweep's driver hears of its trials."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from log_toys import FakeWandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from storage.errors import InvalidInput
from sweeps.loggers import LogSettings, RunInfo, TrialLogs
from training import SeedResult
from training.progress import EpochMetrics

Epochs = Callable[[int], EpochMetrics]
Results = Callable[[int], SeedResult]


def _another(run: RunInfo) -> RunInfo:
    return dataclasses.replace(run, run_id="another", name="cnn #4")


def test_runs_that_are_told_in_turns_do_not_mix(tmp_path: Path, run: RunInfo, make_epoch: Epochs) -> None:
    logs = TrialLogs(LogSettings(folder=str(tmp_path)))
    for epoch in (1, 2):
        for one in (run, _another(run)):
            logs.epoch(one, seed=7, metrics=make_epoch(epoch))
    logs.close("stopped")
    for run_id in (run.run_id, "another"):
        events = EventAccumulator(str(tmp_path / "birds-1" / run_id / "seed=7"), size_guidance={"scalars": 0}).Reload()
        assert [event.step for event in events.Scalars("loss/train")] == [1, 2]


def test_every_run_ends_in_its_own_state(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results, wandb: FakeWandb
) -> None:
    logs = TrialLogs(LogSettings(kinds=("wandb",), folder=str(tmp_path)))
    third = dataclasses.replace(run, run_id="third")
    for epoch in (1, 2, 3):
        for one in (run, _another(run), third):
            logs.epoch(one, seed=1, metrics=make_epoch(epoch))
    logs.seed(run, make_result(1))
    logs.end(run.run_id, "finished")
    logs.end("another", "failed")
    logs.end("never told", "stopped")
    logs.close("stopped")
    assert [of_trial.summary["state"] for of_trial in wandb.runs.values()] == ["finished", "failed", "stopped"]
    assert [of_trial.exit_codes for of_trial in wandb.runs.values()] == [[0], [1], [0]]


def test_what_is_told_of_a_run_that_has_ended_goes_nowhere(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results, wandb: FakeWandb
) -> None:
    logs = TrialLogs(LogSettings(kinds=("wandb",), folder=str(tmp_path)))
    logs.epoch(run, seed=1, metrics=make_epoch(1))
    logs.end(run.run_id, "stopped")
    logs.epoch(run, seed=1, metrics=make_epoch(2))  # cleaning up after an error, Tune brings results again
    logs.seed(run, make_result(1))
    logs.close("failed")
    (of_trial,) = wandb.runs.values()
    assert (list(of_trial.rows), of_trial.exit_codes) == ([1], [0])


def test_a_log_that_fails_is_told_once_for_all_runs(tmp_path: Path, run: RunInfo, make_epoch: Epochs) -> None:
    (tmp_path / "file").write_text("no folder")
    said: list[str] = []
    logs = TrialLogs(LogSettings(folder=str(tmp_path / "file")), say=said.append)
    for epoch in (1, 2):
        for one in (run, _another(run)):
            logs.epoch(one, seed=1, metrics=make_epoch(epoch))
    logs.close("finished")
    assert len(said) == 1


def test_a_missing_package_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb" or name.endswith(".wandb_log")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InvalidInput, match=r"log\.kinds: got 'wandb'"):
        TrialLogs(LogSettings(kinds=("wandb",)))
