"""TensorBoard's event files, read back with TensorBoard's own reader."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from sweeps.loggers import LogSettings, RunInfo, RunLogger, open_logger
from training import SeedResult
from training.progress import EpochMetrics

Epochs = Callable[[int], EpochMetrics]


def _open(folder: Path, run: RunInfo) -> RunLogger:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    logger = open_logger(LogSettings(folder=str(folder)), say=refuse)
    logger.start(run)
    return logger


def _read(folder: Path, name: str) -> EventAccumulator:
    return EventAccumulator(str(folder / "birds-1" / "0123456789abcdef" / name), size_guidance={"scalars": 0}).Reload()


def _points(folder: Path, name: str, tag: str) -> list[tuple[int, Any]]:
    return [(event.step, pytest.approx(event.value)) for event in _read(folder, name).Scalars(tag)]


def test_epochs_of_every_seed_and_fold_are_curves_of_their_own(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs
) -> None:
    logger = _open(tmp_path, run)
    for epoch in (1, 2):
        logger.epoch(seed=7, fold=None, metrics=make_epoch(epoch))
        logger.epoch(seed=7, fold=3, metrics=make_epoch(epoch))
    logger.end("finished")
    for name in ("seed=7", "fold=3,seed=7"):
        assert _points(tmp_path, name, "loss/train") == [(1, 1.0), (2, 0.5)]
        assert _points(tmp_path, name, "validation/score") == [(1, 0.5), (2, 0.75)]


def test_the_divergence_is_a_curve_where_it_was_kept(tmp_path: Path, run: RunInfo, make_epoch: Epochs) -> None:
    logger = _open(tmp_path, run)
    logger.epoch(seed=7, fold=None, metrics=dataclasses.replace(make_epoch(1), validation_kl=math.nan))
    logger.epoch(seed=7, fold=None, metrics=dataclasses.replace(make_epoch(2), validation_kl=0.25))
    logger.end("finished")
    assert _points(tmp_path, "seed=7", "validation/kl") == [(2, 0.25)]


def test_the_configuration_stands_beside_the_curves(tmp_path: Path, run: RunInfo, make_epoch: Epochs) -> None:
    logger = _open(tmp_path, run)
    logger.epoch(seed=7, fold=None, metrics=make_epoch(1))
    (event,) = _read(tmp_path, "seed=7").Tensors("configuration/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert "cnn #3" in text
    assert '"learning_rate": 0.001' in text


def test_final_scores_are_there_and_undefined_ones_are_not(
    tmp_path: Path, run: RunInfo, make_result: Callable[[int], SeedResult]
) -> None:
    logger = _open(tmp_path, run)
    logger.seed(fold=None, result=make_result(7))
    assert _points(tmp_path, "seed=7", "final/test/accuracy") == [(3, 0.5)]
    assert "final/test/macro_auc" not in _read(tmp_path, "seed=7").Tags()["scalars"]


def test_hyperparameters_can_be_compared_and_stand_there_once(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Callable[[int], SeedResult]
) -> None:
    run = dataclasses.replace(run, hyperparameters={"architecture": "cnn", "optimizer.learning_rate": 0.003})
    for seed in (7, 7, 8):
        logger = _open(tmp_path, run)
        logger.epoch(seed=seed, fold=None, metrics=make_epoch(1))
        if seed == 7:
            logger.seed(fold=None, result=make_result(7))
        logger.end("stopped")
    starts = {seed: _hparams(tmp_path, f"seed={seed}", "_hparams_/session_start_info") for seed in (7, 8)}
    for seed, (start,) in starts.items():
        values = start.session_start_info.hparams
        assert values["architecture"].string_value == "cnn"
        assert values["optimizer.learning_rate"].number_value == 0.003
        assert values["seed"].number_value == seed
    (end,) = _hparams(tmp_path, "seed=7", "_hparams_/session_end_info")
    assert end.session_end_info.status == Status.Value("STATUS_SUCCESS")
    assert _hparams(tmp_path, "seed=8", "_hparams_/session_end_info") == []


def test_a_run_that_nothing_is_compared_to_has_no_hyperparameters(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs
) -> None:
    logger = _open(tmp_path, run)
    logger.epoch(seed=7, fold=None, metrics=make_epoch(1))
    assert _hparams(tmp_path, "seed=7", "_hparams_/session_start_info") == []


def _hparams(folder: Path, name: str, tag: str) -> list[Any]:
    """Every summary of the tag in the event files, as TensorBoard's HParams page takes it."""
    files = sorted((folder / "birds-1" / "0123456789abcdef" / name).glob("events*"))
    events = [event for file in files for event in EventFileLoader(str(file)).Load()]
    values = [value for event in events for value in event.summary.value if value.tag == tag]
    return [HParamsPluginData.FromString(value.metadata.plugin_data.content) for value in values]


def test_what_is_told_twice_stands_there_once(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, make_result: Callable[[int], SeedResult]
) -> None:
    for epochs in ((1, 2, 2), (2, 3)):  # the second process takes the run up and tells its last epoch again
        logger = _open(tmp_path, run)
        for epoch in epochs:
            logger.epoch(seed=7, fold=None, metrics=make_epoch(epoch))
        logger.seed(fold=None, result=make_result(7))
        logger.end("stopped")
    files = list((tmp_path / "birds-1" / "0123456789abcdef" / "seed=7").iterdir())
    assert len(files) == 2
    # Files of one second are read in the order of their names, in which the tenth of a process comes before the ninth.
    assert sorted(event.step for event in _read(tmp_path, "seed=7").Scalars("loss/train")) == [1, 2, 3]
    assert [event.step for event in _read(tmp_path, "seed=7").Scalars("final/test/accuracy")] == [3]


def test_a_run_that_was_killed_while_it_wrote_is_taken_up(tmp_path: Path, run: RunInfo, make_epoch: Epochs) -> None:
    logger = _open(tmp_path, run)
    logger.epoch(seed=7, fold=None, metrics=make_epoch(1))
    (file,) = (tmp_path / "birds-1" / "0123456789abcdef" / "seed=7").iterdir()
    file.write_bytes(file.read_bytes()[:-5])  # the last record is cut off: epoch_seconds of epoch 1
    again = _open(tmp_path, run)
    again.epoch(seed=7, fold=None, metrics=make_epoch(1))
    assert _points(tmp_path, "seed=7", "loss/train") == [(1, 1.0)]
    assert _points(tmp_path, "seed=7", "epoch_seconds") == [(1, 2.0)]


def test_names_cannot_leave_the_folder(tmp_path: Path, make_epoch: Epochs) -> None:
    run = RunInfo(run_id="../../x", name="x", group="../y z", configuration={})
    logger = _open(tmp_path / "logs", run)
    logger.epoch(seed=1, fold=None, metrics=make_epoch(1))
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert all(path.is_relative_to(tmp_path / "logs") for path in tmp_path.rglob("events*"))
    assert list(tmp_path.rglob("events*"))
