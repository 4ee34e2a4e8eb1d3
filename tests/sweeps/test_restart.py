"""A sweep that is taken up again when all is done: what is left to do, and how often it asks the store."""

from collections import Counter
from typing import Any

import pytest
from ledger_toys import epoch_metrics
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.model_file import model_key
from storage.object_store import open_store
from storage.results_table import ResultsTable
from sweeps import ledger as ledgers
from sweeps import run_sweep
from sweeps.ledger import Ledger
from sweeps.plan import SweepPlan
from sweeps.records import TrialState
from sweeps.studies import Studies
from sweeps.trial_actor import checkpoint_prefix

_SEED = 1


def _plan(num_trials: int) -> SweepPlan:
    return make_plan(num_trials=num_trials, seeds=(_SEED,), epochs=2)


def _with_ended_trials(store: Any, plan: SweepPlan, *, without_clean_up: bool = False) -> list[str]:
    """Fills the table of a sweep all of whose trials were stopped after one epoch; the ids of its trials."""
    ledger, studies, trial_ids = Ledger(ResultsTable(store), plan.sweep_id), Studies(plan), []
    ledger.start(SWEEP_ROW)
    for number in range(plan.num_trials):
        suggestion = studies.suggest(number)
        assert suggestion is not None
        ledger.suggest(suggestion)
        ledger.epoch(suggestion.config, seed=_SEED, seed_epoch=1, objective=0.5, metrics=epoch_metrics(1, 0.5))
        state: TrialState = "failed" if number == 1 else "stopped"
        ledger.end(suggestion, state=state, seed_epochs=1, objective=0.5)
        trial_ids.append(suggestion.config.trial_id)
        if without_clean_up:
            store.put(f"{checkpoint_prefix(plan.sweep_id, trial_ids[-1])}/seed=1/step-00000001.safetensors", b"x")
            store.put(model_key(plan.sweep_id, trial_ids[-1], _SEED), b"x")
    return trial_ids


class Counting(LocalObjectStore):
    """Counts its calls."""

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.num_calls = Counter[str]()

    def get(self, key: str) -> bytes:
        self.num_calls["get"] += 1
        return super().get(key)

    def list(self, prefix: str) -> Any:
        self.num_calls["list"] += 1
        return super().list(prefix)


def test_what_ended_trials_left_behind_is_deleted_and_nothing_of_others(tmp_path: Any) -> None:
    store, plan = open_store(str(tmp_path)), _plan(3)
    _with_ended_trials(store, plan, without_clean_up=True)
    others = [f"checkpoints/{plan.sweep_id}/of-none/seed=1/step-00000001.safetensors", model_key("other", "t", 1)]
    for key in others:
        store.put(key, b"x")
    outcome = run_sweep(plan, None, store, sweep_row=SWEEP_ROW)  # type: ignore[arg-type]  # there is nothing to train
    assert (outcome.num_trials_found, outcome.num_trials_run) == (3, 0)
    left = [info.key for prefix in ("checkpoints/", "models/") for info in store.list(prefix)]
    assert sorted(left) == sorted(others)


def test_a_restart_lists_as_often_however_many_trials_have_ended(tmp_path: Any) -> None:
    num_lists = []
    for num_trials in (3, 9):
        plan, folder = _plan(num_trials), tmp_path / str(num_trials)
        _with_ended_trials(open_store(str(folder)), plan)
        store = Counting(folder)
        run_sweep(plan, None, store, sweep_row=SWEEP_ROW)  # type: ignore[arg-type]
        num_lists.append(store.num_calls["list"])
    assert num_lists[0] == num_lists[1]


def test_many_commits_are_gathered_so_that_the_next_reader_fetches_few_objects(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "_MANY_COMMITS", 5)
    plan = _plan(6)
    trial_ids = _with_ended_trials(open_store(str(tmp_path)), plan)
    before = Ledger(ResultsTable(open_store(str(tmp_path))), plan.sweep_id).records()
    run_sweep(plan, None, open_store(str(tmp_path)), sweep_row=SWEEP_ROW)  # type: ignore[arg-type]
    store = Counting(tmp_path)
    ledger = Ledger(ResultsTable(store), plan.sweep_id)
    assert ledger.records() == before
    assert [record.suggestion.config.trial_id for record in before] == trial_ids
    assert store.num_calls["get"] < 6 * 3  # each of the three tables had six objects
    assert ledger.decisions() == []
