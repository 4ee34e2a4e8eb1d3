"""The leaderboard: who is on it, in which order, with which numbers."""

import json
import statistics
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports import (
    best_of_each_architecture,
    leaderboard,
    leaderboard_header,
    leaderboard_lines,
    load_sweep,
    newest_sweep,
    to_json,
    trial_summaries,
)
from reports.related import sweep_of
from storage.errors import InvalidInput
from storage.object_store import open_store
from storage.results_table import ResultsTable

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

NAN = float("nan")


def test_rows_are_ranked_by_validation_and_never_by_test(invented: "InventedSweep") -> None:
    invented.finished_trial("good-on-test", number=0, validation_accuracy=0.70, test_accuracy=0.99)
    invented.finished_trial("good-on-validation", number=1, validation_accuracy=0.80, test_accuracy=0.50)
    rows = leaderboard(invented.load())
    assert [(row.rank, row.trial_id) for row in rows] == [(1, "good-on-validation"), (2, "good-on-test")]


def test_ties_go_to_validation_macro_f1_and_then_to_the_earlier_trial(invented: "InventedSweep") -> None:
    invented.finished_trial("late", number=2, validation_macro_f1=0.6)
    invented.finished_trial("early", number=1, validation_macro_f1=0.6)
    invented.finished_trial("higher-f1", number=3, validation_macro_f1=0.7)
    assert [row.trial_id for row in leaderboard(invented.load())] == ["higher-f1", "early", "late"]


def test_the_same_accuracies_in_another_order_are_a_tie(invented: "InventedSweep") -> None:
    for number, accuracies in enumerate([(0.3, 0.1, 0.2), (0.1, 0.2, 0.3)]):
        invented.suggest(f"t{number}", number=number)
        for seed, accuracy in zip((1, 2, 3), accuracies, strict=True):
            invented.complete_seed(f"t{number}", seed, validation_accuracy=accuracy)
    assert [row.number for row in leaderboard(invented.load())] == [0, 1]


def test_a_configuration_with_a_missing_seed_has_no_row(invented: "InventedSweep") -> None:
    invented.suggest("incomplete", number=0, seeds=(1, 2, 3))
    for seed in (1, 2, 7):  # three rows, but not the three that were asked for
        invented.complete_seed("incomplete", seed, validation_accuracy=0.99)
    invented.finished_trial("complete", number=1)
    assert [row.trial_id for row in leaderboard(invented.load())] == ["complete"]


