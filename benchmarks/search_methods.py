"""Ways to spend a sweep's budget, for scheduler_simulation.py. Each takes a pool and a budget in epochs and returns the
configuration that it would report as the best. Configurations come in the pool's order, one process at a time.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.learning_curves import Pool
from sweeps.allocation import Allocator, Ladder, Promotions, Scores
from sweeps.allocation.allocator import Step
from sweeps.rungs import Rungs, milestones, seed_milestones

Method = Callable[[Pool, float], int]

GRACE, FACTOR = 1, 3


def random_search(pool: Pool, budget: float) -> int:
    """One seed of each, to its end; the best seed wins."""
    return int(np.argmax(pool.score_NSE[: _affordable(pool, budget, 1), 0, -1]))


def repeated(pool: Pool, budget: float, num_seeds: int = 3) -> int:
    """All seeds of each, to their ends, as Ray's Repeater: no early stopping."""
    return int(np.argmax(pool.score_NSE[: _affordable(pool, budget, num_seeds), :num_seeds, -1].mean(axis=1)))


def drop_after_one_epoch(pool: Pool, budget: float) -> int:
    """Half of the budget goes to one epoch of each, the rest to whole seeds of the best."""
    num_epochs = pool.score_NSE.shape[2]
    num_looks = min(len(pool.quality_N), int(budget / 2))
    num_whole = max(1, int((budget - num_looks) / (num_epochs - 1)))
    best = np.argsort(-pool.score_NSE[:num_looks, 0, 0], kind="stable")[:num_whole]
    return int(best[np.argmax(pool.score_NSE[best, 0, -1])])


def asha(pool: Pool, budget: float) -> int:
    """Asynchronous successive halving of one seed, a bracket per architecture."""
    return _best(_halving(pool, budget, num_seeds=1))


def asha_pausing(pool: Pool, budget: float) -> int:
    """Asynchronous successive halving of one seed, in the form that promotes: what is put down may go on later."""
    num_epochs, num_architectures = pool.score_NSE.shape[2], int(pool.architecture_N.max()) + 1
    places = seed_milestones(grace_epochs=GRACE, reduction_factor=FACTOR, epochs=num_epochs)
    ladder = Ladder(
        reduction_factor=FACTOR,
        num_brackets=1,
        bracket_of=lambda place: 0,
        never_stop_first=0,
        compares_seeds=False,
    )
    scores, configuration = _by_steps(
        pool,
        budget,
        Scores(places, num_seeds=1, num_architectures=num_architectures),
        lambda filled: Promotions(filled, ladder),
    )
    level_N = scores.level_NS[:, 0]
    furthest = np.flatnonzero(level_N == level_N.max())
    return configuration[int(furthest[np.argmax(scores.score_NSM[furthest, 0, level_N.max()])])]


def asha_in_one_bracket(pool: Pool, budget: float) -> int:
    """The same with all architectures in one bracket."""
    return _best(_halving(pool, budget, num_seeds=1, one_bracket=True))


def asha_by_seed_epochs(pool: Pool, budget: float) -> int:
    """The same with rungs that go on through three seeds."""
    return _best(_halving(pool, budget, num_seeds=3))


def asha_then_seeds(pool: Pool, budget: float, num_seeds: int = 3) -> int:
    """ASHA with seven tenths of the budget, then two more seeds of the best: of nine where it is 60 runs."""
    num_epochs = pool.score_NSE.shape[2]
    num_best = int(0.3 * budget / ((num_seeds - 1) * num_epochs))
    ends = _halving(pool, budget - num_best * (num_seeds - 1) * num_epochs, num_seeds=1)
    best = sorted(ends, key=lambda row: (-ends[row][0], -ends[row][1]))[: max(1, num_best)]
    return max(best, key=lambda row: float(pool.score_NSE[row, :num_seeds, -1].mean()))


