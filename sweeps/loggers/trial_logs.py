"""Logs of many runs at a time: the trials of a sweep, each with a curve for every seed.

Enters: epochs and seeds of trials in any order, as the driver hears of them. Leaves: whatever the loggers make of them.
"""

import logging
from collections.abc import Callable

from sweeps.loggers.opening import LogKind, LogSettings, open_logger
from sweeps.loggers.run_logger import EndedSeed, RunInfo, RunLogger, RunState
from training.progress import EpochMetrics


class TrialLogs:
    """Keeps a logger open for every run that has begun and not ended. One thread of one process; never raises.

    A log that fails is told once and then left alone for all runs: each try may wait for a server.
    """

    def __init__(self, settings: LogSettings, *, say: Callable[[str], None] | None = None) -> None:
        """Args: say: hears, once a log, that it could not be written; None for a warning of Python's logging.

        Raises:
            InvalidInput: the package of a log is not installed.
        """
        self._settings, self._say = settings, say or logging.getLogger(__name__).warning
        self._given_up: set[LogKind] = set()
        self._open: dict[str, RunLogger] = {}
        self._ended: set[str] = set()
        open_logger(settings, say=self._say)  # now rather than after hours: is everything installed?

    def epoch(self, run: RunInfo, *, seed: int, metrics: EpochMetrics) -> None:
        """An epoch of a run, which begins with its first one. What is told of an ended run goes nowhere."""
        if run.run_id not in self._ended:
            self._logger(run).epoch(seed=seed, fold=None, metrics=metrics)

    def seed(self, run: RunInfo, result: EndedSeed) -> None:
        """A seed of a run is trained to its end."""
        if run.run_id not in self._ended:
            self._logger(run).seed(fold=None, result=result)

    def end(self, run_id: str, state: RunState) -> None:
        """Nothing more comes of a run; of one that was never told there is nothing to end."""
        self._ended.add(run_id)
        logger = self._open.pop(run_id, None)
        if logger is not None:
            logger.end(state)

    def close(self, state: RunState) -> None:
        """Ends every run that is left."""
        for run_id in list(self._open):
            self.end(run_id, state)

    def _logger(self, run: RunInfo) -> RunLogger:
        if run.run_id not in self._open:
            self._open[run.run_id] = open_logger(self._settings, say=self._say, given_up=self._given_up)
            self._open[run.run_id].start(run)
        return self._open[run.run_id]
