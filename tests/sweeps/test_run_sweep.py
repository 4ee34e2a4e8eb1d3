"""Whole sweeps on a local Ray: rows in the results table, resume, failure, seeds as an axis."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sweep_toys import SWEEP_ROW, make_data, make_plan
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from storage.checkpoints import Checkpoints
from storage.local import LocalObjectStore
from storage.model_file import from_bytes, model_key
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from sweeps import SweepPlan, run_sweep
from sweeps.ledger import Ledger
from sweeps.loggers import LogSettings, TrialLogs
from sweeps.replay import replay
from sweeps.watch import run_info
from training import TrialConfig, TrialData, run_trial
from training.inference import Predictor
from training.progress import EpochMetrics

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def data() -> TrialData:
    return make_data()


def tables(store: ObjectStore, plan: SweepPlan) -> dict[str, pd.DataFrame]:
    names = ("suggestions", "trials", "seeds", "epochs", "predictions", "failures")
    return {name: ResultsTable(store).read(name, sweep_id=plan.sweep_id).to_pandas() for name in names}


@pytest.fixture(scope="module")
def logs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def undisturbed_store(
    data: TrialData, ray_local: Any, tmp_path_factory: pytest.TempPathFactory, logs_folder: Path
) -> ObjectStore:
    """Of one sweep at concurrency 1 that nothing disturbed."""
    store = open_store(str(tmp_path_factory.mktemp("undisturbed")))
    said: list[str] = []
    logs = TrialLogs(LogSettings(folder=str(logs_folder)), say=said.append)
    outcome = run_sweep(make_plan(), data, store, sweep_row=SWEEP_ROW, feature_spec={"num_mels": 16}, logs=logs)
    assert said == []
    assert (outcome.num_trials_run, outcome.num_trials_found, outcome.num_failed) == (4, 0, 0)
    return store


@pytest.fixture(scope="module")
def undisturbed(undisturbed_store: ObjectStore) -> dict[str, pd.DataFrame]:
    """The tables of that sweep."""
    return tables(undisturbed_store, make_plan())


@pytest.mark.slow
def test_a_finished_sweep_of_two_objectives_is_extended_and_replayed_from_its_rows(
    data: TrialData, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    values = {"num_trials": 2, "seeds": (1,), "epochs": 2, "scheduler": "fifo", "objectives": ("score", "latency_ms")}
    said: list[str] = []
    outcomes = [
        run_sweep(make_plan(**values, extend=extend), data, store, sweep_row=SWEEP_ROW, say=said.append)
        for extend in (0, 1, 1)
    ]
    assert [(outcome.num_trials_found, outcome.num_trials_run) for outcome in outcomes] == [(0, 2), (2, 1), (3, 0)]
    assert len({outcome.sweep_id for outcome in outcomes}) == 1
    assert said[1:3] == [
        "extended by 1 configurations per architecture, 1 in all",
        f"sweep {outcomes[0].sweep_id}: 3 trials over cnn on cpu",
    ]
    records = Ledger(ResultsTable(store), outcomes[0].sweep_id).records()
    assert all(record.measured[1]["latency_ms"] > 0 for record in records)
    assert [suggestion.number for suggestion in replay(make_plan(**values), records)] == [0, 1, 2]


def test_every_planned_trial_ends_once(undisturbed: dict[str, pd.DataFrame]) -> None:
    assert sorted(undisturbed["suggestions"]["number"]) == [0, 1, 2, 3]
    assert sorted(undisturbed["trials"]["trial_id"]) == sorted(undisturbed["suggestions"]["trial_id"])
    assert set(undisturbed["trials"]["state"]) <= {"finished", "stopped"}


def test_a_finished_trial_has_every_seed_and_a_stopped_one_no_more_than_it_earned(
    undisturbed: dict[str, pd.DataFrame],
) -> None:
    seeds = undisturbed["seeds"].groupby("trial_id")["seed"].apply(set).to_dict()
    for trial in undisturbed["trials"].itertuples():
        if trial.state == "finished":
            assert seeds[trial.trial_id] == {1, 2}
            assert trial.seed_epochs == 6
        else:
            assert trial.seed_epochs in (1, 3)
            assert seeds.get(trial.trial_id, set()) == ({1} if trial.seed_epochs == 3 else set())


def test_epochs_are_numbered_without_gaps(undisturbed: dict[str, pd.DataFrame]) -> None:
    for _, epochs in undisturbed["epochs"].groupby("trial_id"):
        assert sorted(epochs["seed_epoch"]) == list(range(1, len(epochs) + 1))


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """As Ray's workers have, or sums would end in other digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_trials_that_share_a_process_become_what_they_become_alone(
    data: TrialData, undisturbed: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    for suggestion in undisturbed["suggestions"].to_dict("records"):
        config = TrialConfig.from_dict(json.loads(suggestion["configuration"]))
        recorded = undisturbed["epochs"].query("trial_id == @config.trial_id").sort_values("seed_epoch")
        losses: list[float] = []

        def report(*, metrics: EpochMetrics, losses: list[float] = losses, of: int = len(recorded), **_: float) -> str:
            losses.append(metrics.validation_loss)
            return "stop" if len(losses) == of else ""

        run_trial(config, data, report, Checkpoints(store, config.trial_id))
        assert losses == recorded["validation_loss"].to_list()


