"""Rungs and turns as the rows tell them."""

from typing import TYPE_CHECKING

import pytest

from reports import trial_summaries
from reports.turns import rungs, turns
from tests.reports.conftest import START

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


def test_a_rung_tells_who_came_so_far_and_who_was_stopped(invented: "InventedSweep") -> None:
    curves = {"t0": (0.3, 0.5, 0.6), "t1": (0.2, 0.4), "t2": (0.1, 0.45), "t3": (0.9,)}
    for number, (trial_id, curve) in enumerate(curves.items()):
        invented.suggest(trial_id, number=number, seeds=(1,))
        invented.train(trial_id, 1, curve)
    invented.end("t1", "stopped", number=1, seed_epochs=2)
    invented.end("t2", "stopped", number=2, seed_epochs=2)
    invented.end("t3", "failed", number=3, seed_epochs=1)
    sweep = invented.load()
    (rung,) = rungs(sweep, trial_summaries(sweep))
    assert (rung.architecture, rung.seed_epochs, rung.num_reached, rung.num_stopped) == ("cnn", 2, 3, 2)
    assert (rung.best, rung.best_stopped, rung.lowest_kept) == (0.5, 0.45, 0.5)


def test_where_nobody_was_stopped_there_is_no_rung(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    sweep = invented.load()
    assert rungs(sweep, trial_summaries(sweep)) == []


def test_turns_are_new_configurations_more_epochs_and_further_seeds(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.suggest("t1", number=1, seeds=(1, 2))
    decided = [("t0", 1, 2, None), ("t1", 1, 2, None), ("t0", 1, 3, 0.1), ("t0", 2, 5, 0.2), ("t0", 2, 6, 0.15)]
    decided.append(("void", 1, 2, 0.3))
    for number, (trial_id, seed, until, rate) in enumerate(decided):
        invented.decide(number, trial_id, seed=seed, until=until, rate=rate, decided_at=START)
    found = turns(invented.load())
    assert [(turn.number, turn.kind, turn.begins, turn.until) for turn in found] == [
        (0, "new configuration", 0, 2),
        (1, "new configuration", 0, 2),
        (0, "more epochs", 2, 3),
        (0, "further seed", 3, 5),
        (0, "further seed", 5, 6),  # not `more epochs`: what the seeds cost would look like almost nothing
    ]
    assert [turn.rate for turn in found] == [None, None, *map(pytest.approx, (0.1, 0.2, 0.15))]
