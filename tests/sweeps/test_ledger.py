"""What a sweep remembers: compacted or not, it is the same."""

import pytest
from ledger_toys import epoch_metrics
from sweep_toys import SWEEP_ROW, make_plan

from storage.compaction import compact, tidy
from storage.errors import StorageError
from storage.generations import Partition
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.schemas import TABLES
from sweeps.ledger import Ledger
from sweeps.records import Suggestion
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
