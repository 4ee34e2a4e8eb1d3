"""Logs of a run for people who watch it: TensorBoard, and W&B or MLflow when asked; the results table is the truth."""

from sweeps.loggers.opening import LogSettings, open_logger
from sweeps.loggers.run_logger import RunInfo, RunLogger, RunState
from sweeps.loggers.trial_logs import TrialLogs

__all__ = ["LogSettings", "RunInfo", "RunLogger", "RunState", "TrialLogs", "open_logger"]
