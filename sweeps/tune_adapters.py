"""The search as Ray Tune sees it: a Searcher over `Studies` and a TrialScheduler over `Rungs`.

Both are thin, and both write to the ledger before anything follows from what they decided.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from sweeps.fault import Fault
from sweeps.ledger import OUT_OF_MEMORY, Ledger
from sweeps.plan import SweepPlan
from sweeps.records import RungDecision, Suggestion, TrialRecord, TrialState
from sweeps.rungs import Rungs
from sweeps.studies import Studies
from sweeps.table_scheduler import TableScheduler
from sweeps.table_searcher import TableSearcher
from sweeps.trial_news import measured


class LedgerSearcher(TableSearcher):
    """Hands out unfinished trials first, then new suggestions; records each before it starts and when it ends."""

    def __init__(
        self,
        plan: SweepPlan,
        ledger: Ledger,
        records: list[TrialRecord],
        *,
        earlier: Sequence[TrialRecord] = (),
        on_end: Callable[[TrialRecord], None],
        fault: Fault,
    ) -> None:
        super().__init__(ledger, on_end=on_end, fault=fault)
        self._plan = plan
        self._studies = Studies(plan, earlier)
        self._studies.restore(records)
        self._unfinished = [record.suggestion for record in records if record.state is None]
        self._next_number = max((record.suggestion.number for record in records), default=-1) + 1
        self._known_from = self._next_number  # behind the last that was suggested; the next one may have been in vain
        self._running: dict[str, Suggestion] = {}
        self._curves: dict[str, dict[int, float]] = {
            record.suggestion.config.trial_id: dict(record.objectives) for record in records if record.state is None
        }
        self._measured = {
            record.suggestion.config.trial_id: dict(record.measured) for record in records if record.state is None
        }
        self.stopped: set[str] = set()  # filled by the scheduler

    def has_more(self) -> bool:
        return bool(self._unfinished) or self._next_number < self._plan.num_trials

    def suggest(self, trial_id: str) -> Any:
        suggestion = None
        if not self.fault.error:
            with self.fault.kept():
                suggestion = self._next()
        if suggestion is None:  # what runs may come back, and Tune asks no more once it was told of an end
            return None if self._running and not self.fault.error else Searcher.FINISHED
        self._running[trial_id] = suggestion
        self._curves.setdefault(suggestion.config.trial_id, {})
        return self._tune_config(suggestion)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        suggestion = self.suggestion_of(trial_id)
        if suggestion is not None and "objective" in result:
            self._curves[suggestion.config.trial_id][result["seed_epoch"]] = result["objective"]
            self._measured.setdefault(suggestion.config.trial_id, {}).update(measured(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        suggestion = self._running.pop(trial_id, None)
        if suggestion is None or self.fault.error:
            return
        with self.fault.kept():
            if error and trial_id in self._lost:
                self._unfinished.insert(0, suggestion)
                return
            self._end(suggestion, result or {}, error=error, stopped=trial_id in self.stopped)

    def _end(self, suggestion: Suggestion, result: dict[str, Any], *, error: bool, stopped: bool) -> None:
        if error:
            self._give_up(suggestion.config.trial_id)
            # No longer in training, or TPE would hold it for one of the bad ones; and no score of any kind.
            self._studies.correct(TrialRecord(suggestion=suggestion, state="failed", objective=None, objectives={}))
            return
        if result.get(OUT_OF_MEMORY):
            self._alone.add(suggestion.config.trial_id)
            self._unfinished.append(suggestion)
            return
        curve = self._curves.pop(suggestion.config.trial_id)
        if "objective" in result:
            curve[result["seed_epoch"]] = result["objective"]
        state: TrialState = "failed" if result.get("failed") else "stopped" if stopped else "finished"
        last = max(curve, default=0)
        record = TrialRecord(
            suggestion=suggestion,
            state=state,
            objective=curve.get(last),
            objectives=curve,
            measured=self._measured.pop(suggestion.config.trial_id, {}),
            known_from=self._known_from,
        )
        self._ledger.end(
            suggestion, state=state, seed_epochs=last, objective=record.objective, known_from=record.known_from
        )
        self._studies.tell(record)
        self._on_end(record)

    def suggestion_of(self, trial_id: str) -> Suggestion | None:
        """The suggestion that a Tune trial runs, by Tune's id. None once it has ended: cleaning up after an error, Tune
        brings results of ended trials again."""
        return self._running.get(trial_id)

    def _next(self) -> Suggestion | None:
        if self._unfinished:
            return self._unfinished.pop(0)
        while self._next_number < self._plan.num_trials:
            suggestion = self._studies.suggest(self._next_number)
            self._next_number += 1
            if suggestion is not None:
                self._ledger.suggest(suggestion)
                self._known_from = self._next_number
                return suggestion
        return None


class SeedEpochHalving(TableScheduler):
    """Stops trials at the rungs of their own architecture and bracket.

    Args:
        on_decision: hears of every decision at a rung, with the trial's architecture.
    """

    def __init__(
        self,
        plan: SweepPlan,
        records: list[TrialRecord],
        searcher: LedgerSearcher,
        on_decision: Callable[[str, RungDecision], None] = lambda architecture, decision: None,
    ) -> None:
        super().__init__(searcher)
        self._on_decision = on_decision
        self._plan = plan
        self._rungs = {
            (architecture, bracket): Rungs(
                milestones=plan.rung_places(bracket), reduction_factor=plan.settings.reduction_factor
            )
            for architecture in plan.settings.architectures
            for bracket in range(plan.settings.rungs.brackets)
        }
        self._searcher = searcher
        for record in records:
            undecided_at = max(record.objectives, default=None) if record.state is None else None
            rungs = self._rungs_of(record.suggestion)
            rungs.restore(record.suggestion.config.trial_id, record.objectives.items(), undecided_at=undecided_at)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if self._searcher.fault.error:
            return str(TrialScheduler.STOP)  # nothing is recorded: the trial goes on when the sweep is taken up again
        suggestion = self._searcher.suggestion_of(trial.trial_id)
        if suggestion is None or "objective" not in result:
            return str(TrialScheduler.CONTINUE)
        rungs = self._rungs_of(suggestion)
        decided = rungs.decide(suggestion.config.trial_id, result["seed_epoch"], result["objective"])
        if decided is None:
            return str(TrialScheduler.CONTINUE)
        goes_on = decided or self._place(suggestion) < self._plan.settings.rungs.never_stop_first
        self._on_decision(suggestion.config.architecture, "go_on" if goes_on else "stop")
        if goes_on:
            return str(TrialScheduler.CONTINUE)
        self._searcher.stopped.add(trial.trial_id)
        return str(TrialScheduler.STOP)

    def _place(self, suggestion: Suggestion) -> int:
        return self._plan.architecture_of(suggestion.number)[1]

    def _rungs_of(self, suggestion: Suggestion) -> Rungs:
        return self._rungs[suggestion.config.architecture, self._plan.bracket_of(self._place(suggestion))]
