"""Which logs a run has, and that none of them can end it."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.errors import InvalidInput
from sweeps.loggers import LogSettings, RunInfo, open_logger
from sweeps.loggers.opening import AllOf, Forgiving
from training.progress import EpochMetrics

Epochs = Callable[[int], EpochMetrics]


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_that_names_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == kind or name.endswith(f".{kind}_log")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, kind, None)  # what the import system calls a module that is not there
    with pytest.raises(InvalidInput, match=rf"log\.kinds: got '{kind}'.*pip install '\.\[{kind}\]'") as caught:
        open_logger(LogSettings(kinds=(kind,)))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kinds", [("tensorbord",), ("tensorboard", "tensorboard")])
def test_unknown_and_repeated_kinds_are_refused(kinds: Any) -> None:
    with pytest.raises(InvalidInput, match=r"log\.kinds.*tensorboard, wandb, mlflow, none twice"):
        LogSettings(kinds=kinds)


def test_no_kind_logs_nothing(tmp_path: Path, run: RunInfo, make_epoch: Epochs) -> None:
    logger = open_logger(LogSettings(kinds=(), folder=str(tmp_path / "logs")))
    logger.start(run)
    logger.epoch(seed=1, fold=None, metrics=make_epoch(1))
    logger.end("finished")
    assert list(tmp_path.iterdir()) == []


class _Broken:
    def __init__(self) -> None:
        self.num_calls = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*words: Any, **values: Any) -> None:
            self.num_calls += 1
            raise ConnectionRefusedError("no\nserver")

        return fail


class _Listening:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *words, **values: self.heard.append(name)


def test_a_log_that_fails_is_told_once_and_the_others_go_on(run: RunInfo, make_epoch: Epochs) -> None:
    said: list[str] = []
    broken, listening = _Broken(), _Listening()
    failed: set[Any] = set()
    logger = AllOf(
        [Forgiving("mlflow", broken, said.append, failed), Forgiving("tensorboard", listening, said.append, failed)]
    )
    logger.start(run)
    for epoch in (1, 2):
        logger.epoch(seed=1, fold=None, metrics=make_epoch(epoch))
    logger.end("finished")
    assert said == ["mlflow: no server; nothing more is logged there, the results table has all of it"]
    assert broken.num_calls == 1
    assert listening.heard == ["start", "epoch", "epoch", "end"]


def test_a_folder_that_cannot_be_written_does_not_end_a_run(
    tmp_path: Path, run: RunInfo, make_epoch: Epochs, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    logger = open_logger(LogSettings(folder=str(tmp_path / "file")))
    logger.start(run)
    with caplog.at_level(logging.WARNING, logger="sweeps.loggers.opening"):
        for epoch in (1, 2):
            logger.epoch(seed=1, fold=None, metrics=make_epoch(epoch))
    assert len([record for record in caplog.records if record.message.startswith("tensorboard: ")]) == 1
