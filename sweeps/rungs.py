"""Asynchronous successive halving over seed-epochs, as plain arithmetic.

After Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA, arXiv:1810.05934), in its stopping form.
The resource is seed-epochs: a trial trains its first seed through the lower rungs, and rungs beyond one seed's
epochs decide who earns the further seeds. At a rung all trials have trained the same (seed, epoch) cells.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from math import ceil


def milestones(*, grace_epochs: int, reduction_factor: int, epochs: int, num_seeds: int) -> tuple[int, ...]:
    """Seed-epochs at which trials are compared: grace, grace·η, grace·η² … below one seed's epochs, then the end of
    every seed but the last, so that a further seed is always earned."""
    found = []
    milestone = grace_epochs
    while milestone < epochs:
        found.append(milestone)
        milestone *= reduction_factor
    found.extend(epochs * seeds for seeds in range(1, num_seeds))
    return tuple(found)


def seed_milestones(*, grace_epochs: int, reduction_factor: int, epochs: int) -> tuple[int, ...]:
    """Those within one seed, and its end."""
    within = milestones(grace_epochs=grace_epochs, reduction_factor=reduction_factor, epochs=epochs, num_seeds=1)
    return (*within, epochs)


def bracket_of(place: int, *, num_brackets: int, reduction_factor: int) -> int:
    """Which bracket an architecture's configuration belongs to, by its place among them; the first to bracket 0.

    Shares are those of Li et al., "Hyperband" (arXiv:1603.06560): brackets that halve more often take more
    configurations, so that all cost about the same. They are dealt one by one in these shares, not in blocks and
    not by chance: any sweep has some of each early, and a configuration's bracket follows from its place alone.
    """
    cycle = _deal(num_brackets, reduction_factor)
    return cycle[place % len(cycle)]


@cache
def _deal(num_brackets: int, reduction_factor: int) -> tuple[int, ...]:
    """One round: every bracket as often as its share says, spread evenly (smooth weighted round robin)."""
    halvings = range(num_brackets - 1, -1, -1)
    shares = [ceil(num_brackets * reduction_factor**number / (number + 1)) for number in halvings]
    credits, dealt = [0] * num_brackets, []
    for _ in range(sum(shares)):
        credits = [credit + share for credit, share in zip(credits, shares, strict=True)]
        chosen = credits.index(max(credits))
        credits[chosen] -= sum(shares)
        dealt.append(chosen)
    return tuple(dealt)


@dataclass(slots=True)
class Rungs:
    """The rungs of one bracket of an architecture.

    Attributes:
        milestones: ascending seed-epochs.
        reduction_factor: the best 1/reduction_factor of those that have reached a rung go on, at least one.
        recorded: milestone → trial → objective (higher is better).
        undecided: trial → where it stood when an earlier process ended, until it is heard of again.
    """

    milestones: tuple[int, ...]
    reduction_factor: int
    recorded: dict[int, dict[str, float]] = field(default_factory=dict)
    undecided: dict[str, tuple[int, float]] = field(default_factory=dict)
    _ascending: dict[int, list[float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.recorded = {milestone: {} for milestone in self.milestones} | self.recorded
        self._ascending = {milestone: sorted(found.values()) for milestone, found in self.recorded.items()}

    def restore(self, trial_id: str, objectives: Iterable[tuple[int, float]], *, undecided_at: int | None) -> None:
        """Takes up what a trial reported in an earlier process.

        Args:
            undecided_at: the seed-epoch that the trial stands at, if it has not ended: nobody knows whether that epoch
                was decided on, and it will be reported again.
        """
        for seed_epoch, objective in sorted(objectives):
            if seed_epoch == undecided_at:
                self.undecided[trial_id] = (seed_epoch, objective)
            else:
                self._come_to(trial_id, seed_epoch, objective)

    def goes_on(self, trial_id: str, seed_epoch: int, objective: float) -> bool:
        """As `decide`; between rungs a trial goes on."""
        return self.decide(trial_id, seed_epoch, objective) is not False

    def decide(self, trial_id: str, seed_epoch: int, objective: float) -> bool | None:
        """Records a trial at every rung that it has newly come to; whether it goes on, or None where it is at none.

        A seed that stopped early stands at its end, and comes to all rungs in between with what it has.
        """
        stood_at, had = self.undecided.pop(trial_id, (seed_epoch, objective))
        if stood_at < seed_epoch:
            # Its checkpoint was newer than its last row: it had been sent on from there before the interruption.
            self._come_to(trial_id, stood_at, had)
        new = self._come_to(trial_id, seed_epoch, objective)
        return all([self._is_among_best(rung, objective) for rung in new]) if new else None

    def _come_to(self, trial_id: str, seed_epoch: int, objective: float) -> list[int]:
        """The rungs that are new to the trial, with it in them."""
        new = [place for place in self.milestones if place <= seed_epoch and trial_id not in self.recorded[place]]
        for milestone in new:
            self.recorded[milestone][trial_id] = objective
            insort(self._ascending[milestone], objective)
        return new

    def _is_among_best(self, milestone: int, objective: float) -> bool:
        num_kept = max(1, len(self.recorded[milestone]) // self.reduction_factor)
        return objective >= self._ascending[milestone][-num_kept]
