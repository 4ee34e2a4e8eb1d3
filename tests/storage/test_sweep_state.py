"""Where a sweep stands, by its rows: the same as the ledger says, on disk and on S3, compacted or not, read again."""

import dataclasses
import datetime
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ledger_toys import record_curve, record_seeds, record_trial
from sweep_toys import SWEEP_ROW, make_plan

from storage import once_read
from storage.compaction import compact, tidy
from storage.errors import InvalidInput
from storage.generations import Partition
from storage.local import LocalObjectStore
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.sweep_list import follow_ups, list_sweeps
from storage.sweep_state import SweepReader, planned_by
from sweeps.ledger import Ledger
from sweeps.plan import SweepPlan
from sweeps.records import Suggestion
from sweeps.studies import Studies

FINISHED = {1: 0.3, 2: 0.4, 3: 0.5, 4: 0.5, 5: 0.55, 6: 0.6}
_TABLES = ("suggestions", "trials", "seeds", "epochs", "failures")


def begin(store: ObjectStore, plan: SweepPlan, **columns: Any) -> Ledger:
    ledger = Ledger(ResultsTable(store), plan.sweep_id)
    settings = (
        f'{{"sweep": {{"num_trials": 4, "architectures": ["cnn"], "seeds": [1, 2], "epochs": {plan.settings.epochs}}}}}'
    )
    ledger.start({**SWEEP_ROW, "settings": settings, **columns})
    return ledger


def suggestions(plan: SweepPlan, count: int) -> list[Suggestion]:
    studies = Studies(plan)
    return [suggestion for number in range(count) if (suggestion := studies.suggest(number))]


@pytest.fixture
def ledger(store: ObjectStore) -> Ledger:
    """A sweep of four trials: one has finished, one was stopped, one is in its second seed, one waits."""
    plan = make_plan()
    ledger = begin(store, plan)
    finished, stopped, open_, waiting = suggestions(plan, 4)
    record_trial(ledger, finished, "finished", FINISHED)
    record_trial(ledger, stopped, "stopped", {1: 0.2})
    record_trial(ledger, open_, None, {1: 0.3, 2: 0.4, 3: 0.42, 4: 0.41})
    record_trial(ledger, waiting, None, {})
    ledger.failure(open_.config.trial_id, reason="gave_up", detail="the process died")
    return ledger


def reader_of(ledger: Ledger) -> SweepReader:
    return SweepReader(ResultsTable(ledger.store), ledger.sweep_id)


def test_trials_are_told_as_the_ledger_has_them(ledger: Ledger) -> None:
    state = reader_of(ledger).read()
    told = [(trial.fate, trial.seed_epochs, trial.num_seeds_complete, trial.objective) for trial in state.trials]
    assert told == [("finished", 6, 2, 0.6), ("stopped", 1, 0, 0.2), ("open", 4, 0, 0.41), ("waiting", 0, 0, None)]
    for trial, record in zip(state.trials, ledger.records(), strict=True):
        assert trial.trial_id == record.suggestion.config.trial_id
        assert trial.seed_epochs == len(record.objectives)
        assert (trial.fate if trial.has_ended else None) == record.state
    assert (state.num_ended, state.seed_epochs, state.is_over) == (2, 11, False)
    assert (state.planned.num_trials, state.planned.seed_epochs) == (4, 24)
    assert [(failure.number, failure.reason) for failure in state.failures] == [(2, "gave_up")]
    assert state.kind == "sweep"


def test_moments_are_those_of_the_store(ledger: Ledger) -> None:
    state = reader_of(ledger).read()
    assert len(state.epochs_written_at) == 11
    assert list(state.epochs_written_at) == sorted(state.epochs_written_at)
    assert state.newest_at >= state.epochs_written_at[-1]
    assert abs(time.time() - state.newest_at) < 60


def test_compaction_changes_no_count(ledger: Ledger) -> None:
    before = reader_of(ledger).read()
    for table in _TABLES:
        partition = Partition(table=table, sweep_id=ledger.sweep_id)
        compact(ledger.store, partition, min_commits=1)
        assert reader_of(ledger).read().trials == before.trials
        tidy(ledger.store, partition, settled_before=time.time() + 3600)
    after = reader_of(ledger).read()
    assert (after.trials, after.failures) == (before.trials, before.failures)
    assert after.epochs_written_at == ()  # nobody knows any more
    assert abs(after.newest_at - before.newest_at) < 60


def test_what_is_compacted_and_deleted_while_it_is_looked_at_is_found_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reader_of(ledger).read()
    read_rows, partition = once_read.read_rows, Partition(table="epochs", sweep_id=ledger.sweep_id)

    def after_a_compaction(store: ObjectStore, key: str, *arguments: Any, **named: Any) -> Any:
        if "/epochs/" in key:
            compact(store, partition, min_commits=1)
            tidy(store, partition, settled_before=time.time() + 3600)
        return read_rows(store, key, *arguments, **named)

    monkeypatch.setattr(once_read, "read_rows", after_a_compaction)
    assert reader_of(ledger).read().trials == before.trials


def test_who_asks_again_fetches_new_rows_alone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(ledger)
    reader.read()
    fetched, read_rows = [], once_read.read_rows

    def counted(store: ObjectStore, key: str, *arguments: Any, **named: Any) -> Any:
        fetched.append(key.split("/")[1])
        return read_rows(store, key, *arguments, **named)

    monkeypatch.setattr(once_read, "read_rows", counted)
    assert reader.read().seed_epochs == 11
    assert fetched == []
    open_ = ledger.records()[2].suggestion
    record_curve(ledger, open_.config, {5: 0.5, 6: 0.55})
    record_seeds(ledger, open_.config)
    assert reader.read().trials[2].objective == 0.55
    assert fetched == ["epochs"]
    ledger.end(open_, state="finished", seed_epochs=6, objective=0.55)
    assert reader.read().trials[2].fate == "finished"
    assert fetched == ["epochs", "trials"]


