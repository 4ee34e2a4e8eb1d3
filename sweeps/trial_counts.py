"""How many trials are in which state, and how many seed-epochs they have: for people, and for Prometheus.

Enters: what earlier processes recorded, then every epoch and end that the driver hears of. Leaves: counts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from cluster.metrics import RUNG_DECISIONS, SEED_EPOCHS, TRIALS, count, show
from storage.sweep_state import FATES, Fate
from sweeps.records import RungDecision, TrialRecord, TrialState


class TrialCounts:
    """Counts what happens on top of what is recorded. States are those of `storage.sweep_state.TrialState`, but that
    trials which nobody has suggested yet wait, too.

    Args:
        planned: architecture → trials, at most.
    """

    def __init__(self, sweep_id: str, planned: Mapping[str, int], records: Iterable[TrialRecord]) -> None:
        self._sweep_id = sweep_id
        self._fates: dict[int, Fate] = {}
        self._reached: dict[int, int] = {}  # a trial that is taken up tells its last epoch again
        self._counts = {name: Counter[Fate](waiting=number) for name, number in planned.items()}
        self.seed_epochs = 0
        for record in records:
            number, state = record.suggestion.number, record.state
            self._reached[number] = max(record.objectives, default=0)
            self.seed_epochs += len(record.objectives)
            self._move(number, record.suggestion.config.architecture, state or ("open" if record.objectives else None))
        for architecture in self._counts:
            self._show(architecture)

    @property
    def of_all(self) -> dict[Fate, int]:
        """Trials of all architectures, by state."""
        return {fate: sum(counts[fate] for counts in self._counts.values()) for fate in FATES}

    def epoch(self, number: int, architecture: str, seed_epoch: int) -> None:
        if seed_epoch > self._reached.get(number, 0):
            self._reached[number] = seed_epoch
            self.seed_epochs += 1
            count(SEED_EPOCHS, sweep=self._sweep_id, architecture=architecture)
        if self._fates.get(number, "waiting") == "waiting":
            self._move(number, architecture, "open")
            self._show(architecture)

    def end(self, number: int, architecture: str, state: TrialState | None) -> None:
        """Args: state: None for one that stays open."""
        if state is not None:
            self._move(number, architecture, state)
            self._show(architecture)

    def decided(self, architecture: str, decision: RungDecision) -> None:
        count(RUNG_DECISIONS, sweep=self._sweep_id, architecture=architecture, decision=decision)

    def over(self) -> None:
        """The search has ended, and the job may go on: an adaptive one leaves trials that it never suggested.

        Only Prometheus is told, whose alarm would miss their epochs.
        """
        for architecture in self._counts:
            show(TRIALS, 0, sweep=self._sweep_id, architecture=architecture, state="waiting")

    def _move(self, number: int, architecture: str, fate: Fate | None) -> None:
        if fate is None:
            return
        counts = self._counts.setdefault(architecture, Counter())
        before = self._fates.get(number, "waiting")
        counts[before] = max(counts[before] - 1, 0)
        counts[fate] += 1
        self._fates[number] = fate

    def _show(self, architecture: str) -> None:
        for fate in FATES:
            number = self._counts[architecture][fate]
            show(TRIALS, number, sweep=self._sweep_id, architecture=architecture, state=fate)
