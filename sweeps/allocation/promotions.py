"""Successive halving that pauses: who is taken up from which rung when a place is free.

Enters: scores at milestones, as for `Allocator`. Leaves: steps, one at a time. After Li et al., "A System for Massively
Parallel Hyperparameter Tuning" (ASHA, arXiv:1810.05934), algorithm 2: the best 1/η of a rung are promoted, the highest
rung first, and where there is none a configuration is begun. Deviations: rungs go on through the seeds, as in
`sweeps/rungs.py`; and when nothing is left to begin or to train, the best one of a rung of fewer than η goes on, so
that small sweeps have an end, too.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from sweeps.allocation.allocator import Step
from sweeps.allocation.scores import Floats, Ints, Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """Attributes:
    reduction_factor: η.
    num_brackets: of each architecture; the first rung of bracket b is milestone b.
    bracket_of: by the place of a configuration among those of its architecture.
    never_stop_first: so many first ones of each architecture go on from every rung.
    compares_seeds: whether there are rungs at the ends of seeds, too.
    """

    reduction_factor: int
    num_brackets: int
    bracket_of: Callable[[int], int]
    never_stop_first: int
    compares_seeds: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bracket:
    """K: its configurations; R: its stations (seed, milestone), of which the last is the end.

    Attributes:
        num_rungs: of the stations, so many first ones are rungs; from the others all go on.
        reached_K: number of stations that each has come to.
        objective_KR: at each station, the mean over the seeds begun; NaN before it.
    """

    architecture: int
    rows_K: Ints
    stations: tuple[tuple[int, int], ...]
    num_rungs: int
    reached_K: Ints
    objective_KR: Floats

    def best_at(self, station: int, *, reduction_factor: int, at_least: int) -> Ints:
        """Those of its rows that may go on from a station, best first; of equal ones the first begun."""
        there_K = np.flatnonzero(self.reached_K > station)
        if station >= self.num_rungs:
            return there_K
        order = np.argsort(-self.objective_KR[there_K, station], kind="stable")
        best: Ints = there_K[order][: max(at_least, len(there_K) // reduction_factor)]
        return best


class Promotions:
    """Chooses steps by rungs. Holds no state but the scores, and decides alike in any process.

    Args:
        scores: filled by the caller as steps are done.
    """

    def __init__(self, scores: Scores, ladder: Ladder) -> None:
        self._scores, self._ladder = scores, ladder

    def next_step(
        self,
        *,
        epochs_left: float,
        may_begin: Collection[int],
        busy: Collection[int] = (),
        closed: Collection[int] = (),
    ) -> Step | None:
        """The next step; None when all that may go on is on its way.

        Args:
            epochs_left: is not asked for: such a sweep ends with its configurations.
            may_begin: architectures with configurations not yet tried.
            busy: rows that are being trained, or have finished.
            closed: rows that ended before their end; what they had come to still counts at rungs.
        """
        taken = {*busy, *closed}
        brackets = list(self._brackets())
        open_ones = (bracket for bracket in brackets if not self._waits(bracket, set(busy) - set(closed)))
        steps = chain(
            self._spared(taken),
            self._promoted(brackets, taken, at_least=0),
            self._begun(may_begin),
            self._promoted(open_ones, taken, at_least=1),
        )
        return next(steps, None)

    def _spared(self, taken: Collection[int]) -> Iterator[Step]:
        last = len(self._scores.milestones) - 1
        for architecture in range(self._scores.num_architectures):
            rows = np.flatnonzero(self._scores.architecture_N == architecture)[: self._ladder.never_stop_first]
            for row in rows.tolist():
                seed = int(self._scores.num_whole_N[row])
                if row not in taken and seed < self._scores.num_seeds:
                    yield Step(row=row, architecture=architecture, seed=seed, milestone=last)

    def _begun(self, may_begin: Collection[int]) -> Iterator[Step]:
        """Architectures take turns, so that each has begun as many as the others."""
        counts = np.bincount(self._scores.architecture_N, minlength=self._scores.num_architectures)
        for architecture in sorted(may_begin, key=lambda index: (counts[index], index)):
            first_rung = self._ladder.bracket_of(int(counts[architecture]))
            yield Step(row=None, architecture=architecture, seed=0, milestone=first_rung)

    def _promoted(self, brackets: Iterable[_Bracket], taken: Collection[int], *, at_least: int) -> Iterator[Step]:
        """From the highest rung of any bracket down; brackets end alike, so that stations are counted from there."""
        brackets = list(brackets)
        for below in range(2, max((len(bracket.stations) for bracket in brackets), default=0) + 1):
            for bracket in brackets:
                station = len(bracket.stations) - below
                if station < 0:
                    continue
                for place in bracket.best_at(
                    station, reduction_factor=self._ladder.reduction_factor, at_least=at_least
                ).tolist():
                    row = int(bracket.rows_K[place])
                    if bracket.reached_K[place] == station + 1 and row not in taken:
                        seed, milestone = bracket.stations[station + 1]
                        yield Step(row=row, architecture=bracket.architecture, seed=seed, milestone=milestone)

    def _waits(self, bracket: _Bracket, busy: Collection[int]) -> bool:
        """Whether one of its trials is on its way to a rung."""
        on_their_way = bracket.rows_K[bracket.reached_K < len(bracket.stations)]
        return not set(on_their_way.tolist()).isdisjoint(busy)

    def _brackets(self) -> Iterator[_Bracket]:
        for architecture in range(self._scores.num_architectures):
            rows = np.flatnonzero(self._scores.architecture_N == architecture)
            of_rows = np.array([self._ladder.bracket_of(place) for place in range(len(rows))], dtype=np.int64)
            for bracket in range(self._ladder.num_brackets):
                yield self._bracket(architecture, rows[of_rows == bracket], bracket)

    def _bracket(self, architecture: int, rows_K: Ints, first_rung: int) -> _Bracket:
        last, num_seeds = len(self._scores.milestones) - 1, self._scores.num_seeds
        within = [(0, milestone) for milestone in range(first_rung, last)]
        stations = (*within, *((seed, last) for seed in range(num_seeds)))
        level_KS = self._scores.level_NS[rows_K]
        whole_KS = self._scores.score_NSM[rows_K, :, last]
        mean_KS = np.cumsum(whole_KS, axis=1) / np.arange(1, num_seeds + 1)
        reached_KR = np.stack([level_KS[:, seed] >= milestone for seed, milestone in stations], axis=1)
        early_KR = self._scores.score_NSM[rows_K, 0, first_rung:last]
        return _Bracket(
            architecture=architecture,
            rows_K=rows_K,
            stations=stations,
            num_rungs=len(within) + (num_seeds - 1 if self._ladder.compares_seeds else 0),
            reached_K=reached_KR.sum(axis=1),
            objective_KR=np.concatenate([early_KR, mean_KS], axis=1),
        )
