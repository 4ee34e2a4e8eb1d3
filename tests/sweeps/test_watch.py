"""What a sweep tells of its progress."""

import pickle
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ledger_toys import record_trial
from sweep_toys import make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps.fault import Fault
from sweeps.ledger import Ledger
from sweeps.studies import Studies
from sweeps.watch import SweepProgress, Watch


def test_an_epoch_that_a_trial_tells_again_when_it_is_taken_up_counts_once() -> None:
    plan, told = make_plan(), list[SweepProgress]()
    watch = Watch(plan, [], told.append, Fault(), None)
    config = {"number": 0, "configuration": plan.trial_config("cnn", {}).to_dict()}
    trial: Any = SimpleNamespace(config=config)
    for seed_epoch in (1, 2, 2, 3):
        result = {"seed": 1, "epoch": seed_epoch, "seed_epoch": seed_epoch, "objective": 0.5}
        watch.on_trial_result(0, [], trial, result)
    assert [progress.seed_epochs for progress in told] == [1, 2, 2, 3]


def test_a_sweep_that_is_taken_up_goes_on_from_what_is_recorded(tmp_path: Path) -> None:
    plan, told = make_plan(), list[SweepProgress]()
    ledger, studies = Ledger(ResultsTable(LocalObjectStore(tmp_path)), plan.sweep_id), Studies(plan)
    suggestions = [suggestion for number in range(3) if (suggestion := studies.suggest(number))]
    record_trial(ledger, suggestions[0], "finished", {1: 0.3, 2: 0.4, 3: 0.5, 4: 0.5, 5: 0.55, 6: 0.6})
    record_trial(ledger, suggestions[1], "stopped", {1: 0.2})
    record_trial(ledger, suggestions[2], None, {1: 0.3, 2: 0.4})
    watch = Watch(plan, ledger.records(), told.append, Fault(), None)
    watch.begin()
    trial: Any = SimpleNamespace(config={"number": 2, "configuration": suggestions[2].config.to_dict()})
    for seed_epoch in (2, 3):  # its checkpoint is older than its last row
        result = {"seed": 1, "epoch": seed_epoch, "seed_epoch": seed_epoch, "objective": 0.5}
        watch.on_trial_result(0, [], trial, result)
    assert [(now.trials_ended, now.trials_in_all, now.seed_epochs) for now in told] == [
        (2, 4, 9),
        (2, 4, 9),
        (2, 4, 10),
    ]
    assert (told[0].best_objective, told[0].last) == (0.6, "taken up, 1 on their way")


def test_tune_may_pickle_it_whoever_is_told() -> None:
    lock = threading.Lock()
    watch = Watch(make_plan(), [], lambda now: lock.release(), Fault(), None)
    assert isinstance(pickle.loads(pickle.dumps(watch)), Watch)


def test_of_a_new_sweep_nothing_is_told_before_its_first_epoch() -> None:
    told = list[SweepProgress]()
    Watch(make_plan(), [], told.append, Fault(), None).begin()
    assert told == []
