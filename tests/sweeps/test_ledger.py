"""What a sweep remembers: compacted or not, it is the same."""

from dataclasses import replace

import pytest
from ledger_toys import epoch_metrics, record_curve, record_trial
from sweep_toys import SWEEP_ROW, make_plan

from storage.compaction import compact, tidy
from storage.errors import StorageError
from storage.generations import Partition
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.schemas import TABLES
from sweeps.ledger import Ledger
from sweeps.records import Decision, Suggestion
from training import TrialConfig


def _suggestion(number: int, *, epochs: int = 1) -> Suggestion:
    plan = make_plan()
    config = TrialConfig(
        architecture="cnn",
        dataset=plan.dataset,
        fingerprint=plan.fingerprint,
        split_hash=plan.split_hash,
        seeds=(number,),
        epochs=epochs,
    )
    return Suggestion(number=number, config=config, parameters={}, distributions={}, untuned_default=False)


def test_a_compacted_sweep_is_remembered_as_it_was(store: ObjectStore) -> None:
    ledger = Ledger(ResultsTable(store), "s")
    ledger.start(SWEEP_ROW)
    for number in range(3):
        suggestion = _suggestion(number)
        ledger.suggest(suggestion)
        ledger.epoch(suggestion.config, seed=number, seed_epoch=1, objective=0.5, metrics=epoch_metrics(1, 0.5))
        if number:
            ledger.end(suggestion, state="stopped", seed_epochs=1, objective=0.5)
    before = ledger.records()
    for table in TABLES:
        partition = Partition(table=table, sweep_id="s")
        compact(store, partition)
        tidy(store, partition, settled_before=float("inf"))
    assert len(before) == 3
    resumed = Ledger(ResultsTable(store), "s")
    assert resumed.records() == before
    resumed.suggest(_suggestion(0))  # the same again
    with pytest.raises(StorageError, match="another process is running the sweep s"):
        resumed.suggest(_suggestion(0, epochs=2))
    resumed.suggest(_suggestion(3))
    assert [record.suggestion.number for record in resumed.records()] == [0, 1, 2, 3]


def test_of_two_drivers_the_second_one_stops_where_it_ends_or_decides_otherwise(store: ObjectStore) -> None:
    first, second = Ledger(ResultsTable(store), "s"), Ledger(ResultsTable(store), "s")
    suggestion, other = _suggestion(0), _suggestion(1)
    first.suggest(suggestion)
    first.end(suggestion, state="stopped", seed_epochs=1, objective=0.3)
    second.end(suggestion, state="stopped", seed_epochs=1, objective=0.3)  # the same again
    for state, seed_epochs, objective in (("finished", 1, 0.3), ("stopped", 2, 0.3), ("stopped", 1, 0.4)):
        with pytest.raises(StorageError, match="another process is running the sweep s"):
            second.end(suggestion, state=state, seed_epochs=seed_epochs, objective=objective)  # type: ignore[arg-type]
    decision = Decision(number=0, trial_id=suggestion.config.trial_id, seed=1, until=2, rate=None, heard={"a": 1})
    first.decide(decision)
    second.decide(decision)
    for differently in (replace(decision, trial_id=other.config.trial_id), replace(decision, until=3)):
        with pytest.raises(StorageError, match="another process is running the sweep s"):
            second.decide(differently)
    assert first.decisions() == [decision]
    assert [(record.state, record.objective) for record in first.records()] == [("stopped", 0.3)]


def test_a_finished_trial_whose_rows_were_lost_may_end_as_it_does_when_it_is_trained_again(store: ObjectStore) -> None:
    ledger, suggestion = Ledger(ResultsTable(store), "s"), _suggestion(0)
    record_trial(ledger, suggestion, "finished", {1: 0.5})
    for info in list(store.list("results/seeds/")):
        store.delete(info.key)
    assert [record.state for record in ledger.records()] == [None]
    ledger.end(suggestion, state="finished", seed_epochs=1, objective=0.6)


def test_epochs_beyond_a_trials_end_are_not_remembered(store: ObjectStore) -> None:
    ledger, ended, running = Ledger(ResultsTable(store), "s"), _suggestion(0, epochs=3), _suggestion(1, epochs=3)
    record_trial(ledger, ended, "stopped", {1: 0.5, 2: 0.6})
    record_trial(ledger, running, None, {1: 0.5, 2: 0.6})
    for suggestion in (ended, running):  # by a process that outlived its driver
        record_curve(ledger, suggestion.config, {3: 0.7})
    assert [dict(record.objectives) for record in ledger.records()] == [{1: 0.5, 2: 0.6}, {1: 0.5, 2: 0.6, 3: 0.7}]


def test_of_an_epoch_trained_twice_the_first_number_counts(store: ObjectStore) -> None:
    ledger, config = Ledger(ResultsTable(store), "s"), _suggestion(0, epochs=2).config
    for given, counts in ((0.5, 0.5), (0.6, 0.5)):
        metrics = epoch_metrics(1, given)
        assert ledger.epoch(config, seed=0, seed_epoch=1, objective=given, metrics=metrics) == counts
    assert ledger.epoch(config, seed=0, seed_epoch=2, objective=0.7, metrics=epoch_metrics(2, 0.7)) == 0.7