def adaptive(pool: Pool, budget: float, num_seeds: int = 3) -> int:
    """Ours: sweeps/allocation."""
    num_epochs, num_architectures = pool.score_NSE.shape[2], int(pool.architecture_N.max()) + 1
    places = seed_milestones(grace_epochs=GRACE, reduction_factor=FACTOR, epochs=num_epochs)
    scores = Scores(places, num_seeds=num_seeds, num_architectures=num_architectures)
    scores, configuration = _by_steps(pool, budget, scores, lambda filled: Allocator(filled, budget))
    # As the leaderboard ranks: those with most seeds first, and of these the best mean of their ends.
    most = np.flatnonzero(scores.num_whole_N == scores.num_whole_N.max())
    ends_NS = np.where(np.isnan(scores.score_NSM[most, :, -1]), 0.0, scores.score_NSM[most, :, -1])
    if not scores.num_whole_N.max():
        return configuration[int(np.argmax(scores.score_NSM[:, 0, 0]))]
    return configuration[int(most[np.argmax(ends_NS.sum(axis=1))])]


METHODS: dict[str, Method] = {
    "random_search": random_search,
    "repeated": repeated,
    "drop_after_one_epoch": drop_after_one_epoch,
    "asha": asha,
    "asha_pausing": asha_pausing,
    "asha_in_one_bracket": asha_in_one_bracket,
    "asha_by_seed_epochs": asha_by_seed_epochs,
    "asha_then_seeds": asha_then_seeds,
    "adaptive": adaptive,
}


def _by_steps(
    pool: Pool, budget: float, scores: Scores, chooser_of: Callable[[Scores], Allocator | Promotions]
) -> tuple[Scores, list[int]]:
    """The scores after every step that a budget pays for, and the configuration of each of their rows."""
    chooser = chooser_of(scores)
    of_architecture = [np.flatnonzero(pool.architecture_N == index) for index in range(scores.num_architectures)]
    waiting = [rows[::-1].tolist() for rows in of_architecture]
    configuration: list[int] = []
    while True:
        may_begin = [index for index, rows in enumerate(waiting) if rows]
        ended = np.flatnonzero(scores.num_whole_N == scores.num_seeds).tolist()
        step = chooser.next_step(epochs_left=budget, may_begin=may_begin, busy=ended)
        if step is None:
            return scores, configuration
        budget -= scores.cost(step.row, seed=step.seed, milestone=step.milestone)
        if budget < 0:
            return scores, configuration
        row = step.row
        if row is None:
            row = scores.add(step.architecture)
            configuration.append(waiting[step.architecture].pop())
        _train(scores, row, step, pool, configuration[row])


def _affordable(pool: Pool, budget: float, num_seeds: int) -> int:
    return max(1, min(len(pool.quality_N), int(budget / (num_seeds * pool.score_NSE.shape[2]))))


def _halving(pool: Pool, budget: float, *, num_seeds: int, one_bracket: bool = False) -> dict[int, tuple[int, float]]:
    """Configuration → the seed-epochs it came to and its objective there."""
    num_epochs = pool.score_NSE.shape[2]
    places = milestones(grace_epochs=GRACE, reduction_factor=FACTOR, epochs=num_epochs, num_seeds=num_seeds)
    rungs: dict[int, Rungs] = {}
    ends: dict[int, tuple[int, float]] = {}
    for row in range(len(pool.quality_N)):
        bracket = 0 if one_bracket else int(pool.architecture_N[row])
        of_bracket = rungs.setdefault(bracket, Rungs(milestones=places, reduction_factor=FACTOR))
        stood = 0
        for place in (*places, num_epochs * num_seeds):
            if place - stood > budget:
                return ends
            budget -= place - stood
            stood = place
            objective = _objective(pool.score_NSE[row], place)
            ends[row] = (place, objective)
            if not of_bracket.goes_on(str(row), place, objective):
                break
    return ends


def _objective(score_SE: np.ndarray, seed_epochs: int) -> float:
    """Mean over the seeds begun of their best score so far."""
    whole, begun = divmod(seed_epochs, score_SE.shape[1])
    scores = [*score_SE[:whole, -1], *([score_SE[whole, begun - 1]] if begun else [])]
    return float(np.mean(scores))


def _best(ends: dict[int, tuple[int, float]]) -> int:
    """Of those that came furthest the one with the best objective."""
    return max(ends, key=lambda row: ends[row])


def _train(scores: Scores, row: int, step: Step, pool: Pool, configuration: int) -> None:
    begun = int(scores.level_NS[row, step.seed]) + 1
    places = scores.milestones
    for milestone in range(begun, step.milestone + 1):
        scores.record(row, step.seed, milestone, float(pool.score_NSE[configuration, step.seed, places[milestone] - 1]))
