"""MLflow: a run for every seed and fold, in the experiment of the sweep's name. The one file that imports mlflow.

MLFLOW_TRACKING_URI and the variables of its server's credentials work as MLflow describes them. What is there already
is asked for before anything is written, so that a run that is taken up goes on where it was.
"""

import os
import time
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from sweeps.loggers.run_logger import (
    EndedSeed,
    RunInfo,
    RunState,
    curve_id,
    curve_state,
    epoch_scalars,
    final_scalars,
    flat,
)
from training.progress import EpochMetrics

_TAG = "melsweep.run"
_STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_MAX_PARAM_CHARACTERS, _PARAMS_A_CALL = 500, 100  # what every server takes


class MlflowLog:
    """A `RunLogger` without MLflow's global state: every call names its run."""

    def __init__(self, *, uri: str) -> None:
        """Args: uri: of the tracking server or a local store; empty for MLFLOW_TRACKING_URI."""
        # MLflow would ask a dead server seven times, up to two minutes each, for which a trial would hold its GPU idle.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self._client = MlflowClient(tracking_uri=uri or None)
        self._run: RunInfo | None = None
        self._run_ids: dict[str, str] = {}
        self._steps: dict[tuple[str, str], set[int]] = {}
        self._trained: set[str] = set()

    def start(self, run: RunInfo) -> None:
        self._run = run

    def epoch(self, *, seed: int, fold: int | None, metrics: EpochMetrics) -> None:
        self._write(curve_id(seed, fold), epoch_scalars(metrics), step=metrics.epoch)

    def seed(self, *, fold: int | None, result: EndedSeed) -> None:
        name = curve_id(result.seed, fold)
        self._trained.add(name)
        self._write(name, final_scalars(result), step=result.epochs_trained)

    def end(self, state: RunState) -> None:
        for name, run_id in self._run_ids.items():
            ended = curve_state(state, is_trained=name in self._trained)
            self._client.set_terminated(run_id, _STATES[ended])
        self._run_ids, self._steps, self._trained = {}, {}, set()

    def _write(self, name: str, scalars: dict[str, float], *, step: int) -> None:
        run_id = self._run_id(name)
        fresh = [key for key in scalars if step not in self._steps_of(run_id, key)]
        now_ms = int(time.time() * 1000)
        self._client.log_batch(run_id, metrics=[Metric(key, scalars[key], now_ms, step) for key in fresh])
        for key in fresh:
            self._steps[run_id, key].add(step)

    def _steps_of(self, run_id: str, key: str) -> set[int]:
        if (run_id, key) not in self._steps:
            self._steps[run_id, key] = {metric.step for metric in self._client.get_metric_history(run_id, key)}
        return self._steps[run_id, key]

    def _run_id(self, name: str) -> str:
        if name not in self._run_ids:
            self._run_ids[name] = self._find_or_create(name)
        return self._run_ids[name]

    def _find_or_create(self, name: str) -> str:
        assert self._run is not None, "start comes first"
        found = self._client.get_experiment_by_name(self._run.group)
        experiment = found.experiment_id if found else self._client.create_experiment(self._run.group)
        identity = f"{self._run.run_id}-{name}"
        runs = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{identity}'", max_results=1)
        if runs:
            self._client.update_run(runs[0].info.run_id, status="RUNNING")
            return str(runs[0].info.run_id)
        run = self._client.create_run(experiment, run_name=f"{self._run.name} {name}", tags={_TAG: identity})
        self._log_parameters(run.info.run_id, self._run.configuration)
        return str(run.info.run_id)

    def _log_parameters(self, run_id: str, configuration: Any) -> None:
        values = {key: str(value)[:_MAX_PARAM_CHARACTERS] for key, value in flat(configuration).items()}
        params = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(params), _PARAMS_A_CALL):
            self._client.log_batch(run_id, params=params[start : start + _PARAMS_A_CALL])
