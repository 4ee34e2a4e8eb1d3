"""What became of every trial of a sweep. Enters: a `SweepResults`. Leaves: one summary per suggestion, in words."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.sweep_results import SweepResults, planned_seeds, searched_configuration

STATES = ("finished", "stopped", "failed", "open", "waiting")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSummary:
    """One trial and its fate.

    Attributes:
        state: finished, stopped or failed as the results table has it; open: began and has not ended; waiting: planned.
        num_seeds_complete: of `num_seeds` planned ones.
        seed_epochs: epochs trained so far, over all seeds.
        objective: of an ended trial, the mean of its seeds' best validation scores; of an open one, what the
            scheduler compared last; None before the first epoch.
        why: the reason for the state, as a sentence fragment. May quote failure reasons: escape it.
    """

    trial_id: str
    number: int
    architecture: str
    configuration: dict[str, Any]
    state: str
    num_seeds: int
    num_seeds_complete: int
    seed_epochs: int
    objective: float | None
    why: str


def trial_summaries(sweep: SweepResults) -> list[TrialSummary]:
    """One summary per planned trial, by number."""
    ended = {row.trial_id: row for row in sweep.trials.itertuples()}
    newest_epoch = {row.trial_id: row for row in sweep.epochs.itertuples()}
    completed = set(zip(sweep.seeds["trial_id"], sweep.seeds["seed"], strict=True))
    failures = {str(trial_id): rows for trial_id, rows in sweep.failures.groupby("trial_id")}
    return [
        _summary(
            suggestion,
            completed=completed,
            end=ended.get(suggestion.trial_id),
            epoch=newest_epoch.get(suggestion.trial_id),
            failures=failures.get(str(suggestion.trial_id)),
        )
        for suggestion in sweep.suggestions.itertuples()
    ]


def _summary(
    suggestion: Any, *, completed: set[tuple[str, int]], end: Any, epoch: Any, failures: pd.DataFrame | None
) -> TrialSummary:
    state = end.state if end is not None else "open" if epoch is not None else "waiting"
    seed_epochs = int(end.seed_epochs if end is not None else epoch.seed_epoch if epoch is not None else 0)
    objective = end.objective if end is not None else epoch.objective if epoch is not None else None
    planned = planned_seeds(suggestion.configuration)
    num_complete = sum((suggestion.trial_id, seed) in completed for seed in planned)
    return TrialSummary(
        trial_id=suggestion.trial_id,
        number=int(suggestion.number),
        architecture=suggestion.architecture,
        configuration=searched_configuration(suggestion),
        state=state,
        num_seeds=len(planned),
        num_seeds_complete=num_complete,
        seed_epochs=seed_epochs,
        objective=None if objective is None or pd.isna(objective) else float(objective),
        why=_why(state, seed_epochs=seed_epochs, seeds=f"{num_complete} of {len(planned)} seeds", failures=failures),
    )


def _why(state: str, *, seed_epochs: int, seeds: str, failures: pd.DataFrame | None) -> str:
    num_failures = 0 if failures is None else len(failures)
    reason = "no failure was recorded" if failures is None else str(failures["reason"].iloc[-1])
    fates = {
        "finished": f"trained to the end, {seeds} complete",
        "stopped": f"stopped by the scheduler after {seed_epochs} seed-epochs: others did better at this rung",
        "failed": reason,
        "open": f"has not ended; {seed_epochs} seed-epochs so far, {seeds} complete",
        "waiting": "planned; no epoch trained yet",
    }
    fate = fates.get(state, state)
    if num_failures and state != "failed":
        fate += f" (after {num_failures} failed attempt{'s' if num_failures > 1 else ''}, last: {reason})"
    return fate
