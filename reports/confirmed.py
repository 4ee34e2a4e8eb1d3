"""What a sweep's confirmations have come to, and which of them is reported. Enters: a sweep. Leaves: a `Confirmed`.

A confirmation that has hardly begun must not take the place of one that is complete: it would be a choice among those
configurations that happened to be trained first.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.finalists import Finalist, confirmed_finalists
from reports.related import related_ids
from reports.sweep_results import SweepResults, load_sweep


@dataclass(frozen=True, kw_only=True, eq=False)
class Confirmed:
    """One confirmation.

    Attributes:
        source: its rows.
        finalists: the configurations whose seeds are complete in every fold, best on validation first.
        num_failed: configurations that can never be complete, as their training failed.
        num_open: all others: they are still to be trained, in part at least.
    """

    source: SweepResults
    finalists: Sequence[Finalist]
    num_failed: int
    num_open: int

    @property
    def is_complete(self) -> bool:
        return bool(self.finalists) and not self.num_open

    @property
    def places_of_first(self) -> list[tuple[str, str, int]]:
        """(sweep id, trial, seed) of the models of the best configuration, fold by fold."""
        first = self.finalists[0]
        by_fold = sorted(first.fold_of_trial, key=lambda trial_id: first.fold_of_trial[trial_id])
        return [(self.source.sweep_id, trial_id, seed) for seed in first.seeds for trial_id in by_fold]


def newest_confirmed(sweep: SweepResults) -> Confirmed | None:
    """The newest confirmation that is complete; where there is none the newest one, and None where nothing has been
    confirmed."""
    newest = None
    for sweep_id in related_ids(sweep, "confirmation"):
        found = _confirmed(load_sweep(sweep.results, sweep_id), sweep)
        if found.is_complete:
            return found
        newest = newest or found
    return newest


def _confirmed(confirmation: SweepResults, sweep: SweepResults) -> Confirmed:
    of_trial: dict[str, dict[str, int]] = defaultdict(dict)
    for row in confirmation.suggestions.to_dict("records"):
        of_trial[str(row["of_trial"])][str(row["trial_id"])] = 0 if pd.isna(row["fold"]) else int(row["fold"])
    finalists = confirmed_finalists(confirmation, sweep, of_trial)
    whole = {trial_id for finalist in finalists for trial_id in finalist.fold_of_trial}
    others = [set(trials) for trials in of_trial.values() if not whole & set(trials)]
    failed = set(confirmation.trials[confirmation.trials["state"] == "failed"]["trial_id"])
    num_failed = sum(bool(trials & failed) for trials in others)
    return Confirmed(source=confirmation, finalists=finalists, num_failed=num_failed, num_open=len(others) - num_failed)
