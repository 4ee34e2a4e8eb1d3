"""Tune pickles searchers and schedulers when it starts; nothing of a sweep depends on that."""

import pickle
from pathlib import Path

import pytest
from sweep_toys import make_plan

from storage.object_store import open_store
from storage.results_table import ResultsTable
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.tune_adapters import LedgerSearcher, SeedEpochHalving


def test_a_searcher_and_its_scheduler_can_be_pickled_whatever_they_hold_and_take_nothing_along(tmp_path: Path) -> None:
    plan = make_plan()
    ledger = Ledger(ResultsTable(open_store(str(tmp_path))), plan.sweep_id)
    searcher = LedgerSearcher(plan, ledger, [], on_end=lambda record: None, fault=Fault())
    searcher.held = (line for line in ("a generator",))  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="generator"):
        pickle.dumps(searcher.held)  # type: ignore[attr-defined]
    copy, _ = pickle.loads(pickle.dumps((searcher, SeedEpochHalving(plan, [], searcher))))
    assert vars(copy) == {}