def test_a_seed_that_was_not_asked_for_does_not_count(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    for seed, accuracy in ((1, 0.5), (2, 0.7), (9, 0.0)):
        invented.complete_seed("t0", seed, test_accuracy=accuracy)
    (row,) = leaderboard(invented.load())
    assert row.seeds == [1, 2]
    assert row.test_accuracy_mean == pytest.approx(0.6)


def test_deviations_are_sample_deviations_over_seeds(invented: "InventedSweep") -> None:
    accuracies = {1: 0.894, 2: 0.893, 3: 0.909}
    invented.suggest("t0")
    for seed, accuracy in accuracies.items():
        invented.complete_seed("t0", seed, test_accuracy=accuracy, validation_accuracy=accuracy, test_macro_f1=accuracy)
    (row,) = leaderboard(invented.load())
    expected = statistics.stdev(accuracies.values())
    assert row.test_accuracy_std == pytest.approx(expected)
    assert row.validation_accuracy_std == pytest.approx(expected)
    assert row.test_macro_f1_std == pytest.approx(expected)
    assert row.test_accuracy_mean == pytest.approx(statistics.mean(accuracies.values()))


def test_a_single_seed_has_no_deviation(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(5,))
    invented.complete_seed("t0", 5)
    (row,) = leaderboard(invented.load())
    assert (row.test_accuracy_std, row.validation_accuracy_std, row.test_macro_f1_std) == (None, None, None)


def test_a_diverged_seed_ranks_last(invented: "InventedSweep") -> None:
    invented.finished_trial("diverged", number=0, validation_accuracy=NAN)
    invented.finished_trial("poor", number=1, validation_accuracy=0.1)
    invented.finished_trial("fair", number=2, validation_accuracy=0.5)
    assert [row.trial_id for row in leaderboard(invented.load())] == ["fair", "poor", "diverged"]


def test_recall_is_averaged_per_label_and_absent_classes_stay_empty(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.complete_seed("t0", 1, test_recall=[0.5, 1.0, NAN], test_auc=None)
    invented.complete_seed("t0", 2, test_recall=[0.7, 0.0, NAN], test_auc=None)
    (row,) = leaderboard(invented.load())
    assert row.test_recall_mean == {"dog": pytest.approx(0.6), "rain": pytest.approx(0.5), "clock": None}
    assert row.test_auc_mean is None


def test_precision_is_averaged_over_the_seeds_that_predicted_the_label(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    invented.complete_seed("t0", 1, test_precision=[0.5, None, None])
    invented.complete_seed("t0", 2, test_precision=[0.7, 0.4, None])
    (row,) = leaderboard(invented.load())
    assert row.test_precision_mean == {"dog": pytest.approx(0.6), "rain": pytest.approx(0.4), "clock": None}


def test_a_sweep_recorded_without_precisions_has_none(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    (row,) = leaderboard(invented.load())
    assert set(row.test_precision_mean.values()) == {None}


def test_json_is_valid_best_first_and_has_null_for_no_value(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1,), parameters={})
    invented.complete_seed(
        "t0", 1, test_recall=[0.5, 1.0, NAN], test_auc=NAN, test_macro_f1=NAN, validation_accuracy=0.5
    )
    invented.finished_trial("t1", number=1, validation_accuracy=0.9)
    text = to_json(leaderboard(invented.load()))
    best, other = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert best["configuration"] == {"learning_rate": 0.001, "dropout": 0.3, "untuned_default": False}
    assert best["seeds"] == [1, 2, 3]
    assert best["test_accuracy_std"] == pytest.approx(0.0)
    assert other["configuration"] == {"untuned_default": True}
    assert other["test_recall_mean"] == {"dog": 0.5, "rain": 1.0, "clock": None}
    assert (other["test_auc_mean"], other["test_macro_f1_mean"], other["test_accuracy_std"]) == (None, None, None)


def test_terminal_cells_are_percent_with_deviation(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2), parameters={"learning_rate": 0.00123456, "mixup": True})
    invented.complete_seed("t0", 1, test_accuracy=0.80, test_auc=None)
    invented.complete_seed("t0", 2, test_accuracy=0.84, test_auc=None)
    sweep = invented.load()
    (cells,) = leaderboard_lines(sweep, leaderboard(sweep))
    named = dict(zip(leaderboard_header(sweep), cells, strict=True))
    assert named["test accuracy"] == "82.0 ± 2.8 %"
    assert named["configuration"] == "learning_rate 0.00123, mixup True"
    assert named["test AUC"] == "–"


def test_the_best_of_each_architecture_is_its_highest_row(invented: "InventedSweep") -> None:
    invented.finished_trial("cnn-low", number=0, architecture="cnn", validation_accuracy=0.5)
    invented.finished_trial("cnn-high", number=1, architecture="cnn", validation_accuracy=0.7)
    invented.finished_trial("resnet", number=2, architecture="resnet", validation_accuracy=0.6)
    best = best_of_each_architecture(leaderboard(invented.load()))
    assert {name: row.trial_id for name, row in best.items()} == {"cnn": "cnn-high", "resnet": "resnet"}


def test_the_newest_sweep_is_the_one_that_started_last(new_sweep: "Callable[..., InventedSweep]") -> None:
    first = new_sweep(sweep_id="z-older")
    started = first.load().sweep["started_at"]
    new_sweep(sweep_id="a-newer", started_at=started + timedelta(seconds=1))
    assert newest_sweep(first.results) == "a-newer"


def test_an_empty_store_is_named_in_the_error(tmp_path: Path) -> None:
    results = ResultsTable(open_store(str(tmp_path / "empty")))
    with pytest.raises(InvalidInput, match="Run a sweep first"):
        newest_sweep(results)
    with pytest.raises(InvalidInput, match="holds no sweep"):
        load_sweep(results, "sweep-1")


@pytest.mark.parametrize("given", ["../../x", "a/b", ""])
def test_what_cannot_be_an_id_of_a_sweep_is_refused_as_one(invented: "InventedSweep", given: str) -> None:
    assert sweep_of(invented.results, given) == given
    with pytest.raises(InvalidInput, match=r"^sweep id: .*; allowed: sweep-1"):
        load_sweep(invented.results, given)


def test_a_name_without_its_hash_gets_the_ids_that_begin_with_it(invented: "InventedSweep") -> None:
    for name in ("first-0123456789ab", "first-ba9876543210", "first-ba9876543210-audit"):
        row = invented.results.read("sweeps").to_pylist()[0]
        invented.results.commit("sweeps", sweep_id=name, commit="sweep", rows=[{**row, "sweep_id": name}])
    ids = "'first-0123456789ab' or 'first-ba9876543210' or 'first-ba9876543210-audit'"
    with pytest.raises(InvalidInput, match=rf"Did you mean {ids}\? "):
        load_sweep(invented.results, "first")


def test_a_misspelt_sweep_id_gets_the_nearest_one(invented: "InventedSweep") -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'sweep-1'"):
        load_sweep(invented.results, "sweep-2")


def test_predictions_are_read_on_first_use_and_are_of_one_trial(invented: "InventedSweep") -> None:
    sweep = invented.load()
    invented.predict("t0", 1, "clip-1", label=0, predicted=2)
    invented.predict("t01", 1, "clip-2", label=0, predicted=1)
    found = sweep.predictions_of("t0")[["clip_id", "predicted"]].to_dict("records")
    assert found == [{"clip_id": "clip-1", "predicted": 2}]


def test_summaries_say_what_became_of_every_trial(invented: "InventedSweep") -> None:
    invented.finished_trial("done", number=0)
    invented.fail("done", reason="worker died")
    for number, trial_id in enumerate(["cut", "broken", "running", "planned"], start=1):
        invented.suggest(trial_id, number=number)
    invented.train("cut", 1, (0.1, 0.2))
    invented.end("cut", "stopped", number=1, seed_epochs=2)
    invented.fail("broken", reason="out of memory")
    invented.end("broken", "failed", number=2, seed_epochs=0, objective=None)
    invented.train("running", 1, (0.1,))
    done, cut, broken, running, planned = trial_summaries(invented.load())
    assert [trial.state for trial in (done, cut, broken, running, planned)] == [
        "finished",
        "stopped",
        "failed",
        "open",
        "waiting",
    ]
    assert "3 of 3 seeds complete" in done.why
    assert "1 failed attempt, last: worker died" in done.why
    assert "after 2 seed-epochs" in cut.why
    assert (broken.why, broken.objective) == ("out of memory", None)
    assert (running.seed_epochs, running.objective) == (1, 0.1)
    assert (planned.seed_epochs, planned.objective) == (0, None)


def test_a_trial_that_failed_and_finished_later_is_finished(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    started = invented.load().sweep["started_at"]
    invented.end("t0", "failed", ended_at=started + timedelta(minutes=1))
    (trial,) = trial_summaries(invented.load())
    assert trial.state == "finished"