def test_predictions_reproduce_the_accuracy_of_their_seed(undisturbed: dict[str, pd.DataFrame]) -> None:
    predictions = undisturbed["predictions"]
    correct = predictions.assign(correct=predictions["label"] == predictions["predicted"])
    accuracy = correct.groupby(["trial_id", "seed", "part"])["correct"].mean().to_dict()
    for seed in undisturbed["seeds"].itertuples():
        assert accuracy[seed.trial_id, seed.seed, "test"] == pytest.approx(seed.test_accuracy)
        assert accuracy[seed.trial_id, seed.seed, "validation"] == pytest.approx(seed.validation_accuracy)


def test_precisions_stand_beside_recalls_and_are_null_where_a_label_was_never_predicted(
    undisturbed: dict[str, pd.DataFrame],
) -> None:
    for seed in undisturbed["seeds"].to_dict("records"):
        confusion = np.stack(seed["test_confusion"])
        predicted = confusion.sum(axis=0)
        expected = np.where(predicted > 0, confusion.diagonal() / np.maximum(predicted, 1), np.nan)
        np.testing.assert_allclose(np.asarray(seed["test_precision"], dtype=float), expected)


def test_just_the_models_of_finished_trials_are_kept(
    undisturbed_store: ObjectStore, undisturbed: dict[str, pd.DataFrame]
) -> None:
    trials = undisturbed["trials"]
    finished = trials[trials["state"] == "finished"]["trial_id"]
    assert 0 < len(finished) < len(trials)
    expected = {model_key(make_plan().sweep_id, trial_id, seed) for trial_id in finished for seed in (1, 2)}
    assert {info.key for info in undisturbed_store.list("models/")} == expected


def test_a_kept_model_predicts_what_the_results_table_says(
    data: TrialData, undisturbed_store: ObjectStore, undisturbed: dict[str, pd.DataFrame]
) -> None:
    seed = undisturbed["seeds"].merge(undisturbed["trials"][["trial_id", "state"]]).query("state == 'finished'").iloc[0]
    key = model_key(make_plan().sweep_id, seed["trial_id"], seed["seed"])
    predictor = Predictor(*from_bytes(undisturbed_store.get(key), name=key))
    assert predictor.card.features == {"num_mels": 16}
    assert predictor.card.scores["test"]["accuracy"] == seed["test_accuracy"]
    found = dict(zip(data.parts["test"].clip_ids, predictor(data.parts["test"].log_mel), strict=True))
    rows = undisturbed["predictions"].query("trial_id == @seed.trial_id and seed == @seed.seed and part == 'test'")
    assert set(rows["clip_id"]) == set(found)
    for clip_id, said in zip(rows["clip_id"], rows["probabilities"], strict=True):
        np.testing.assert_allclose(found[clip_id], said, atol=1e-6)


