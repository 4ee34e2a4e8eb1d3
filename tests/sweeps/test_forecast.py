"""What a sweep would train, by hand; what an epoch costs, by earlier rows and by a measurement."""

from pathlib import Path

import pytest
from ledger_toys import record_trial
from sweep_toys import SWEEP_ROW, make_plan

from storage.local import LocalObjectStore
from storage.results_table import ResultsTable
from sweeps.forecast import Rows, SeedEpochs, earlier_costs, measured_cost, seed_epochs
from sweeps.ledger import Ledger
from sweeps.plan import SweepPlan
from sweeps.rung_settings import RungSettings
from sweeps.studies import Studies
from training.stand_in import stand_in

ROWS = Rows(num_train=640, num_train_clips=640, num_validation=64)
LABELS = [("dog",), ("cat",), ("dog",)]


def halving(**settings: object) -> SweepPlan:
    values = {"num_trials": 9, "seeds": (1, 2), "epochs": 9, "grace_epochs": 1, "reduction_factor": 3}
    return make_plan(**{**values, **settings})


def test_without_rungs_all_is_trained() -> None:
    assert seed_epochs(halving(scheduler="fifo")) == SeedEpochs(most=9 * 2 * 9, likely=None)


def test_of_a_budget_no_more_is_trained() -> None:
    plan = make_plan(scheduler="adaptive", budget=7.5, epochs=4, seeds=(1, 2))
    assert seed_epochs(plan) == SeedEpochs(most=30, likely=None)


def test_rungs_let_a_third_go_on() -> None:
    # Nine to 1, three to 3, one to 9 and, as the best of one, to the end of the second seed.
    assert seed_epochs(halving()) == SeedEpochs(most=162, likely=9 * 1 + 3 * 2 + 1 * 6 + 1 * 9)
    assert seed_epochs(halving(architectures=("cnn", "alexnet"))).likely == 2 * 30
    # Rungs of the first seed alone: whoever comes to its end has all seeds.
    assert seed_epochs(halving(scheduler="asha")).likely == 30


def test_those_that_are_never_stopped_are_counted_to_the_end() -> None:
    spared = halving(rungs=RungSettings(never_stop_first=4))
    assert seed_epochs(spared).likely == 9 * 1 + 4 * 2 + 4 * 6 + 4 * 9


def test_brackets_begin_later() -> None:
    plan = halving(rungs=RungSettings(brackets=2), num_trials=8)
    late = sum(plan.bracket_of(place) == 1 for place in range(8))
    early = 8 - late
    by_hand = (
        early + max(early / 3, 1) * 2 + max(early / 9, 1) * 15 + late * 3 + max(late / 3, 1) * 6 + max(late / 9, 1) * 9
    )
    assert seed_epochs(plan).likely == round(by_hand)


def test_rows_of_an_earlier_sweep_tell_what_an_epoch_takes(tmp_path: Path) -> None:
    results, plan = ResultsTable(LocalObjectStore(tmp_path)), make_plan()
    assert earlier_costs(plan, results) == {}
    ledger, studies = Ledger(results, plan.sweep_id), Studies(plan)
    ledger.start(SWEEP_ROW)
    suggestion = studies.suggest(0)
    assert suggestion is not None
    record_trial(ledger, suggestion, None, {1: 0.3, 2: 0.4})  # of a second each
    (cost,) = earlier_costs(make_plan(name="other", num_trials=9), results).values()
    assert (cost.seconds, cost.source) == (1.0, f"median of 2 epochs of {plan.sweep_id}")
    elsewhere = make_plan(architectures=("alexnet",))
    assert earlier_costs(elsewhere, results) == {}
    on_gpu = SweepPlan(
        settings=plan.settings, dataset="toy-0", fingerprint="f" * 16, split_hash="5" * 16, device="cuda"
    )
    assert earlier_costs(on_gpu, results) == {}


def test_a_few_steps_tell_what_an_epoch_takes() -> None:
    cost = measured_cost(make_plan(), "cnn", ROWS, feature_shape=(16, 20), labels_of_clips=LABELS)
    assert cost.seconds is not None, cost.source
    assert 0.001 < cost.seconds < 60
    assert cost.source == "measured here, one trial alone in 1 threads"
    assert cost.peak_bytes
    assert cost.peak_bytes > 50e6  # torch itself
    assert cost.num_parameters
    assert cost.num_parameters > 100


def test_what_cannot_be_measured_is_unknown_and_says_why() -> None:
    cost = measured_cost(make_plan(), "cnn", ROWS, feature_shape=(1, 1), labels_of_clips=LABELS)
    assert cost.seconds is None
    assert cost.source.startswith("unknown: it could not be measured here (")


def test_a_stand_in_has_rows_for_some_steps_and_all_labels() -> None:
    config = make_plan(trial={"model.width": 4, "batch_size": 8}).trial_config("cnn", {})
    labels = [("b",), ("a", "c"), ("b",), ("d",)]
    data = stand_in(config, feature_shape=(16, 20), labels_of_clips=labels, num_scored=1000)
    assert data.labels == ("a", "b", "c", "d")
    assert data.is_multi_label
    assert {part: rows.log_mel.shape for part, rows in data.parts.items()} == {
        "train": (16, 16, 20),
        "validation": (256, 16, 20),
        "test": (1, 16, 20),
    }
    assert data.parts["train"].has_label.any(axis=0).all()


@pytest.mark.parametrize("several", [True, False])
def test_a_stand_in_has_several_labels_where_the_clips_have(several: bool) -> None:
    config = make_plan().trial_config("cnn", {})
    labels = [("a",), ("a", "b")] if several else [("a",), ("b",)]
    assert stand_in(config, feature_shape=(16, 20), labels_of_clips=labels, num_scored=1).is_multi_label is several
