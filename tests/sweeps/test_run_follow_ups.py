"""Confirmations and audits on a local Ray: what the sweep has is taken over, the rest is trained, once."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from experiment_toys import toy_features, toy_splits
from follow_up_toys import make_plan, own_split, rows, search, train

from reports import load_sweep
from reports.untouched_clips import untouched_clips
from storage.model_file import model_key
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from storage.split import Split, save_split
from sweeps import SweepPlan
from sweeps.confirmation import ConfirmationPlan
from sweeps.follow_ups import AuditSettings, ConfirmSettings
from sweeps.ledger import Ledger
from sweeps.news import FoldEnded, FoldNews, News
from sweeps.run_follow_ups import audit_trials, confirmation_trials, draw_audit, find_confirmation, run_follow_up
from sweeps.run_planned import PlannedOutcome, PlannedTrials

_ROW = {
    "dataset": "toy-0",
    "fingerprint": "f" * 16,
    "split_hash": "",
    "split_policy": "",
    "labels": ["alarm", "bell"],
    "settings": "{}",
    "versions": "{}",
}


class ToyFeatures:
    """Stands for a `FeatureStore`, as far as planned trials on log-mels look at one."""

    def __init__(self, store: ObjectStore) -> None:
        self.store, self.num_loaded = store, 0

    def load(self) -> Any:
        self.num_loaded += 1
        return toy_features()


def _plan(**confirm: Any) -> SweepPlan:
    return make_plan(confirm=ConfirmSettings(**confirm), audit=AuditSettings(share=1.0))


def _splits(over_folds: bool) -> dict[int | None, Split]:
    return dict(toy_splits(toy_features()).items()) if over_folds else {None: own_split()}


def _confirmation(plan: SweepPlan, store: ObjectStore) -> ConfirmationPlan:
    found = find_confirmation(plan, ResultsTable(store), _splits(plan.settings.confirm.folds))
    assert found is not None
    return found


def _run(
    planned: PlannedTrials,
    store: ObjectStore,
    *,
    kind: str = "confirmation",
    features: ToyFeatures | None = None,
    feature_spec: Mapping[str, Any] | None = None,
    heard: list[News] | None = None,
    on_news: Any = None,
) -> PlannedOutcome:
    splits = {split.split_hash: split for split in _splits(True).values()}
    return run_follow_up(
        planned,
        features or ToyFeatures(store),  # type: ignore[arg-type]
        splits,
        sweep_row={**_ROW, "kind": kind},
        feature_spec=feature_spec,
        on_news=on_news or (lambda news: heard.append(news) if heard is not None else None),
    )


@pytest.fixture(scope="module")
def ended(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    """A store with an ended sweep; read by all tests, written by none."""
    store = open_store(str(tmp_path_factory.mktemp("ended")))
    search(_plan(), store)
    return store


@pytest.fixture
def own(ended: ObjectStore, tmp_path: Path) -> ObjectStore:
    store = open_store(str(tmp_path))
    for info in ended.list(""):
        store.put(info.key, ended.get(info.key))
    return store


def test_what_the_sweep_has_whole_is_confirmed_without_any_training(own: ObjectStore) -> None:
    plan, features, heard = _plan(best=2), ToyFeatures(own), list[News]()
    confirmation = _confirmation(plan, own)
    planned = confirmation_trials(confirmation)
    assert _run(planned, own, features=features, heard=heard) == PlannedOutcome(num_found=2, num_run=0, failed={})
    assert features.num_loaded == 0
    assert heard == [FoldEnded(number=0, fold=None, state="finished"), FoldEnded(number=1, fold=None, state="finished")]
    (row,) = rows(own, "sweeps", planned.run_id)
    assert (row["kind"], row["of_sweep"], row["protocol"]) == ("confirmation", plan.sweep_id, "honest")
    of_sweep = {row["trial_id"]: row for row in rows(own, "trials", plan.sweep_id)}
    for trial in rows(own, "trials", planned.run_id):
        theirs = of_sweep[trial["trial_id"]]
        assert [trial[name] for name in ("state", "seed_epochs", "objective")] == [
            theirs[name] for name in ("state", "seed_epochs", "objective")
        ]
    before = {info.key for info in own.list("")}
    assert _run(planned, own).num_found == 2
    assert {info.key for info in own.list("")} == before


def test_further_seeds_alone_are_trained(own: ObjectStore) -> None:
    plan, heard = _plan(seeds=(1, 2, 3)), list[News]()
    planned = confirmation_trials(_confirmation(plan, own))
    outcome = _run(planned, own, heard=heard, feature_spec={"num_mels": 16})
    num_trials = len(planned.suggestions)
    assert outcome == PlannedOutcome(num_found=0, num_run=num_trials, failed={})
    assert {news.news.seed for news in heard if isinstance(news, FoldNews)} == {3}
    trials = rows(own, "trials", planned.run_id)
    assert [(row["state"], row["seed_epochs"]) for row in trials] == [("finished", 6)] * num_trials
    for trial in trials:
        seeds = [row for row in rows(own, "seeds", planned.run_id) if row["trial_id"] == trial["trial_id"]]
        assert [row["seed"] for row in seeds] == [1, 2, 3]
        assert trial["objective"] == pytest.approx(sum(row["validation_score"] for row in seeds) / 3)
        assert {info.key for info in own.list(f"models/{planned.run_id}/{trial['trial_id']}/")} == {
            model_key(planned.run_id, trial["trial_id"], 3)
        }
    assert not list(own.list("checkpoints/"))


class Stopped(Exception):
    """Stands for a driver that ends in the middle."""


@pytest.mark.slow
def test_a_confirmation_over_folds_that_is_interrupted_ends_as_an_undisturbed_one(own: ObjectStore) -> None:
    plan = _plan(folds=True)
    planned = confirmation_trials(_confirmation(plan, own))
    assert {(one.fold, one.of_trial) for one in planned.suggestions} == {
        (fold, one.of_trial) for fold in (1, 2) for one in planned.suggestions
    }
    for stop_after in (1, 4):
        heard: list[News] = []

        def stop(news: News, heard: list[News] = heard, stop_after: int = stop_after) -> None:
            heard.append(news)
            if len(heard) == stop_after:
                raise Stopped

        with pytest.raises(Stopped):
            _run(planned, own, on_news=stop)
    _run(planned, own)
    for one in planned.suggestions:
        if one.fold == 1:  # which is the split of the sweep, and taken over from there
            continue
        train(one.config, own, "undisturbed")
        for table in ("epochs", "seeds", "predictions"):
            ours, theirs = (
                [{**row, "sweep_id": ""} for row in rows(own, table, run_id) if row["trial_id"] == one.config.trial_id]
                for run_id in (planned.run_id, "undisturbed")
            )
            assert ours == theirs
            assert ours
    assert [row["state"] for row in rows(own, "trials", planned.run_id)] == ["finished"] * len(planned.suggestions)
    assert _confirmation(plan, own).confirmation_id == planned.run_id


def test_clips_that_had_no_part_in_the_choice_can_be_told_from_the_others(own: ObjectStore) -> None:
    plan, results = _plan(folds=True), ResultsTable(own)
    for split in _splits(True).values():
        save_split(own, split)
    confirmation = _confirmation(plan, own).confirmation_id
    Ledger(results, confirmation).start({**_ROW, "kind": "confirmation", "of_sweep": plan.sweep_id})
    untouched = untouched_clips(load_sweep(results, confirmation))
    assert untouched == untouched_clips(load_sweep(results, plan.sweep_id)) == set(own_split().clip_ids("test"))
    assert untouched < {clip_id for split in _splits(True).values() for clip_id in split.clip_ids("test")}


def test_stopped_trials_are_run_to_their_end_and_the_sweep_stays_as_it_is(own: ObjectStore) -> None:
    plan = _plan()
    before = {info.key: own.get(info.key) for info in own.list("") if plan.sweep_id in info.key}
    drawn = draw_audit(plan, ResultsTable(own))
    assert (len(drawn.suggestions), drawn.num_stopped) == (1, 1)
    planned, heard = audit_trials(plan, drawn), list[News]()
    assert planned.run_id == f"{plan.sweep_id}-audit"
    assert _run(planned, own, kind="audit", heard=heard).num_run == 1
    assert {news.news.seed for news in heard if isinstance(news, FoldNews)} == {2}  # its first seed had come to its end
    (trial,) = rows(own, "trials", planned.run_id)
    (suggestion,) = rows(own, "suggestions", planned.run_id)
    assert (trial["state"], trial["seed_epochs"]) == ("finished", 4)
    assert (suggestion["number"], suggestion["of_trial"]) == (2, trial["trial_id"])
    assert {key: own.get(key) for key in before} == before
    assert {record.state for record in Ledger(ResultsTable(own), plan.sweep_id).records()} == {"finished", "stopped"}
    assert _run(planned, own, kind="audit") == PlannedOutcome(num_found=1, num_run=0, failed={})


def test_an_audit_with_a_smaller_share_trains_nothing_that_it_does_not_draw(own: ObjectStore) -> None:
    plan = _plan()
    planned = audit_trials(plan, draw_audit(plan, ResultsTable(own)))
    none = dataclasses.replace(planned, suggestions=())
    assert _run(none, own, kind="audit") == PlannedOutcome(num_found=0, num_run=0, failed={})
