"""A trial whose process ended while it was handed over was given up at once, and the sweep went on without it.

Tune 2.60 counts a failure, and recovers, only of trials that run: one whose reset fails is PENDING and ends as an
error. `benchmarks/chaos.py` found it, by a node that was cut off for 17 seconds.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.table_scheduler import TableScheduler
from sweeps.table_searcher import TableSearcher
from sweeps.tune_adapters import LedgerSearcher, SeedEpochHalving
from sweeps.turn_search import TurnSearch
from sweeps.turn_tune import TurnScheduler, TurnSearcher


@pytest.fixture(params=["seed_epochs", "adaptive"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TableSearcher, TableScheduler]:
    """What is asked for trials and what decides about them, of a sweep that has not begun."""
    plan = make_plan(scheduler=request.param)
    ledger = Ledger(ResultsTable(LocalObjectStore(tmp_path)), plan.sweep_id)
    ledger.start(SWEEP_ROW)
    if plan.takes_turns:
        search = TurnSearch(plan, ledger, [], [])
        turns = TurnSearcher(search, ledger, on_end=lambda record: None, fault=Fault())
        return turns, TurnScheduler(search, turns)
    searcher = LedgerSearcher(plan, ledger, [], on_end=lambda record: None, fault=Fault())
    return searcher, SeedEpochHalving(plan, [], searcher)


def _fail(pair: tuple[TableSearcher, TableScheduler], trial_id: str, status: str) -> None:
    """As Tune tells both that it gives a trial up."""
    searcher, scheduler = pair
    trial: Any = SimpleNamespace(trial_id=trial_id, status=status)
    scheduler.on_trial_error(None, trial)
    searcher.on_trial_complete(trial_id, error=True)


def test_it_is_handed_out_again(pair: tuple[TableSearcher, TableScheduler]) -> None:
    first = pair[0].suggest("tune-1")
    _fail(pair, "tune-1", Trial.PENDING)
    assert pair[0].suggest("tune-2") == first
    assert pair[0].num_given_up == 0


def test_one_that_ran_and_failed_too_often_is_given_up(pair: tuple[TableSearcher, TableScheduler]) -> None:
    first = pair[0].suggest("tune-1")
    _fail(pair, "tune-1", Trial.RUNNING)
    assert pair[0].suggest("tune-2") != first
    assert pair[0].num_given_up == 1
