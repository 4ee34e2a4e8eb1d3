"""Trials by state and seed-epochs, with what earlier processes recorded and what this one hears of."""

from pathlib import Path
from typing import Any

import pytest
from ledger_toys import record_trial
from sweep_toys import make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps import trial_counts
from sweeps.ledger import Ledger
from sweeps.records import TrialRecord
from sweeps.studies import Studies
from sweeps.trial_counts import TrialCounts

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What Prometheus would have: gauges as they were set last, and counters."""
    found: Told = {}

    def count(metric: Any, amount: float = 1, **tags: str) -> None:
        key = (metric.name, frozenset(tags.items()))
        found[key] = found.get(key, 0) + amount

    def show(metric: Any, value: float, **tags: str) -> None:
        found[metric.name, frozenset(tags.items())] = value

    monkeypatch.setattr(trial_counts, "count", count)
    monkeypatch.setattr(trial_counts, "show", show)
    return found


def states(told: Told) -> dict[str, float]:
    return {dict(tags)["state"]: value for (name, tags), value in told.items() if name == "melsweep_trials"}


def recorded(folder: Path) -> list[TrialRecord]:
    """One finished, one stopped, one open and one waiting of six."""
    plan = make_plan(num_trials=6)
    ledger, studies = Ledger(ResultsTable(LocalObjectStore(folder)), plan.sweep_id), Studies(plan)
    suggestions = [suggestion for number in range(4) if (suggestion := studies.suggest(number))]
    record_trial(ledger, suggestions[0], "finished", {1: 0.3, 2: 0.4, 3: 0.5, 4: 0.5, 5: 0.55, 6: 0.6})
    record_trial(ledger, suggestions[1], "stopped", {1: 0.2})
    record_trial(ledger, suggestions[2], None, {1: 0.3, 2: 0.4})
    record_trial(ledger, suggestions[3], None, {})
    return ledger.records()


def test_it_begins_with_what_is_recorded(tmp_path: Path, told: Told) -> None:
    counts = TrialCounts("s", {"cnn": 6}, recorded(tmp_path))
    assert counts.of_all == {"finished": 1, "stopped": 1, "failed": 0, "open": 1, "waiting": 3}
    assert counts.seed_epochs == 9
    assert states(told) == counts.of_all
    assert not [name for name, _ in told if name == "melsweep_seed_epochs"]  # other processes have counted these


def test_epochs_and_ends_move_trials_and_an_epoch_told_again_counts_once(tmp_path: Path, told: Told) -> None:
    counts = TrialCounts("s", {"cnn": 6}, recorded(tmp_path))
    for number, seed_epoch in ((2, 2), (2, 3), (3, 1), (4, 1), (4, 1)):
        counts.epoch(number, "cnn", seed_epoch)
    counts.end(2, "cnn", "failed")
    counts.end(3, "cnn", None)
    assert counts.of_all == {"finished": 1, "stopped": 1, "failed": 1, "open": 2, "waiting": 1}
    assert counts.seed_epochs == 12
    assert states(told) == counts.of_all
    assert told["melsweep_seed_epochs", frozenset({("sweep", "s"), ("architecture", "cnn")})] == 3


def test_architectures_are_counted_apart(told: Told) -> None:
    counts = TrialCounts("s", {"cnn": 2, "alexnet": 2}, [])
    counts.epoch(0, "cnn", 1)
    counts.decided("cnn", "stop")
    counts.end(0, "cnn", "stopped")
    of_cnn = {
        dict(tags)["state"]: value
        for (name, tags), value in told.items()
        if name == "melsweep_trials" and ("architecture", "cnn") in tags
    }
    assert of_cnn == {"finished": 0, "stopped": 1, "failed": 0, "open": 0, "waiting": 1}
    assert counts.of_all["waiting"] == 3
    decided = {("sweep", "s"), ("architecture", "cnn"), ("decision", "stop")}
    assert told["melsweep_rung_decisions", frozenset(decided)] == 1


def test_nothing_waits_when_the_search_is_over(tmp_path: Path, told: Told) -> None:
    """An adaptive one ends with its budget, and the job may confirm for hours: no alarm for trials that never come."""
    counts = TrialCounts("s", {"cnn": 6}, recorded(tmp_path))
    before = counts.of_all
    counts.over()
    assert states(told) == {**before, "waiting": 0}
    assert counts.of_all == before  # as rows have it
