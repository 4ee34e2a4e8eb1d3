"""Runs a sweep to its end, or takes it up where any earlier process left it.

Enters: a plan, the trial data, a store and an initialised Ray. Leaves: rows in the results table. Tune's own files are
temporary and never read again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import TrialScheduler

from cluster.versions import Versions
from storage.checkpoints import Checkpoints
from storage.model_file import delete_models
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.vigil import Vigil
from sweeps.beginning import begin
from sweeps.brake import Brake
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.loggers import TrialLogs
from sweeps.plan import SweepPlan
from sweeps.records import RungDecision, TrialRecord
from sweeps.replay import suggest_what_was_decided
from sweeps.shares import Shares, find_shares
from sweeps.store_reach import StoreReach
from sweeps.table_searcher import TableSearcher
from sweeps.trial_actor import TrialContext, checkpoint_prefix, train_trial
from sweeps.tune_adapters import LedgerSearcher, SeedEpochHalving
from sweeps.tune_environment import set_tune_up
from sweeps.tune_folder import tune_folder
from sweeps.turn_search import TurnSearch
from sweeps.turn_tune import TurnScheduler, TurnSearcher
from sweeps.watch import SweepProgress, Watch
from training import TrialData

_PUT_DOWN_S = 10.0  # for checkpoints, when the driver ends; `ray job stop` itself waits 3 s after SIGTERM


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
    say: Callable[[str], None] = lambda line: None,
) -> SweepOutcome:
    """Plans, trains and records every trial that has not ended yet.

    Args:
        sweep_row: the remaining columns of the `sweeps` table (dataset, settings, versions …), recorded once.
        feature_spec: of the data, field by field, for the cards of the models; without one no models are kept.
        on_progress: called after every epoch and every end of a trial, and first where the sweep is taken up.
        embedded: of `embeddings.embed_for_plan`; trials that these fit train their heads alone.
        logs: hear of every trial that trains; those that do not end here are told as stopped.
        say: is told, a line at a time, what is new about the sweep and what was measured, before it starts.

    Raises:
        StorageError: the store failed; nothing is lost, and the same call goes on.
        VersionsDiffer: a node that has come meanwhile has other packages; likewise.
    """
    ledger = Ledger(ResultsTable(store), plan.sweep_id)
    plan, earlier = begin(plan, ledger, sweep_row, say=say)
    ledger.gather()
    records = ledger.records()
    ended = [record for record in records if record.state is not None]
    _clean_up_after_others(plan, store, ended)
    fault = Fault()
    watch = Watch(plan, records, on_progress, fault, logs)
    watch.begin()

    def on_end(record: TrialRecord) -> None:
        _clean_up(plan, store, record)
        watch.end(record)

    searcher, scheduler = _search(plan, ledger, records, earlier, on_end=on_end, on_decision=watch.decided, fault=fault)
    if searcher.has_more():
        context = TrialContext(
            sweep_id=plan.sweep_id,
            store=store,
            data=data,
            feature_spec=None if plan.settings.keep_models == "none" else feature_spec,
            embedded=embedded,
            measures_latency="latency_ms" in plan.settings.objectives,
            versions=Versions.here(),
        )
        shared = ray.put(context)  # one copy a node
        shares = find_shares(plan, shared, ResultsTable(store), say=say)
        try:
            with Vigil(store) as vigil:
                _tune(plan, shared, shares, searcher, scheduler, [watch, StoreReach(fault, vigil)])
        finally:
            if logs:
                logs.close("stopped")
    if fault.error:
        raise fault.error
    watch.over()
    ledger.gather()
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
    earlier: list[TrialRecord],
    *,
    on_end: Callable[[TrialRecord], None],
    on_decision: Callable[[str, RungDecision], None],
    fault: Fault,
) -> tuple[TableSearcher, TrialScheduler]:
    """The two that decide, by the plan's scheduler."""
    if plan.takes_turns:
        decisions = ledger.decisions()
        records = suggest_what_was_decided(plan, ledger, records, decisions, earlier)
        search = TurnSearch(plan, ledger, records, decisions, earlier, on_decision)
        turns = TurnSearcher(search, ledger, on_end=on_end, fault=fault)
        return turns, TurnScheduler(search, turns)
    searcher = LedgerSearcher(plan, ledger, records, earlier=earlier, on_end=on_end, fault=fault)
    return searcher, SeedEpochHalving(plan, records, searcher, on_decision)


def _tune(
    plan: SweepPlan,
    context: ray.ObjectRef,
    shares: Shares,
    searcher: TableSearcher,
    scheduler: TrialScheduler,
    callbacks: list[tune.Callback],
) -> None:
    settings = plan.settings
    set_tune_up()
    brake = Brake()
    trainable = tune.with_resources(
        tune.with_parameters(train_trial, context=context, shares=shares, brake=brake),
        lambda tune_config: tune.PlacementGroupFactory([shares.of(tune_config).bundle]),
    )
    with tune_folder() as folder:
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
                callbacks=callbacks,
            ),
        )
        try:
            tuner.fit()
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C; SIGTERM, as of `ray job stop`
            brake.pull(patience_s=_PUT_DOWN_S)
            raise
        finally:
            brake.close()


def _clean_up(plan: SweepPlan, store: ObjectStore, record: TrialRecord) -> None:
    """Deletes what nobody needs of a trial that has ended; its process has stored all it will before its last epoch."""
    trial_id = record.suggestion.config.trial_id
    Checkpoints(store, checkpoint_prefix(plan.sweep_id, trial_id)).delete_all()
    if record.state != "finished":
        delete_models(store, plan.sweep_id, trial_id)


def _clean_up_after_others(plan: SweepPlan, store: ObjectStore, ended: list[TrialRecord]) -> None:
    """The same after processes that died between a trial's row and its clean-up: two listings, however many ended."""
    state_of = {record.suggestion.config.trial_id: record.state for record in ended}
    for prefix, kept in ((checkpoint_prefix(plan.sweep_id, ""), None), (f"models/{plan.sweep_id}/", "finished")):
        for info in list(store.list(prefix)):
            state = state_of.get(info.key.removeprefix(prefix).partition("/")[0])
            if state is not None and state != kept:
                store.delete(info.key)
