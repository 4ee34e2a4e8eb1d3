"""Runs a sweep to its end, or takes it up where any earlier process left it.

Enters: a plan, the trial data, a store and an initialised Ray. Leaves: rows in the results table. Tune's own files are
temporary and never read again.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler

from storage.checkpoints import Checkpoints
from storage.model_file import delete_models
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from sweeps.adaptive import AdaptiveSearch
from sweeps.adaptive_tune import AdaptiveScheduler, AdaptiveSearcher
from sweeps.fault import Fault
from sweeps.ledger import Ledger, TrialRecord
from sweeps.loggers import RunInfo, TrialLogs
from sweeps.loggers.run_logger import flat
from sweeps.plan import SweepPlan
from sweeps.resources import trial_resources
from sweeps.table_searcher import TableSearcher
from sweeps.trial_actor import TrialContext, checkpoint_prefix, train_trial
from sweeps.trial_news import heard
from sweeps.tune_adapters import LedgerSearcher, SeedEpochHalving
from training import TrialData


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOutcome:
    """What this process found and did.

    Attributes:
        num_trials_found: ended before it started.
        num_trials_run: ended by it.
        num_failed: of all that ended, those whose training failed (a loss that is not finite).
        num_given_up: whose process died or raised too often; they are open, and the same sweep again tries them again.
    """

    sweep_id: str
    num_trials_found: int
    num_trials_run: int
    num_failed: int
    num_given_up: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepProgress:
    """Where the sweep stands; `last` is the trial heard of last and its epoch's objective."""

    trials_ended: int
    trials_in_all: int
    seed_epochs: int
    best_objective: float | None
    last: str


def run_sweep(
    plan: SweepPlan,
    data: TrialData,
    store: ObjectStore,
    *,
    sweep_row: dict[str, Any],
    feature_spec: Mapping[str, Any] | None = None,
    on_progress: Callable[[SweepProgress], None] = lambda progress: None,
    embedded: tuple[TrialData, ...] = (),
    logs: TrialLogs | None = None,
) -> SweepOutcome:
    """Plans, trains and records every trial that has not ended yet.

    Args:
        sweep_row: the remaining columns of the `sweeps` table (dataset, settings, versions …), recorded once.
        feature_spec: of the data, field by field, for the cards of the models; without one no models are kept.
        on_progress: called after every epoch and every end of a trial.
        embedded: of `embeddings.embed_for_plan`; trials that these fit train their heads alone.
        logs: hear of every trial that trains; those that do not end here are told as stopped.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
    """
    ledger = Ledger(ResultsTable(store), plan.sweep_id)
    ledger.start(sweep_row)
    records = ledger.records()
    ended = [record for record in records if record.state is not None]
    for record in ended:  # a process that died between a trial's row and its clean-up left checkpoints behind
        _clean_up(plan, store, record)
    fault = Fault()
    watch = _Watch(plan, ended, on_progress, fault, logs)

    def on_end(record: TrialRecord) -> None:
        _clean_up(plan, store, record)
        watch.end(record)

    searcher, scheduler = _search(plan, ledger, records, on_end=on_end, fault=fault)
    if searcher.has_more():
        num_cpus, num_gpus = trial_resources(plan.settings, device=plan.device, section="sweep")
        context = TrialContext(
            sweep_id=plan.sweep_id,
            store=store,
            data=data,
            feature_spec=None if plan.settings.keep_models == "none" else feature_spec,
            embedded=embedded,
        )
        try:
            _tune(plan, context, searcher, scheduler, watch, {"cpu": num_cpus, "gpu": num_gpus})
        finally:
            if logs:
                logs.close("stopped")
    if fault.error:
        raise fault.error
    return SweepOutcome(
        sweep_id=plan.sweep_id,
        num_trials_found=len(ended),
        num_trials_run=watch.num_ended - len(ended),
        num_failed=watch.num_failed,
        num_given_up=searcher.num_given_up,
    )


def _search(
    plan: SweepPlan,
    ledger: Ledger,
    records: list[TrialRecord],
    *,
    on_end: Callable[[TrialRecord], None],
    fault: Fault,
) -> tuple[TableSearcher, TrialScheduler]:
    """The two that decide, by the plan's scheduler."""
    if plan.settings.scheduler == "adaptive":
        search = AdaptiveSearch(plan, ledger, records, ledger.decisions())
        turns = AdaptiveSearcher(search, ledger, on_end=on_end, fault=fault)
        return turns, AdaptiveScheduler(search, turns)
    searcher = LedgerSearcher(plan, ledger, records, on_end=on_end, fault=fault)
    return searcher, SeedEpochHalving(plan, records, searcher)


def _tune(
    plan: SweepPlan,
    context: TrialContext,
    searcher: TableSearcher,
    scheduler: TrialScheduler,
    watch: "_Watch",
    resources: dict[str, float],
) -> None:
    settings = plan.settings
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are rows, and the report tells them
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # or Ctrl-C would look like the end of the sweep
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the results table is the log
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output prints a banner even at verbosity 0
    trainable = tune.with_resources(tune.with_parameters(train_trial, context=context), resources)
    with tempfile.TemporaryDirectory(prefix="melsweep-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,  # the searcher says when there is nothing more
                max_concurrent_trials=settings.max_concurrent_trials or None,
                reuse_actors=True,  # a process of its own for every trial takes five seconds to start
            ),
            run_config=tune.RunConfig(
                name=plan.sweep_id,
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=settings.max_failures),
                callbacks=[watch],
            ),
        )
        tuner.fit()


def _clean_up(plan: SweepPlan, store: ObjectStore, record: TrialRecord) -> None:
    """Deletes what nobody needs of a trial that has ended; its process has stored all it will before its last epoch."""
    trial_id = record.suggestion.config.trial_id
    Checkpoints(store, checkpoint_prefix(plan.sweep_id, trial_id)).delete_all()
    if record.state != "finished":
        delete_models(store, plan.sweep_id, trial_id)


class _Watch(tune.Callback):
    """Counts what happens and tells the caller."""

    def __init__(
        self,
        plan: SweepPlan,
        ended: list[TrialRecord],
        on_progress: Callable[[SweepProgress], None],
        fault: Fault,
        logs: TrialLogs | None,
    ) -> None:
        self._plan, self._on_progress, self._fault, self._logs = plan, on_progress, fault, logs
        self.num_ended, self.num_failed, self._seed_epochs = 0, 0, 0
        self._best: float | None = None
        for record in ended:
            self._count(record)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "objective" in result and not self._fault.error:
            self._seed_epochs += 1
            run = run_info(self._plan, trial.config["number"], trial.config["configuration"])
            with self._fault.kept():
                self._log(run, result)
                name = run.name
                self._tell(f"{name} seed {result['seed']} epoch {result['epoch']}: {result['objective']:.3f}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self._logs:
            self._logs.end(_run_id(self._plan, trial.config["number"]), "failed")

    def end(self, record: TrialRecord) -> None:
        self._count(record)
        suggestion = record.suggestion
        if self._logs and record.state:
            self._logs.end(_run_id(self._plan, suggestion.number), record.state)
        self._tell(f"{suggestion.config.architecture} #{suggestion.number} {record.state}")

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
                seed_epochs=self._seed_epochs,
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
