"""From settings to the logs of a run; none of them can end it.

Enters: `LogSettings`. Leaves: one `RunLogger` that tells all that were asked for.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage.errors import InvalidInput, hold_rules
from sweeps.loggers.run_logger import EndedSeed, RunInfo, RunLogger, RunState
from training.progress import EpochMetrics

LogKind = Literal["tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSettings:
    """Where a run can be watched while it trains; none of it is needed to resume or to report.

    Attributes:
        kinds: any of `tensorboard`, `wandb` and `mlflow`; the last two are extras (pip install '.[wandb]').
        folder: of TensorBoard's event files, and of what W&B keeps on the disk.
        wandb_project: of W&B.
        mlflow_uri: of MLflow's server or store; empty for MLFLOW_TRACKING_URI, or MLflow's own default without that.
        line_every_s: where the job's output is no terminal, a line of progress in so many seconds at most.
    """

    kinds: tuple[LogKind, ...] = ("tensorboard",)
    folder: str = "workspace/logs"
    wandb_project: str = "melsweep"
    mlflow_uri: str = ""
    line_every_s: float = 5.0

    def __post_init__(self) -> None:
        hold_rules("log", self, {"line_every_s": (self.line_every_s >= 1, "1 or more")})
        unknown = [kind for kind in self.kinds if kind not in _OPENERS]
        if unknown or len(set(self.kinds)) < len(self.kinds):
            raise InvalidInput(
                "log.kinds",
                given=list(self.kinds),
                allowed=f"any of {', '.join(_OPENERS)}, none twice",
                remedy="Correct it.",
            )


def open_logger(
    settings: LogSettings, *, say: Callable[[str], None] | None = None, given_up: set[LogKind] | None = None
) -> RunLogger:
    """The logs of one run.

    Args:
        say: hears, once a log, that it could not be written; None for a warning of Python's logging.
        given_up: logs that failed, which are not tried again; shared by runs that are told side by side.

    Raises:
        InvalidInput: the package of a log is not installed.
    """
    say = say or logging.getLogger(__name__).warning
    failed = set[LogKind]() if given_up is None else given_up
    return AllOf([Forgiving(kind, _open(kind, settings, say), say, failed) for kind in settings.kinds])


class AllOf:
    """A `RunLogger` that tells others, in their order."""

    def __init__(self, loggers: Sequence[RunLogger]) -> None:
        self._loggers = tuple(loggers)

    def start(self, run: RunInfo) -> None:
        for logger in self._loggers:
            logger.start(run)

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        for logger in self._loggers:
            logger.epoch(seed=seed, fold=fold, metrics=metrics)

    def seed(self, *, fold: int | None, result: EndedSeed) -> None:
        for logger in self._loggers:
            logger.seed(fold=fold, result=result)

    def end(self, state: RunState) -> None:
        for logger in self._loggers:
            logger.end(state)


class Forgiving:
    """A `RunLogger` whose first error is told once; then nothing more is tried, as each try may wait for a server."""

    def __init__(self, kind: LogKind, logger: RunLogger, say: Callable[[str], None], given_up: set[LogKind]) -> None:
        """Args: given_up: kinds that failed, this one or the same of another run; it gets this one where it fails."""
        self._kind, self._logger, self._say, self._given_up = kind, logger, say, given_up

    def start(self, run: RunInfo) -> None:
        self._try(lambda: self._logger.start(run))

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        self._try(lambda: self._logger.epoch(seed=seed, fold=fold, metrics=metrics))

    def seed(self, *, fold: int | None, result: EndedSeed) -> None:
        self._try(lambda: self._logger.seed(fold=fold, result=result))

    def end(self, state: RunState) -> None:
        self._try(lambda: self._logger.end(state))

    def _try(self, tell: Callable[[], None]) -> None:
        if self._kind in self._given_up:
            return
        try:
            tell()
        except Exception as e:  # of any kind: clients of servers have their own, and a log is not worth a run
            self._given_up.add(self._kind)
            reason = " ".join(str(e).split()) or type(e).__name__
            self._say(f"{self._kind}: {reason}; nothing more is logged there, the results table has all of it")


def _open(kind: LogKind, settings: LogSettings, say: Callable[[str], None]) -> RunLogger:
    try:
        return _OPENERS[kind](settings, say)
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] != kind:
            raise
        raise InvalidInput(
            "log.kinds",
            given=kind,
            allowed="logs whose package is installed",
            remedy=f"Install the extra: pip install '.[{kind}]'.",
        ) from e


# Each is imported when it is asked for: wandb and mlflow are not there unless their extras are.


def _open_tensorboard(settings: LogSettings, say: Callable[[str], None]) -> RunLogger:
    from sweeps.loggers.tensorboard_log import TensorboardLog

    return TensorboardLog(Path(settings.folder))


def _open_wandb(settings: LogSettings, say: Callable[[str], None]) -> RunLogger:
    from sweeps.loggers.wandb_log import WandbLog

    return WandbLog(project=settings.wandb_project, folder=Path(settings.folder) / "wandb", say=say)


def _open_mlflow(settings: LogSettings, say: Callable[[str], None]) -> RunLogger:
    from sweeps.loggers.mlflow_log import MlflowLog

    return MlflowLog(uri=settings.mlflow_uri)


_OPENERS: dict[str, Callable[[LogSettings, Callable[[str], None]], RunLogger]] = {
    "tensorboard": _open_tensorboard,
    "wandb": _open_wandb,
    "mlflow": _open_mlflow,
}
