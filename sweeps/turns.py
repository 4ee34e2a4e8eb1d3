"""The words of an adaptive search: turns, the trials that take them, and who writes them down."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from sweeps.records import Decision, Suggestion, TrialRecord, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Attributes: until: seed-epoch to which the trial is trained."""

    suggestion: Suggestion
    until: int


@dataclass(slots=True)
class SearchedTrial:
    """A trial as an adaptive search knows it.

    Attributes:
        reached: the last seed-epoch that was heard of.
        until: to which it is being trained; None while it is put down.
        ends: score of every seed that came to its end.
        measured: as of a `TrialRecord`.
        state: how it ended; None while it is open.
        told: what its study has heard of it last.
    """

    suggestion: Suggestion
    reached: int = 0
    until: int | None = None
    objectives: dict[int, float] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)
    measured: dict[int, Mapping[str, float]] = field(default_factory=dict)
    state: TrialState | None = None
    told: tuple[TrialState | None, bool, int] | None = None

    @property
    def trial_id(self) -> str:
        return self.suggestion.config.trial_id

    def record(self) -> TrialRecord:
        return TrialRecord(
            suggestion=self.suggestion,
            state=self.state,
            objective=self.objectives.get(self.reached),
            objectives=self.objectives,
            measured=self.measured,
        )

    def as_told(self) -> TrialRecord:
        """As its study hears of it: what is put down counts as stopped where it stands, until it goes on."""
        record = self.record()
        return replace(record, state="stopped") if self.state is None and self.until is None else record


class SearchLedger(Protocol):
    """What a search writes down before anything follows from it; a `Ledger` is one."""

    def decide(self, decision: Decision) -> None: ...

    def suggest(self, suggestion: Suggestion) -> None: ...

    def end(
        self,
        suggestion: Suggestion,
        *,
        state: TrialState,
        seed_epochs: int,
        objective: float | None,
        known_from: int | None,
    ) -> None: ...
