"""Experiments on a local Ray: every fold and seed once, resumable, with out-of-fold predictions and embeddings."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from experiment_toys import FOLDER, make_plan, run, table, toy_features, toy_splits

from storage.errors import InvalidInput
from storage.object_store import ObjectStore, open_store
from storage.out_of_fold import out_of_fold
from sweeps.news import FoldEnded, FoldNews, News, SeedNews
from sweeps.pooled_scores import mean_scores, pooled_evaluations
from sweeps.run_experiment import ExperimentOutcome


class TestPlan:
    def test_the_same_plan_is_the_same_experiment_and_how_it_is_run_does_not_matter(self) -> None:
        assert make_plan().experiment_id == make_plan(max_concurrent_trials=2, cpus_per_trial=2.0).experiment_id
        others = [make_plan(epochs=3), make_plan(seeds=(1,)), make_plan(trial={"model.width": 8}), make_plan(name="x")]
        assert len({plan.experiment_id for plan in [make_plan(), *others]}) == 5

    def test_another_fold_or_device_is_another_experiment(self) -> None:
        plan = make_plan()
        one_fold = dataclasses.replace(plan, split_hashes={1: plan.split_hashes[1]})
        on_gpu = dataclasses.replace(plan, device="cuda")
        assert len({plan.experiment_id, one_fold.experiment_id, on_gpu.experiment_id}) == 3

    def test_other_clips_in_quarantine_make_another_experiment_of_other_trials(self) -> None:
        plan = make_plan()
        retried = dataclasses.replace(plan, quarantine_hash="9" * 16)
        assert plan.experiment_id != retried.experiment_id
        assert plan.trial_config(1).trial_id != retried.trial_config(1).trial_id

    def test_values_left_open_are_those_of_the_space_or_of_the_recipe(self) -> None:
        assert make_plan().trial_config(1).augment.roll
        assert not make_plan(begin_with="plain").trial_config(1).augment.roll
        assert make_plan(architecture="timm/resnet10t", trial={}).trial_config(1).batch_size == 32

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"trial": {"optimizer.learning_rat": 1}}, r"train\.trial\.optimizer\.learning_rat.*Did you mean"),
            ({"trial": {"model.widht": 1}}, r"train\.architecture: cnn.*widht"),
            ({"architecture": "resnet51"}, r"train\.architecture: got 'resnet51'.*resnet50"),
            ({"architecture": "timm/no_such_thing"}, r"train\.architecture: got 'timm/no_such_thing'"),
            ({"architecture": "timm/resnet5", "trial": {"weights": "hub"}}, r"train\.architecture: .*: resnet50"),
            ({"trial": {"optimizer.learning_rate": -1.0}}, r"optimizer\.learning_rate"),
            ({"name": "../x"}, r"train\.name"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, settings: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidInput, match=words):
            make_plan(**settings).check(feature_shape=(16, 20))


@pytest.fixture(scope="module")
def finished(ray_local: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, list[News]]:
    store, heard = open_store(str(tmp_path_factory.mktemp("experiment"))), list[News]()
    outcome = run(make_plan(), store, heard)
    assert outcome == ExperimentOutcome(num_found=0, num_run=2, failed={})
    return store, heard


Finished = tuple[ObjectStore, list[News]]


def test_every_fold_and_seed_is_trained_once_and_heard_of(finished: Finished) -> None:
    store, heard = finished
    epochs = [(news.fold, news.news.seed, news.news.metrics.epoch) for news in heard if isinstance(news, FoldNews)]
    assert sorted(epochs) == [(fold, seed, epoch) for fold in (1, 2) for seed in (1, 2) for epoch in (1, 2)]
    assert [news.fold for news in heard if isinstance(news, FoldEnded)] == [1, 2]
    seeds = [(news.fold, news.result.seed) for news in heard if isinstance(news, SeedNews)]
    assert sorted(seeds) == [(fold, seed) for fold in (1, 2) for seed in (1, 2)]
    assert [row["state"] for row in table(store, "trials")] == ["finished"] * 2
    assert sorted(row["fold"] for row in table(store, "suggestions")) == [1, 2]
    assert table(store, "sweeps")[0]["kind"] == "experiment"
    assert not list(store.list("checkpoints/"))


def _out_of_fold(store: ObjectStore) -> pa.Table:
    plan = make_plan()
    return out_of_fold(store, plan.experiment_id, plan.fold_trials(), folder=FOLDER)


def test_every_clip_is_answered_once_a_seed_by_a_model_that_has_not_seen_its_fold(finished: Finished) -> None:
    rows = _out_of_fold(finished[0])
    splits = toy_splits(toy_features())
    assert sorted(zip(rows["seed"].to_pylist(), rows["clip_id"].to_pylist(), strict=True)) == sorted(
        (seed, clip_id) for seed in (1, 2) for clip_id in toy_features().clip_ids
    )
    assert all(splits[row["fold"]].has(row["clip_id"], "test") for row in rows.to_pylist())
    assert rows["group"].to_pylist() == rows["clip_id"].to_pylist()  # as the toys are grouped
    assert {len(values) for values in rows["embedding"].to_pylist()} == {16}  # four times the width
    assert np.isfinite(np.array(rows["embedding"].to_pylist())).all()


def test_the_scores_of_all_folds_together_are_those_of_their_clips(finished: Finished) -> None:
    rows = _out_of_fold(finished[0])
    evaluations = pooled_evaluations(rows, num_labels=2, is_multi_label=False)
    correct = np.array(rows["label"]) == np.array(rows["predicted"])
    for seed in (1, 2):
        assert evaluations[seed].accuracy == pytest.approx(correct[np.array(rows["seed"]) == seed].mean())
    mean, deviation = mean_scores(evaluations)["accuracy"]
    assert mean == pytest.approx(correct.mean())
    assert deviation == pytest.approx(np.std([evaluations[seed].accuracy for seed in (1, 2)], ddof=1))


def test_the_same_experiment_again_trains_nothing(finished: Finished) -> None:
    store, heard = finished[0], list[News]()
    before = {info.key: store.get(info.key) for info in store.list("")}
    assert run(make_plan(), store, heard) == ExperimentOutcome(num_found=2, num_run=0, failed={})
    assert heard == [FoldEnded(number=0, fold=1, state="finished"), FoldEnded(number=1, fold=2, state="finished")]
    assert {info.key: store.get(info.key) for info in store.list("")} == before


def test_a_fold_whose_rows_were_lost_is_trained_again_to_the_same_numbers(finished: Finished, tmp_path: Path) -> None:
    store, copy = finished[0], open_store(str(tmp_path))
    lost = [row["trial_id"] for row in table(store, "suggestions") if row["fold"] == 2]
    for info in store.list(""):
        if not (lost[0] in info.key and "/suggestions/" not in info.key):
            copy.put(info.key, store.get(info.key))
    assert run(make_plan(), copy) == ExperimentOutcome(num_found=1, num_run=1, failed={})
    assert _without_clocks(table(copy, "seeds")) == _without_clocks(table(store, "seeds"))
    assert _out_of_fold(copy).equals(_out_of_fold(store))


def _without_clocks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [{name: value for name, value in row.items() if name != "train_seconds"} for row in rows]
    return sorted(kept, key=lambda row: (row["trial_id"], row["seed"]))


@pytest.mark.usefixtures("ray_local")
def test_training_that_fails_is_told_and_costs_no_other_fold(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    plan = make_plan(trial={"model.width": 4, "batch_size": 8, "optimizer.learning_rate": 1e30}, seeds=(1,))
    outcome = run(plan, store)
    assert outcome.num_run == 0
    assert all("not_finite" in reason for reason in outcome.failed.values())
    assert set(outcome.failed) == {1, 2}
    again = run(plan, store)
    assert (again.num_run, set(again.failed)) == (0, {1, 2})
