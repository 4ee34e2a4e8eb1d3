"""Hand-written stand-ins of W&B and MLflow; tests import this by the name `log_toys`."""

import types
from collections.abc import Sequence
from typing import Any, NamedTuple


class FakeWandb(types.ModuleType):
    """Keeps what it is told; drops steps that are not above a run's last one, and holds ids, as W&B does."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: dict[str, FakeWandbRun] = {}
        self.modes: list[str | None] = []
        self.error: Exception | None = None
        self.ids_held: set[str] = set()
        self.Settings = dict
        self.num_open_at_teardown: list[int] = []

    def init(self, *, id: str, mode: str | None, reinit: str, **given: Any) -> "FakeWandbRun":
        self.modes.append(mode)
        assert id not in self.ids_held
        assert reinit == "create_new" or not self.open_runs
        assert id not in self.open_runs
        if self.error and mode != "offline":
            self.ids_held.add(id)
            raise self.error
        run = self.runs.setdefault(id, FakeWandbRun(given))
        run.is_open = True
        return run

    @property
    def open_runs(self) -> set[str]:
        return {name for name, run in self.runs.items() if run.is_open}

    def teardown(self) -> None:
        self.num_open_at_teardown.append(len(self.open_runs))
        self.ids_held.clear()


class FakeWandbRun:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.is_open, self.exit_codes = given, False, list[int]()
        self.rows: dict[int, dict[str, float]] = {}
        self.summary: dict[str, Any] = {}

    def log(self, row: dict[str, float], *, step: int) -> None:
        assert self.is_open
        if step > max(self.rows, default=-1):
            self.rows[step] = row

    def finish(self, exit_code: int) -> None:
        assert self.is_open
        self.is_open = False
        self.exit_codes.append(exit_code)


class FakeMlflow:
    """The part of MlflowClient that is used; what is told stays for the next client."""

    def __init__(self) -> None:
        self.experiments: list[str] = []
        self.runs: list[types.SimpleNamespace] = []
        self.uris: list[str | None] = []

    def __call__(self, *, tracking_uri: str | None) -> "FakeMlflow":
        self.uris.append(tracking_uri)
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return types.SimpleNamespace(experiment_id=name) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        self.experiments.append(name)
        return name

    def create_run(self, experiment: str, *, run_name: str, tags: dict[str, str]) -> Any:
        info = types.SimpleNamespace(run_id=str(len(self.runs)), status="RUNNING", name=run_name)
        self.runs.append(types.SimpleNamespace(info=info, tags=tags, metrics=[], params={}))
        return self.runs[-1]

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        return [run for run in self.runs if query in {f"tags.`{key}` = '{value}'" for key, value in run.tags.items()}]

    def update_run(self, run_id: str, status: str) -> None:
        self.runs[int(run_id)].info.status = status

    set_terminated = update_run

    def get_metric_history(self, run_id: str, key: str) -> list[Any]:
        return [metric for metric in self.runs[int(run_id)].metrics if metric.key == key]

    def log_batch(self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        self.runs[int(run_id)].metrics += metrics
        self.runs[int(run_id)].params |= {param.key: param.value for param in params}


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int
    step: int


class Param(NamedTuple):
    key: str
    value: str
