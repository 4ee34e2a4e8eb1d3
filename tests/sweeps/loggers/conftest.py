"""A run as logs hear of it; W&B and MLflow as modules that are not there."""

import sys
import types
from collections.abc import Callable

import numpy as np
import pytest
from log_toys import FakeMlflow, FakeWandb, Metric, Param

from sweeps.loggers import RunInfo
from training import SeedResult
from training.metrics import evaluate
from training.progress import EpochMetrics


@pytest.fixture
def run() -> RunInfo:
    configuration = {"architecture": "cnn", "optimizer": {"learning_rate": 0.001}, "seeds": [1, 2], "model": {}}
    return RunInfo(run_id="0123456789abcdef", name="cnn #3", group="birds-1", configuration=configuration)


@pytest.fixture
def make_epoch() -> Callable[[int], EpochMetrics]:
    def make(epoch: int) -> EpochMetrics:
        return EpochMetrics(
            epoch=epoch,
            train_loss=1.0 / epoch,
            validation_loss=1.5 / epoch,
            validation_accuracy=0.5,
            validation_score=1 - 0.5 / epoch,
            learning_rate=1e-3,
            epoch_seconds=2.0,
        )

    return make


@pytest.fixture
def make_result() -> Callable[[int], SeedResult]:
    def make(seed: int) -> SeedResult:
        evaluation = evaluate(
            clip_ids=("a", "b"),
            groups=("a", "b"),
            targets=np.array([[True, False], [True, False]]),  # no clip of the second label: the AUC is not defined
            first_label=np.array([0, 0]),
            probabilities=np.array([[0.9, 0.1], [0.4, 0.6]]),
            is_multi_label=False,
        )
        return SeedResult(
            seed=seed,
            best_epoch=2,
            epochs_trained=3,
            validation=evaluation,
            test=evaluation,
            train_seconds=6.0,
            num_parameters=10,
            device="cpu",
            best_weights={},
            test_embeddings=np.zeros((2, 3), np.float32),
        )

    return make


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    # Set and then deleted, so that what is imported with the stand-in is forgotten after the test.
    monkeypatch.setitem(sys.modules, "sweeps.loggers.wandb_log", fake)
    del sys.modules["sweeps.loggers.wandb_log"]
    return fake


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    client = FakeMlflow()
    modules = {name: types.ModuleType(name) for name in ("mlflow", "mlflow.entities", "mlflow.tracking")}
    vars(modules["mlflow.entities"]).update(Metric=Metric, Param=Param)
    vars(modules["mlflow.tracking"]).update(MlflowClient=client)
    for name, module in {**modules, "sweeps.loggers.mlflow_log": modules["mlflow"]}.items():
        monkeypatch.setitem(sys.modules, name, module)
    del sys.modules["sweeps.loggers.mlflow_log"]
    return client
