"""A sweep that takes turns, as Ray Tune sees it: a Searcher that hands out turns, and a TrialScheduler that ends them.

A turn is a Tune trial; a trial of ours that is taken up again is another Tune trial, and goes on from its checkpoint.
"""

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from sweeps.fault import Fault
from sweeps.ledger import OUT_OF_MEMORY, Ledger
from sweeps.records import TrialRecord
from sweeps.table_scheduler import TableScheduler
from sweeps.table_searcher import TableSearcher
from sweeps.trial_news import measured
from sweeps.turn_search import TurnSearch
from sweeps.turns import Turn


class TurnSearcher(TableSearcher):
    """Hands out turns as `TurnSearch` decides; when the budget is spent, ends what was left on the way.

    Attributes:
        turn_of: Tune's id → the turn, of trials that are being trained.
    """

    def __init__(
        self, search: TurnSearch, ledger: Ledger, *, on_end: Callable[[TrialRecord], None], fault: Fault
    ) -> None:
        super().__init__(ledger, on_end=on_end, fault=fault)
        self._search = search
        self.turn_of: dict[str, Turn] = {}
        self._next: Turn | None = None  # asked for, and not yet handed out
        self._again: list[Turn] = []  # out of memory beside others, or lost before they began

    def has_more(self) -> bool:
        """Whether there is anything to train; where not, all that was left on the way is ended."""
        with self.fault.kept():
            self._next = self._next or self._search.next_turn()
            if self._next is None and not self.turn_of:
                for record in self._search.put_down():
                    self._on_end(record)
        return self._next is not None and not self.fault.error

    def suggest(self, trial_id: str) -> Any:
        if self.fault.error:
            return Searcher.FINISHED
        if self._again:
            turn: Turn | None = self._again.pop(0)
        else:
            turn, self._next = (self._next, None) if self.has_more() else (None, None)
        if turn is None:
            return None if self.turn_of and not self.fault.error else Searcher.FINISHED
        self.turn_of[trial_id] = turn
        return self._tune_config(turn.suggestion)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler, which is asked first, has told the search."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        turn = self.turn_of.pop(trial_id, None)
        if turn is None or self.fault.error:
            return
        ours = turn.suggestion.config.trial_id
        with self.fault.kept():
            if result and result.get(OUT_OF_MEMORY) and not error:
                self._alone.add(ours)
                self._again.append(turn)
            elif error and trial_id in self._lost:
                self._again.append(turn)
            else:
                self._end(ours, result or {}, error=error)

    def _end(self, ours: str, result: dict[str, Any], *, error: bool) -> None:
        if error:
            self._give_up(ours)
            self._search.give_up(ours)
        elif result.get("failed"):
            self._on_end(self._search.end(ours, "failed"))
        elif self._search.has_ended(ours):
            self._on_end(self._search.end(ours, "finished"))


class TurnScheduler(TableScheduler):
    """Ends a trial's turn, unless the next one is its, too."""

    def __init__(self, search: TurnSearch, searcher: TurnSearcher) -> None:
        super().__init__(searcher)
        self._search, self._searcher = search, searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if self._searcher.fault.error:
            return str(TrialScheduler.STOP)  # nothing is recorded: the trial goes on when the sweep is taken up again
        turn = self._searcher.turn_of.get(trial.trial_id)
        if turn is None or "objective" not in result:
            return str(TrialScheduler.CONTINUE)
        ours = turn.suggestion.config.trial_id
        goes_on = False
        with self._searcher.fault.kept():
            seed_epoch, objective = result["seed_epoch"], result["objective"]
            self._search.hear(ours, seed_epoch=seed_epoch, objective=objective, measured=measured(result))
            goes_on = self._search.goes_on(ours)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)
