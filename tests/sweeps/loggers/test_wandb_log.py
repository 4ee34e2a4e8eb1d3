"""W&B, by a stand-in of its module, and, where it is installed, for real without a network."""

import importlib.util
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from log_toys import FakeWandb

from sweeps.loggers import LogSettings, RunInfo, RunLogger, open_logger
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
        assert (of_seed.is_open, of_seed.exit_code) == (False, 0)
    assert said == []


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
    assert of_seed.exit_code == 1


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