def test_a_sweep_is_over_when_all_that_was_planned_has_ended(ledger: Ledger) -> None:
    for record in ledger.records():
        if record.state is None:
            ledger.end(record.suggestion, state="stopped", seed_epochs=len(record.objectives), objective=None)
    assert reader_of(ledger).read().is_over
    assert [summary.is_over for summary in list_sweeps(ResultsTable(ledger.store))] == [True]
    ledger.extend(1)
    extended = reader_of(ledger).read()
    assert (extended.planned.num_trials, extended.is_over) == (5, False)
    assert [summary.is_over for summary in list_sweeps(ResultsTable(ledger.store))] == [False]


def test_what_follows_a_sweep_is_found_by_it(ledger: Ledger) -> None:
    results, other = ResultsTable(ledger.store), make_plan(name="toy-other")
    names = [f"{ledger.sweep_id}-audit", f"{ledger.sweep_id}-confirmation-1"]
    for name, kind in zip(names, ("audit", "confirmation"), strict=True):
        follow_up = Ledger(results, name)
        follow_up.start({**SWEEP_ROW, "kind": kind, "of_sweep": ledger.sweep_id})
        record_trial(follow_up, suggestions(make_plan(), 1)[0], None, {1: 0.3})
    begin(ledger.store, other, of_sweep=None)
    assert follow_ups(results, ledger.sweep_id) == names
    assert follow_ups(results, other.sweep_id) == []
    state = SweepReader(results, names[1]).read()
    assert (state.kind, state.planned.num_trials, state.planned.seed_epochs) == ("confirmation", 1, 6)
    listed = [(one.sweep_id, one.num_ended, one.num_suggested, one.num_planned) for one in list_sweeps(results)]
    assert listed == [(ledger.sweep_id, 2, 4, 4), (names[0], 0, 1, 1), (names[1], 0, 1, 1), (other.sweep_id, 0, 0, 4)]


def test_an_unknown_sweep_is_refused_with_those_that_are_near(ledger: Ledger) -> None:
    for given in ("toy", "../toy", "nothing\0"):
        with pytest.raises(InvalidInput) as refusal:
            SweepReader(ResultsTable(ledger.store), given)
        assert ledger.sweep_id in str(refusal.value)
    with pytest.raises(InvalidInput, match="holds no sweep"):
        SweepReader(ResultsTable(LocalObjectStore(Path("nowhere"))), "toy")


def test_a_damaged_name_is_no_epoch(ledger: Ledger) -> None:
    results = ResultsTable(ledger.store)
    row = results.read("epochs", sweep_id=ledger.sweep_id).to_pylist()[0]
    results.commit("epochs", sweep_id=ledger.sweep_id, commit="of-an-older-version", rows=[row])
    assert reader_of(ledger).read().seed_epochs == 11


def test_the_age_of_a_sweep_is_that_of_its_newest_row(tmp_path: Path) -> None:
    plan = make_plan()
    ledger = begin(LocalObjectStore(tmp_path), plan)
    record_trial(ledger, suggestions(plan, 1)[0], None, {1: 0.3, 2: 0.4})
    moment = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC).timestamp()
    for place in tmp_path.rglob("*.parquet"):
        os.utime(place, (moment, moment))
    (newest,) = tmp_path.rglob("*epoch0002.parquet")
    os.utime(newest, (moment + 90, moment + 90))
    state = reader_of(ledger).read()
    assert (state.newest_at, state.epochs_written_at) == (moment + 90, (moment, moment + 90))
    assert list_sweeps(ResultsTable(ledger.store))[0].newest_at == moment + 90


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"extend": 2, "architectures": ("cnn", "alexnet")},
        {"scheduler": "fifo", "seeds": (1,)},
        {"scheduler": "adaptive", "extend": 1},
        {"scheduler": "adaptive", "budget": 7.5, "architectures": ("cnn", "alexnet"), "extend": 3},
    ],
)
def test_what_is_planned_is_what_the_plan_says(settings: dict[str, Any]) -> None:

    plan = make_plan(**settings)
    row = {"kind": None, "settings": json.dumps({"sweep": dataclasses.asdict(plan.settings)})}
    planned = planned_by(row, extend=plan.settings.extend)
    assert planned is not None
    assert planned.num_trials == plan.num_trials
    if plan.settings.scheduler == "adaptive":
        assert planned.seed_epochs == int(plan.budget_epochs)
    else:
        assert planned.seed_epochs == plan.num_trials * len(plan.settings.seeds) * plan.settings.epochs
    assert planned.is_exact == (plan.settings.scheduler == "fifo")


def test_an_adaptive_sweep_is_over_when_what_it_has_begun_has_ended() -> None:

    settings = {
        "num_trials": 9,
        "architectures": ["cnn"],
        "seeds": [1],
        "epochs": 2,
        "scheduler": "adaptive",
        "budget": 3,
    }
    planned = planned_by({"kind": "sweep", "settings": json.dumps({"sweep": settings})}, extend=0)
    assert planned is not None
    assert planned.is_over(num_suggested=4, num_ended=4)
    assert not planned.is_over(num_suggested=4, num_ended=3)
    assert not planned.is_over(num_suggested=0, num_ended=0)
