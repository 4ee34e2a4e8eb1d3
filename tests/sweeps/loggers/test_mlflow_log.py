"""MLflow by a stand-in of its client, and, where it is installed, a real store in a file and a server that is down."""

import importlib.util
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from log_toys import FakeMlflow

from sweeps.loggers import LogSettings, RunInfo, RunLogger, open_logger
from training import SeedResult
from training.progress import EpochMetrics

_needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="the extra mlflow is not installed"
)
Epochs = Callable[[int], EpochMetrics]
Results = Callable[[int], SeedResult]


def _open(uri: str, run: RunInfo, said: list[str]) -> RunLogger:
    logger = open_logger(LogSettings(kinds=("mlflow",), mlflow_uri=uri), say=said.append)
    logger.start(run)
    return logger


def _runs(uri: str) -> tuple[Any, list[Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return client, client.search_runs([client.get_experiment_by_name("birds-1").experiment_id])


def test_every_seed_is_a_run_with_its_epochs_scores_and_configuration(
    run: RunInfo, make_epoch: Epochs, make_result: Results, mlflow: FakeMlflow
) -> None:
    said: list[str] = []
    for epochs, state in (((1, 2, 2), "stopped"), ((2, 3), "failed")):
        logger = _open("http://somewhere", run, said)
        for seed in (1, 2):
            for epoch in epochs:
                logger.epoch(seed=seed, fold=None, metrics=make_epoch(epoch))
            logger.seed(fold=None, result=make_result(seed))
        logger.end(state)  # type: ignore[arg-type]
    assert said == []
    assert (mlflow.uris, mlflow.experiments) == (["http://somewhere"] * 2, ["birds-1"])
    assert [of_seed.info.name for of_seed in mlflow.runs] == ["cnn #3 seed=1", "cnn #3 seed=2"]
    for of_seed in mlflow.runs:
        metrics = [(metric.step, metric.value) for metric in of_seed.metrics if metric.key == "loss/validation"]
        assert metrics == [(1, 1.5), (2, 0.75), (3, 0.5)]
        assert [metric.value for metric in of_seed.metrics if metric.key == "final/test/accuracy"] == [0.5]
        assert of_seed.params["optimizer.learning_rate"] == "0.001"
        assert of_seed.info.status == "FINISHED"  # as its result was told, whatever became of the run


def test_a_seed_without_a_result_ends_as_its_run_does_and_failed_where_that_finished(
    run: RunInfo, make_epoch: Epochs, make_result: Results, mlflow: FakeMlflow
) -> None:
    for state, expected in (("stopped", "KILLED"), ("failed", "FAILED"), ("finished", "FAILED")):
        logger = _open("http://somewhere", run, [])
        for seed in (1, 2):
            logger.epoch(seed=seed, fold=None, metrics=make_epoch(1))
        logger.seed(fold=None, result=make_result(1))
        logger.end(state)  # type: ignore[arg-type]
        assert [of_seed.info.status for of_seed in mlflow.runs] == ["FINISHED", expected]


@pytest.mark.slow
@_needs_mlflow
def test_a_real_store_has_everything_once(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Results
) -> None:
    uri, said = f"sqlite:///{tmp_path}/mlflow.db", []  # type: tuple[str, list[str]]
    for epochs, state in (((1, 2, 2), "stopped"), ((2, 3), "finished")):
        logger = _open(uri, run, said)
        for seed in (1, 2):
            for epoch in epochs:
                logger.epoch(seed=seed, fold=4, metrics=make_epoch(epoch))
            logger.seed(fold=4, result=make_result(seed))
        logger.end(state)  # type: ignore[arg-type]
    assert said == []
    client, runs = _runs(uri)
    assert len(runs) == 2
    for of_seed in runs:
        steps = [metric.step for metric in client.get_metric_history(of_seed.info.run_id, "loss/train")]
        assert steps == [1, 2, 3]
        assert of_seed.data.metrics["final/test/accuracy"] == 0.5
        assert of_seed.data.params["optimizer.learning_rate"] == "0.001"
        assert of_seed.info.status == "FINISHED"


@pytest.mark.slow
@_needs_mlflow
def test_a_server_that_is_down_is_said_once_and_costs_little(run: RunInfo, make_epoch: Epochs) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []
    started = time.monotonic()
    logger = _open(f"http://127.0.0.1:{port}", run, said)
    for epoch in (1, 2, 3):
        logger.epoch(seed=1, fold=None, metrics=make_epoch(epoch))
    logger.end("finished")
    assert len(said) == 1
    assert said[0].startswith("mlflow: ")
    assert time.monotonic() - started < 120
