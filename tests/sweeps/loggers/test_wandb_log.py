"""W&B, by a stand-in of its module, and, where it is installed, for real without a network."""

import importlib.util
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from log_toys import FakeWandb

from sweeps.loggers import LogSettings, RunInfo, RunLogger, RunState, open_logger
from training import SeedResult
from training.progress import EpochMetrics

Epochs = Callable[[int], EpochMetrics]
Results = Callable[[int], SeedResult]


def _open(folder: Path, run: RunInfo, said: list[str]) -> RunLogger:
    logger = open_logger(LogSettings(kinds=("wandb",), folder=str(folder)), say=said.append)
    logger.start(run)
    return logger


def test_every_seed_is_a_run_with_its_epochs_scores_and_configuration(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results, wandb: FakeWandb
) -> None:
    said: list[str] = []
    logger = _open(tmp_path, run, said)
    for seed in (1, 2):
        for epoch in (1, 2):
            logger.epoch(seed=seed, fold=0, metrics=make_epoch(epoch))
        logger.seed(fold=0, result=make_result(seed))
    logger.end("finished")
    assert set(wandb.runs) == {"0123456789abcdef-fold=0_seed=1", "0123456789abcdef-fold=0_seed=2"}
    for of_seed in wandb.runs.values():
        assert [row["loss/train"] for row in of_seed.rows.values()] == [1.0, 0.5]
        assert of_seed.summary["final/test/accuracy"] == 0.5
        assert of_seed.given["config"] == run.configuration
        assert (of_seed.given["group"], of_seed.given["resume"]) == ("birds-1", "allow")
        assert (of_seed.is_open, of_seed.exit_codes, of_seed.summary["state"]) == (False, [0], "finished")
    assert said == []


def test_folds_that_train_side_by_side_have_one_open_run_each(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results, wandb: FakeWandb
) -> None:
    logger = _open(tmp_path, run, [])
    for epoch in (1, 2):
        for fold in (1, 2, 3):
            logger.epoch(seed=1, fold=fold, metrics=make_epoch(epoch))
    assert len(wandb.modes) == len(wandb.open_runs) == 3
    logger.seed(fold=2, result=make_result(1))  # trained for three epochs, of which the last is told after it
    assert len(wandb.open_runs) == 3
    logger.epoch(seed=1, fold=2, metrics=make_epoch(3))
    assert len(wandb.open_runs) == 2
    for told_again in (2, 3):
        logger.epoch(seed=1, fold=2, metrics=make_epoch(told_again))
    logger.seed(fold=2, result=make_result(1))
    assert len(wandb.modes) == 3
    assert [list(of_fold.rows) for of_fold in wandb.runs.values()] == [[1, 2], [1, 2, 3], [1, 2]]


@pytest.mark.parametrize(("state", "others"), [("finished", "failed"), ("failed", "failed"), ("stopped", "stopped")])
def test_each_fold_ends_in_a_state_of_its_own(
    tmp_path: Path,
    run: RunInfo,
    make_epoch: Epochs,
    make_result: Results,
    wandb: FakeWandb,
    state: RunState,
    others: RunState,
) -> None:
    logger = _open(tmp_path, run, [])
    for epoch in (1, 2, 3):
        for fold in (1, 2):
            logger.epoch(seed=1, fold=fold, metrics=make_epoch(epoch))
    logger.seed(fold=1, result=make_result(1))  # nothing comes of fold 2: it failed, or was stopped
    logger.end(state)
    whole, broken = wandb.runs.values()
    assert (whole.exit_codes, whole.summary["state"]) == ([0], "finished")
    assert (broken.exit_codes, broken.summary["state"]) == ([int(others == "failed")], others)


def test_an_epoch_told_again_after_a_resume_stands_there_once(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, wandb: FakeWandb
) -> None:
    for epochs in ((1, 2, 2), (2, 3)):
        logger = _open(tmp_path, run, [])
        for epoch in epochs:
            logger.epoch(seed=1, fold=None, metrics=make_epoch(epoch))
        logger.end("failed")
    (of_seed,) = wandb.runs.values()
    assert list(of_seed.rows) == [1, 2, 3]
    assert of_seed.exit_codes == [1, 1]


def test_without_a_server_the_run_goes_to_the_disk_and_that_is_said_once(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, wandb: FakeWandb
) -> None:
    wandb.error = TimeoutError("no\nanswer")
    said: list[str] = []
    logger = _open(tmp_path, run, said)
    for seed in (1, 2):
        logger.epoch(seed=seed, fold=None, metrics=make_epoch(1))
    logger.end("finished")
    assert said == [f"wandb: no answer; the run is kept in {tmp_path}/wandb, and `wandb sync` sends it later"]
    assert wandb.modes == [None, "offline", "offline"]
    assert [list(of_seed.rows) for of_seed in wandb.runs.values()] == [[1], [1]]


def test_a_server_that_goes_away_costs_no_run_that_is_open(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, wandb: FakeWandb
) -> None:
    said: list[str] = []
    logger = _open(tmp_path, run, said)
    logger.epoch(seed=1, fold=1, metrics=make_epoch(1))
    wandb.error = TimeoutError("gone")
    for epoch in (1, 2):
        for fold in (1, 2, 3):
            logger.epoch(seed=1, fold=fold, metrics=make_epoch(epoch))
    logger.end("finished")
    assert wandb.num_open_at_teardown == []  # it would have ended the first fold's run
    assert [name.partition("-")[2] for name in wandb.runs] == [
        "fold=1_seed=1",
        "fold=2_seed=1-offline",
        "fold=3_seed=1",
    ]
    assert [list(of_fold.rows) for of_fold in wandb.runs.values()] == [[1, 2], [1, 2], [1, 2]]
    assert len(said) == 1


_needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra wandb is not installed")


@pytest.mark.slow
@_needs_wandb
def test_the_real_wandb_keeps_a_run_on_the_disk(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    said: list[str] = []
    logger = _open(tmp_path, run, said)
    for epoch in (1, 2, 2):
        logger.epoch(seed=1, fold=None, metrics=make_epoch(epoch))
    logger.seed(fold=None, result=make_result(1))
    logger.end("finished")
    assert said == []
    assert b"final/test/accuracy" in _kept(tmp_path)


@pytest.mark.slow
@_needs_wandb
def test_the_real_wandb_keeps_folds_that_train_side_by_side_apart(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    said: list[str] = []
    logger = _open(tmp_path, run, said)
    for epoch in (1, 2, 3):
        for fold in (1, 2):
            logger.epoch(seed=1, fold=fold, metrics=make_epoch(epoch))
    logger.seed(fold=1, result=make_result(1))
    logger.end("finished")
    assert said == []
    assert len(list((tmp_path / "wandb").rglob("offline-run-*/*.wandb"))) == 2


@pytest.mark.slow
@_needs_wandb
def test_the_real_wandb_goes_on_on_the_disk_where_its_server_is_down(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    pytest.importorskip("wandb").teardown()  # it reads the environment once a process
    said: list[str] = []
    logger = _open(tmp_path, run, said)
    for epoch in (1, 2):
        logger.epoch(seed=1, fold=None, metrics=make_epoch(epoch))
    logger.end("finished")
    assert len(said) == 1
    assert "the run is kept in" in said[0]
    assert b"loss/train" in _kept(tmp_path)


def _kept(folder: Path) -> bytes:
    """What W&B has on the disk of a run without a server; a process of its own writes it, a little after its end."""
    (file,) = (folder / "wandb").rglob("offline-run-*/*.wandb")
    deadline = time.monotonic() + 60
    while b"state" not in file.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)
    return file.read_bytes()
