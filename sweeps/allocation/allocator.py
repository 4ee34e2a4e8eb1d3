"""What a sweep trains next. Enters: scores at milestones. Leaves: steps, one at a time."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sweeps.allocation.beliefs import fit_beliefs
from sweeps.allocation.gain import most_worth
from sweeps.allocation.posterior import Posterior, posterior_of
from sweeps.allocation.scores import NOT_BEGUN, Floats, Ints, Scores
from sweeps.allocation.ways import Left, Standing, lacks_N, ways_further, ways_to_begin

# How an architecture begins: so many first looks, of which so many are trained to the end beside the untuned default.
NUM_LOOKS, NUM_WHOLE = 6, 2
_OPENING = 0.5  # of the budget, at most, goes to whole trainings before anything is weighed
_FLOOR = 0.25  # of an equal share of the budget, which every architecture gets before they compete


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Train a seed of a configuration on to a milestone.

    Attributes:
        row: of `Scores`; None for a configuration that is begun.
        architecture, seed, milestone: indices.
        rate: by how much the best mean is expected to rise per epoch; None for a step that every sweep begins with, and
            0 for seeds that the best one still lacks at the end.
    """

    row: int | None
    architecture: int
    seed: int
    milestone: int
    rate: float | None = None


class Allocator:
    """Chooses steps by their expected gain per epoch. Holds no state but the scores: a sweep that is taken up again
    from recorded scores decides as it would have.

    Every architecture opens with its untuned default over all seeds, so that tuning can be compared with it, and with
    first looks at others, of which the best and one of the middle are trained to their end: what they show of seeds and
    of curves is what the measuring begins with. Where that would take more than half of the budget, the default is
    trained over fewer seeds, and then fewer of the first looks to their end: with ten whole trainings for three
    architectures, regret was four times that of ASHA when nothing was left to be weighed.

    Then each architecture is searched for its own best until it has had a quarter of an equal share: what a table of
    architectures compares has been tuned. The rest goes wherever the best of all may be found. The seeds that the best
    one still lacks are held back and trained last, so that the sweep ends with an answer over all seeds. For the same
    reason nothing is trained further that could no longer have all of its seeds: if it turned out to be the best, the
    sweep could not say so.

    Args:
        scores: filled by the caller as steps are done.
        budget_epochs: of the sweep.
    """

    def __init__(self, scores: Scores, budget_epochs: float) -> None:
        self._scores, self._budget_epochs = scores, budget_epochs
        self._cost_M = scores.milestones.astype(np.float64)
        of_each = _OPENING * budget_epochs / (float(self._cost_M[-1]) * scores.num_architectures)
        whole = int(min(max(1.0, of_each), scores.num_seeds + NUM_WHOLE))
        self._default_seeds = max(1, min(scores.num_seeds, whole - NUM_WHOLE))
        self._num_whole = min(NUM_WHOLE, whole - self._default_seeds)

    def next_step(
        self,
        *,
        epochs_left: float,
        may_begin: Collection[int],
        busy: Collection[int] = (),
        closed: Collection[int] = (),
    ) -> Step | None:
        """The step that is worth most for its epochs; None when there is none that can be afforded.

        Args:
            epochs_left: of the sweep's budget.
            may_begin: architectures with configurations not yet tried.
            busy: rows that are being trained.
            closed: rows that failed or were dropped.
        """
        taken = {*busy, *closed}
        has_scores = bool((self._scores.level_NS[:, 0] != NOT_BEGUN).any())
        steps = [*self._opening(may_begin, taken, closed), *self._look_ahead(may_begin)]
        held_back = self._lacks(self._means(self.posterior(), closed)) if steps and has_scores else 0.0
        for step in steps:
            is_default = step.row is not None and self._is_first(step.row)
            if self.cost(step) <= epochs_left - (0.0 if is_default else held_back):
                return step
        return self._weighed(epochs_left, may_begin, taken, closed) if has_scores else None

    def cost(self, step: Step) -> float:
        """Epochs."""
        return self._scores.cost(step.row, seed=step.seed, milestone=step.milestone)

    def posterior(self) -> Posterior:
        return posterior_of(self._scores, fit_beliefs(self._scores))

    def _opening(self, may_begin: Collection[int], taken: Collection[int], closed: Collection[int]) -> Iterator[Step]:
        last = len(self._cost_M) - 1
        for architecture in range(self._scores.num_architectures):
            rows = np.flatnonzero(self._scores.architecture_N == architecture)
            if not len(rows):
                if architecture in may_begin:
                    yield Step(row=None, architecture=architecture, seed=0, milestone=last)
                continue
            default, whole = int(rows[0]), int(self._scores.num_whole_N[rows[0]])
            if whole < self._default_seeds and default not in taken:
                yield Step(row=default, architecture=architecture, seed=whole, milestone=last)
            looks = rows[1:NUM_LOOKS]
            if len(looks) < NUM_LOOKS - 1:
                if architecture in may_begin:
                    yield Step(row=None, architecture=architecture, seed=0, milestone=0)
                continue
            for row in self._chosen(looks, closed):
                if self._scores.num_whole_N[row] == 0 and row not in taken:
                    yield Step(row=row, architecture=architecture, seed=0, milestone=last)

    def _chosen(self, looks: Ints, closed: Collection[int]) -> list[int]:
        """The best and the middle one of the first looks, once all of these have a score or have failed."""
        first = self._scores.score_NSM[looks, 0, 0]
        if np.isnan(first[~np.isin(looks, list(closed))]).any():
            return []
        looks, first = looks[~np.isnan(first)], first[~np.isnan(first)]
        if not len(looks):
            return []
        order = looks[np.argsort(-first, kind="stable")]
        return [int(order[0]), int(order[len(order) // 2])][: self._num_whole]

    def _look_ahead(self, may_begin: Collection[int]) -> Iterator[Step]:
        """Before the first score there is nothing to weigh: further looks keep the machines busy."""
        if not (self._scores.level_NS[:, 0] != NOT_BEGUN).any():
            for architecture in sorted(may_begin):
                yield Step(row=None, architecture=architecture, seed=0, milestone=0)

    def _weighed(
        self, epochs_left: float, may_begin: Collection[int], taken: Collection[int], closed: Collection[int]
    ) -> Step | None:
        beliefs = fit_beliefs(self._scores)
        posterior = posterior_of(self._scores, beliefs)
        mean_N = self._means(posterior, closed)
        standing = Standing(
            scores=self._scores,
            beliefs=beliefs,
            mean_N=mean_N,
            precision_N=posterior.precision_N,
            left=Left(in_all=epochs_left, free=epochs_left - self._lacks(mean_N)),
        )
        below = self._below_floor()
        if below is not None:
            own_N = np.where(self._scores.architecture_N == below, mean_N, -np.inf)
            own_begun = [index for index in may_begin if index == below]
            step = self._best_step(replace(standing, mean_N=own_N), own_begun, taken)
            if step is not None:
                return step
        return self._best_step(standing, may_begin, taken) or self._finishing(mean_N, epochs_left, taken)

    def _means(self, posterior: Posterior, closed: Collection[int]) -> Floats:
        """Of quality; -inf of configurations without a score, and of those that are out."""
        seen_N = self._scores.level_NS[:, 0] != NOT_BEGUN
        seen_N[list(closed)] = False
        return np.where(seen_N, posterior.mean_N, -np.inf)

    def _is_first(self, row: int) -> bool:
        """Whether it is the untuned default of its architecture."""
        return row == int(np.flatnonzero(self._scores.architecture_N == self._scores.architecture_N[row])[0])

    def _best_step(self, standing: Standing, may_begin: Collection[int], taken: Collection[int]) -> Step | None:
        ways = [*ways_further(standing, taken=taken), *ways_to_begin(standing, may_begin=may_begin)]
        found = most_worth([way.chain for way in ways])
        if found is None:
            return None
        way, rate = ways[found[0]], found[1]
        return Step(row=way.row, architecture=way.architecture, seed=way.seed, milestone=way.milestone, rate=rate)

    def _below_floor(self) -> int | None:
        """The architecture that has had least, if that is less than every one's due."""
        of_N, num_architectures = self._scores.architecture_N, self._scores.num_architectures
        spent_A = np.bincount(of_N, weights=self._scores.epochs_NS.sum(axis=1), minlength=num_architectures)
        least = int(np.argmin(spent_A))
        is_due = num_architectures > 1 and spent_A[least] < _FLOOR * self._budget_epochs / num_architectures
        return least if is_due else None

    def _lacks(self, mean_N: Floats) -> float:
        """Epochs that the best one needs to have all seeds."""
        best = int(np.argmax(mean_N))
        return float(lacks_N(self._scores)[best]) if np.isfinite(mean_N[best]) else 0.0

    def _finishing(self, mean_N: Floats, epochs_left: float, taken: Collection[int]) -> Step | None:
        """The next seed of the best one of those that can have all of theirs."""
        may_N = np.isfinite(mean_N) & (lacks_N(self._scores) <= epochs_left)
        if not may_N.any():
            return None
        best = int(np.argmax(np.where(may_N, mean_N, -np.inf)))
        seed = int(self._scores.num_whole_N[best])
        if best in taken or seed == self._scores.num_seeds:
            return None
        architecture, last = int(self._scores.architecture_N[best]), len(self._cost_M) - 1
        return Step(row=best, architecture=architecture, seed=seed, milestone=last, rate=0.0)
