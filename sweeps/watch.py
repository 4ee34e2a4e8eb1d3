"""What happens in a sweep, told to whoever looks on: progress, and the loggers of runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune

from storage.sweep_state import Fate
from sweeps.fault import Fault
from sweeps.ledger import OUT_OF_MEMORY
from sweeps.loggers import RunInfo, TrialLogs
from sweeps.loggers.run_logger import flat
from sweeps.plan import SweepPlan
from sweeps.records import RungDecision, TrialRecord
from sweeps.trial_counts import TrialCounts
from sweeps.trial_news import error_of_search, heard


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepProgress:
    """Where the sweep stands, with what earlier processes did.

    Attributes:
        states: the number of trials in each state, as `TrialCounts.of_all`.
        budget_epochs: seed-epochs that an adaptive sweep may train; None of others.
        best_objective: of finished trials.
        last: the trial heard of last, and its epoch's objective.
    """

    trials_ended: int
    trials_in_all: int
    states: Mapping[Fate, int]
    seed_epochs: int
    budget_epochs: int | None
    best_objective: float | None
    last: str


class Watch(tune.Callback):
    """Counts what happens and tells the caller, on top of what earlier processes recorded.

    Args:
        records: of the ledger, of trials that have ended and of those on their way.
    """

    def __init__(
        self,
        plan: SweepPlan,
        records: list[TrialRecord],
        on_progress: Callable[[SweepProgress], None],
        fault: Fault,
        logs: TrialLogs | None,
    ) -> None:
        self._plan, self._on_progress, self._fault, self._logs = plan, on_progress, fault, logs
        self.num_ended, self.num_failed, self._num_found = 0, 0, len(records)
        self._best: float | None = None
        planned = dict.fromkeys(plan.settings.architectures, plan.trials_per_architecture)
        self._counts = TrialCounts(plan.sweep_id, planned, records)
        self._runs: dict[int, RunInfo] = {}  # by number, of trials that train
        for record in records:
            if record.state is not None:
                self._count(record)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles it when it starts, and whoever is told of progress may hold threads and files."""
        return {}

    def begin(self) -> None:
        """Tells where a sweep stands that is taken up; of a new one there is nothing to tell."""
        if self._num_found:
            on_their_way = self._num_found - self.num_ended
            self._tell(f"taken up, {on_their_way} on their way" if on_their_way else "taken up")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "objective" in result and not self._fault.error:
            architecture = trial.config["configuration"]["architecture"]
            self._counts.epoch(trial.config["number"], architecture, result["seed_epoch"])
            with self._fault.kept():
                run = self._run(trial.config)
                self._log(run, result)
                name = run.name
                self._tell(f"{name} seed {result['seed']} epoch {result['epoch']}: {result['objective']:.3f}")
        if error := error_of_search(result):
            self._fault.keep(error)
        if result.get(OUT_OF_MEMORY):
            name = run_info(self._plan, trial.config["number"], trial.config["configuration"]).name
            with self._fault.kept():
                self._tell(f"{name} had too little memory beside others, and is trained alone")

    def decided(self, architecture: str, decision: RungDecision) -> None:
        """Hears what was decided of a trial at a rung."""
        self._counts.decided(architecture, decision)

    def _run(self, tune_config: Mapping[str, Any]) -> RunInfo:
        number = tune_config["number"]
        if number not in self._runs:
            self._runs[number] = run_info(self._plan, number, tune_config["configuration"])
        return self._runs[number]

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self._logs:
            self._logs.end(_run_id(self._plan, trial.config["number"]), "failed")

    def end(self, record: TrialRecord) -> None:
        self._count(record)
        suggestion = record.suggestion
        self._counts.end(suggestion.number, suggestion.config.architecture, record.state)
        self._runs.pop(suggestion.number, None)
        if self._logs and record.state:
            self._logs.end(_run_id(self._plan, suggestion.number), record.state)
        self._tell(f"{suggestion.config.architecture} #{suggestion.number} {record.state}")

    def over(self) -> None:
        """Nothing more is trained by this search."""
        self._counts.over()

    def _log(self, run: RunInfo, result: dict[str, Any]) -> None:
        if self._logs:
            metrics, ended = heard(result)
            for seed in ended:
                self._logs.seed(run, seed)
            self._logs.epoch(run, seed=result["seed"], metrics=metrics)

    def _count(self, record: TrialRecord) -> None:
        self.num_ended += 1
        self.num_failed += record.state == "failed"
        if record.state == "finished" and record.objective is not None:
            self._best = max(self._best or 0.0, record.objective)

    def _tell(self, last: str) -> None:
        self._on_progress(
            SweepProgress(
                trials_ended=self.num_ended,
                trials_in_all=self._plan.num_trials,
                states=self._counts.of_all,
                seed_epochs=self._counts.seed_epochs,
                budget_epochs=int(self._plan.budget_epochs) if self._plan.settings.scheduler == "adaptive" else None,
                best_objective=self._best,
                last=last,
            )
        )


def run_info(plan: SweepPlan, number: int, configuration: Mapping[str, Any]) -> RunInfo:
    """What logs are told of a trial.

    Args:
        configuration: a `TrialConfig`, as JSON has it.
    """
    architecture, values = configuration["architecture"], flat(configuration)
    searched = [name for name in plan.space(architecture).distributions if name in values]
    return RunInfo(
        run_id=_run_id(plan, number),
        name=f"{architecture} #{number}",
        group=plan.sweep_id,
        configuration=configuration,
        hyperparameters={"architecture": architecture, **{name: values[name] for name in searched}},
    )


def _run_id(plan: SweepPlan, number: int) -> str:
    """Not the trial's id: another sweep may hold the same trial, and W&B has one name for all sweeps of a project."""
    return f"{plan.sweep_id}-{number:04d}"