def test_tensorboard_has_every_epoch_of_every_trial_and_the_scores_of_every_seed(
    logs_folder: Path, undisturbed: dict[str, pd.DataFrame]
) -> None:
    plan = make_plan()
    numbers = undisturbed["suggestions"].set_index("trial_id")["number"].to_dict()
    found = {}
    for (trial_id, seed), epochs in undisturbed["epochs"].groupby(["trial_id", "seed"]):
        folder = logs_folder / plan.sweep_id / f"{plan.sweep_id}-{numbers[trial_id]:04d}" / f"seed={seed}"
        found[trial_id, seed] = events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        losses = {event.step: event.value for event in events.Scalars("loss/validation")}
        assert losses == pytest.approx(dict(zip(epochs["epoch"], epochs["validation_loss"], strict=True)))
    for seed in undisturbed["seeds"].itertuples():
        (accuracy,) = found[seed.trial_id, seed.seed].Scalars("final/test/accuracy")
        assert (accuracy.step, accuracy.value) == (seed.epochs_trained, pytest.approx(seed.test_accuracy))
    assert len(list(logs_folder.rglob("seed=*"))) == len(found)


def test_a_trial_is_logged_with_what_was_searched_and_under_a_name_of_its_sweep() -> None:
    plan = make_plan()
    run = run_info(plan, 3, plan.trial_config("cnn", {"optimizer.learning_rate": 0.004}).to_dict())
    assert (run.name, run.group, run.run_id) == ("cnn #3", plan.sweep_id, f"{plan.sweep_id}-0003")
    assert run.hyperparameters["optimizer.learning_rate"] == 0.004
    assert run.hyperparameters["architecture"] == "cnn"
    assert set(run.hyperparameters) == {"architecture", *plan.space("cnn").distributions}


@pytest.mark.slow
def test_no_models_are_kept_where_nobody_wants_them(data: TrialData, tmp_path: Path) -> None:
    store, plan = open_store(str(tmp_path)), make_plan(num_trials=1, seeds=(1,), epochs=1, keep_models="none")
    assert plan.sweep_id == make_plan(num_trials=1, seeds=(1,), epochs=1).sweep_id
    run_sweep(plan, data, store, sweep_row=SWEEP_ROW, feature_spec={"num_mels": 16})
    assert list(store.list("models/")) == []


@pytest.mark.slow
def test_the_same_sweep_again_runs_nothing(data: TrialData, tmp_path: Path) -> None:
    store, plan = open_store(str(tmp_path)), make_plan(num_trials=2)
    run_sweep(plan, data, store, sweep_row=SWEEP_ROW)
    before = {info.key: store.get(info.key) for info in store.list("")}
    assert not any(key.startswith("checkpoints/") for key in before)
    outcome = run_sweep(plan, data, store, sweep_row=SWEEP_ROW)
    assert (outcome.num_trials_run, outcome.num_trials_found) == (0, 2)
    assert {info.key: store.get(info.key) for info in store.list("")} == before


class Stopped(Exception):
    """Stands for a driver that ends in the middle."""


@pytest.mark.slow
@pytest.mark.parametrize("after", [7, 2])
def test_a_sweep_taken_up_again_ends_as_the_undisturbed_one(
    data: TrialData, tmp_path: Path, undisturbed: dict[str, pd.DataFrame], after: int
) -> None:
    store, plan, heard = open_store(str(tmp_path)), make_plan(), 0

    def give_up(progress: Any) -> None:
        nonlocal heard
        heard += 1
        if heard == after:
            raise Stopped

    with pytest.raises(Stopped):
        run_sweep(plan, data, store, sweep_row=SWEEP_ROW, on_progress=give_up)
    assert heard == after
    run_sweep(plan, data, store, sweep_row=SWEEP_ROW)
    ours = tables(store, plan)
    for name, keys in {
        "suggestions": ["number"],
        "trials": ["number"],
        "epochs": ["trial_id", "seed_epoch"],
        "seeds": ["trial_id", "seed"],
        "predictions": ["trial_id", "seed", "part", "clip_id"],
    }.items():
        clocks = {"ended_at", "epoch_seconds", "train_seconds"}
        columns = [column for column in ours[name].columns if column not in clocks]
        pd.testing.assert_frame_equal(
            ours[name][columns].sort_values(keys, ignore_index=True),
            undisturbed[name][columns].sort_values(keys, ignore_index=True),
        )


