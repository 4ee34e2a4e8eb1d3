"""How long a sweep may still take, at the pace of its last minutes. Enters: a `SweepState`. Leaves: an `Outlook`."""

from bisect import bisect_right
from dataclasses import dataclass

from storage.sweep_state import SweepState

_FEW_ENDED = 3  # trials; of fewer nobody can say how long one takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What is left of a sweep.

    Attributes:
        most_to_come: seed-epochs that may still be trained: all of every trial that has not ended, or the rest of an
            adaptive sweep's budget.
        likely_to_come: likewise, if the others train as many as those that have ended; None where that says nothing.
        window_minutes: over which the pace is taken.
        per_minute: rows of epochs that were written within it, by the minute.
    """

    most_to_come: int
    likely_to_come: int | None
    window_minutes: float
    per_minute: float

    @property
    def most_minutes(self) -> float | None:
        """Until the end, if all is trained; None without a pace."""
        return self._minutes(self.most_to_come)

    @property
    def likely_minutes(self) -> float | None:
        return self._minutes(self.likely_to_come)

    def _minutes(self, seed_epochs: int | None) -> float | None:
        return seed_epochs / self.per_minute if self.per_minute and seed_epochs is not None else None


def outlook(state: SweepState, *, now: float, window_minutes: float) -> Outlook:
    """Args: now: in seconds since 1970, by a clock that goes as the store's."""
    now = max(now, state.newest_at)  # a clock that is behind the store's would see no pace
    minutes = min(window_minutes, max((now - state.started_at.timestamp()) / 60, 1 / 60))
    written = len(state.epochs_written_at) - bisect_right(state.epochs_written_at, now - minutes * 60)
    return Outlook(
        most_to_come=_most_to_come(state),
        likely_to_come=_likely_to_come(state),
        window_minutes=minutes,
        per_minute=written / minutes,
    )


def _most_to_come(state: SweepState) -> int:
    if state.is_over:
        return 0
    planned = state.planned
    if not planned.begins_all:
        return max(planned.seed_epochs - state.seed_epochs, 0)
    of_each = planned.seed_epochs / planned.num_trials if planned.num_trials else 0
    spent = sum(trial.seed_epochs for trial in state.trials if not trial.has_ended)
    return max(round((planned.num_trials - state.num_ended) * of_each) - spent, 0)


def _likely_to_come(state: SweepState) -> int | None:
    planned, ended = state.planned, [trial for trial in state.trials if trial.has_ended]
    if state.is_over or planned.is_exact or not planned.begins_all or len(ended) < _FEW_ENDED:
        return None
    of_each = sum(trial.seed_epochs for trial in ended) / len(ended)
    on_their_way = [trial for trial in state.trials if not trial.has_ended]
    left = sum(max(of_each - trial.seed_epochs, 0) for trial in on_their_way)
    return round(left + (planned.num_trials - len(state.trials)) * of_each)
