"""What every searcher of a sweep is: rebuilt from the results table, and deaf to what Tune would save of it."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.records import Suggestion, TrialRecord


class TableSearcher(Searcher):
    """Attributes:
    fault: the first error of the driver; once there is one, nothing more is recorded.
    num_given_up: trials whose process died or raised too often.
    """

    def __init__(self, ledger: Ledger, *, on_end: Callable[[TrialRecord], None], fault: Fault) -> None:
        super().__init__()  # no metric: a trial that fails before its first epoch has none to report
        self._ledger, self._on_end, self.fault = ledger, on_end, fault
        self.num_given_up = 0
        self._alone = ledger.out_of_memory()  # trials of ours, of earlier processes too
        self._lost: set[str] = set()

    def has_more(self) -> bool:
        """Whether there is anything to train."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """Nothing either: Tune pickles what it is given when it starts, studies and all."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the results table is what survives."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("searchers are rebuilt from the results table")

    def lost_before_start(self, trial_id: str) -> None:
        """Takes a Tune trial whose process ended before it began for one that is to be handed out again."""
        self._lost.add(trial_id)

    def _tune_config(self, suggestion: Suggestion) -> dict[str, Any]:
        """What a Tune trial is told: by `alone` it reserves more, and has nobody beside it (`shares.py`)."""
        config = suggestion.config
        return {
            "configuration": config.to_dict(),
            "number": suggestion.number,
            "alone": config.trial_id in self._alone,
        }

    def _give_up(self, trial_id: str) -> None:
        """Records an error that is the machine's fault as likely as the trial's, which therefore stays open."""
        detail = "the trial's process died or raised too often; run the same command to try it again"
        self._ledger.failure(trial_id, reason="gave_up", detail=detail)
        self.num_given_up += 1