def test_trials_whose_loss_is_not_finite_fail_without_a_retry_and_the_sweep_goes_on(
    data: TrialData, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    plan = make_plan(num_trials=2, architectures=("cnn",), trial={"model.width": 4, "optimizer.learning_rate": 1e30})
    outcome = run_sweep(plan, data, store, sweep_row=SWEEP_ROW)
    found = tables(store, plan)
    states = found["trials"].set_index("number")["state"].to_dict()
    assert outcome.num_failed == 2
    assert states == {0: "failed", 1: "failed"}
    assert found["failures"]["reason"].tolist() == ["not_finite", "not_finite"], found["failures"]["detail"].tolist()


@pytest.mark.slow
def test_a_trial_that_keeps_raising_is_given_up_but_stays_open_for_the_next_run(
    data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = open_store(str(tmp_path)), make_plan(num_trials=1, max_failures=1, trial={"model.width": "wide"})
    outcome = run_sweep(plan, data, store, sweep_row=SWEEP_ROW)
    found = tables(store, plan)
    assert (outcome.num_given_up, outcome.num_trials_run) == (1, 0)
    assert found["trials"].empty
    assert Counter(found["failures"]["reason"]) == {"ValueError": 2, "gave_up": 1}
    assert "width" in found["failures"].query("reason == 'ValueError'")["detail"].iloc[0]


@pytest.mark.slow
def test_a_trial_that_runs_out_of_memory_is_tried_again_and_stays_open(data: TrialData, tmp_path: Path) -> None:
    class Full(LocalObjectStore):  # local to this function, so that it travels to workers as it is
        def put_if_absent(self, key: str, data: bytes) -> bool:
            if "results/epochs/" in key:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().put_if_absent(key, data)

    plan = make_plan(num_trials=1, max_failures=1)
    outcome = run_sweep(plan, data, Full(tmp_path), sweep_row=SWEEP_ROW)
    found = tables(Full(tmp_path), plan)
    assert (outcome.num_given_up, outcome.num_trials_run, outcome.num_failed) == (1, 0, 0)
    assert found["trials"].empty
    assert Counter(found["failures"]["reason"]) == {"out_of_memory": 2, "gave_up": 1}


@pytest.mark.slow
def test_two_architectures_at_once_are_judged_among_their_own(data: TrialData, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    plan = make_plan(
        architectures=("cnn", "resnet50"),
        num_trials=1,
        seeds=(1,),
        epochs=2,
        grace_epochs=1,
        trial={},
        max_concurrent_trials=2,
    )
    run_sweep(plan, data, store, sweep_row=SWEEP_ROW)
    trials = tables(store, plan)["trials"]
    # Each is the only one of its architecture, so each goes on at every rung.
    assert sorted(zip(trials["architecture"], trials["state"], strict=True)) == [
        ("cnn", "finished"),
        ("resnet50", "finished"),
    ]


@pytest.mark.slow
def test_an_adaptive_sweep_ends_every_trial_once_and_spends_no_more_than_its_budget(
    data: TrialData, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    plan = make_plan(scheduler="adaptive", num_trials=8, budget=5.0)
    outcome = run_sweep(plan, data, store, sweep_row=SWEEP_ROW, feature_spec={"num_mels": 16})
    found = tables(store, plan)
    assert outcome.num_trials_run == len(found["suggestions"]) == len(found["trials"]) >= 4
    assert found["failures"].empty
    default = found["suggestions"].query("untuned_default")["trial_id"].item()
    assert set(found["seeds"].query("trial_id == @default")["seed"]) == {1, 2}
    assert found["trials"].set_index("trial_id")["state"][default] == "finished"
    assert len(found["epochs"]) == found["trials"]["seed_epochs"].sum() <= plan.budget_epochs
    decisions = ResultsTable(store).read("decisions", sweep_id=plan.sweep_id).to_pandas()
    assert sorted(decisions["decision"]) == list(range(len(decisions)))

    again = run_sweep(plan, data, store, sweep_row=SWEEP_ROW, feature_spec={"num_mels": 16})
    assert (again.num_trials_found, again.num_trials_run) == (len(found["trials"]), 0)
