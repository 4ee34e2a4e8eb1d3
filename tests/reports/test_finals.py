"""Who enters the statistics of a sweep, and from which rows; what the page says of it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from sample_sweep import SampleSweep

from reports import finals as finals_module
from reports import leaderboard, load_sweep
from reports.evidence import accuracy, answers_of, compare, estimate
from reports.finalists import best_and_defaults, finalists_of_sweep
from reports.finals import BEGUN, Finals, finals_of, finals_sections
from reports.related import related_ids
from reports.sweep_results import SweepResults
from reports.untouched_clips import untouched_clips
from storage.split import Split, save_split
from tests.reports.conftest import START

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep


@pytest.fixture
def sample(tmp_path: Path) -> SampleSweep:
    """Two architectures, two trials each, the default and another one, all trained to the end."""
    return SampleSweep(root=tmp_path / "store", architectures=("cnn", "alexnet"), num_trials=2, num_clips=40)


def page_text(sweep: SweepResults, finals: Finals) -> str:
    return "".join(section or "" for section in finals_sections(sweep, finals))


def finals_and_sweep(sample: SampleSweep) -> tuple[Finals, SweepResults]:
    sweep = load_sweep(sample.results, sample.sweep_id)
    return finals_of(sweep, leaderboard(sweep)), sweep


def test_without_a_confirmation_they_are_the_sweeps_own_and_the_page_says_so(sample: SampleSweep) -> None:
    sample.write()
    finals, sweep = finals_and_sweep(sample)
    assert [finalist.number for finalist in finals.finalists] == [row.number for row in leaderboard(sweep)]
    assert finals.confirmation is None
    assert {finalist.num_folds for finalist in finals.finalists} == {1}
    text = page_text(sweep, finals)
    assert "as no confirmation is complete" in text
    assert "test played no part in any choice" in text


def test_of_many_trials_the_best_of_each_architecture_and_its_default_are_taken(invented: "InventedSweep") -> None:
    for number in range(6):
        invented.suggest(f"t{number}", number=number, parameters={} if number == 5 else None)
        for seed in (1, 2, 3):
            invented.complete_seed(f"t{number}", seed, validation_accuracy=0.9 - 0.1 * number)
    sweep = invented.load()
    finalists = finalists_of_sweep(sweep, leaderboard(sweep))
    assert [finalist.name for finalist in finalists] == ["cnn #0", "cnn #1", "cnn #2", "cnn #5 default"]
    assert [finalist.name for finalist in best_and_defaults(finalists)] == ["cnn #0", "cnn #5 default"]


def test_a_default_that_is_the_best_is_tested_against_the_best_that_was_searched(sample: SampleSweep) -> None:
    sample.write()
    finals, _ = finals_and_sweep(sample)
    assert finals.tests is not None
    assert len(finals.tests.names) == 4
    assert {name for name in finals.tests.names if name.endswith("default")} == {"cnn #0 default", "alexnet #2 default"}


def test_confirmed_configurations_that_diverged_rank_last_and_have_dashes(sample: SampleSweep) -> None:
    sample.write()
    sample.confirm(seeds=(1, 2), skills={"cnn": float("nan")})
    finals, sweep = finals_and_sweep(sample)
    assert [finalist.architecture for finalist in finals.finalists] == ["alexnet", "alexnet", "cnn", "cnn"]
    assert "nan" not in page_text(sweep, finals)


def test_those_that_are_in_no_pair_as_there_are_too_many_are_named(
    sample: SampleSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finals_module, "MOST_IN_PAIRS", 3)
    sample.write()
    finals, sweep = finals_and_sweep(sample)
    assert finals.tests is not None
    assert len(finals.tests.names) == 3
    (left_out,) = finals.test_reasons
    assert left_out not in finals.tests.names
    assert f"{left_out}: no more than 3 configurations are tested in pairs" in page_text(sweep, finals)


def test_scores_intervals_and_tests_are_those_of_the_predictions(sample: SampleSweep) -> None:
    sample.write()
    finals, sweep = finals_and_sweep(sample)
    rows = sample.results.read("predictions", sweep_id=sample.sweep_id).to_pandas()
    assert finals.tests is not None
    pair = finals.tests.names[0], finals.tests.names[-1]
    trial_ids = [f"t{score.finalist.number}" for name in pair for score in finals.scores if score.finalist.name == name]
    cubes = [accuracy(answers_of(rows, {trial_id: 0}, num_labels=len(sweep.labels))) for trial_id in trial_ids]
    first = next(score for score in finals.scores if score.finalist.name == pair[0])
    assert first.score.interval == estimate(cubes[0]).interval
    assert first.score.mean == pytest.approx(sweep.seeds_of(trial_ids[0], (42, 123, 999))["test_accuracy"].mean())
    assert finals.tests.comparisons[pair].p_value == compare(*cubes).p_value
    assert finals.tests.comparisons[pair].p_adjusted >= finals.tests.comparisons[pair].p_value
    assert all(p >= 0 for by_seed in finals.tests.p_mcnemar.values() for p in by_seed.values())


def test_only_the_predictions_of_finalists_are_read(sample: SampleSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sample.write()
    sweep = load_sweep(sample.results, sample.sweep_id)
    fetched: list[str] = []
    get = sample.results.store.get

    def noted(key: str) -> bytes:
        fetched.append(key)
        return get(key)

    monkeypatch.setattr(sample.results.store, "get", noted)
    best = leaderboard(sweep)[:1]
    assert finals_of(sweep, best).scores
    predictions = [key for key in fetched if key.startswith("results/predictions/")]
    assert {key.rpartition("/")[2].partition("-")[0] for key in predictions} == {best[0].trial_id}


def test_a_confirmation_takes_the_place_of_the_sweeps_own_trials(sample: SampleSweep) -> None:
    sample.write()
    confirmed = sample.confirm(seeds=(1, 2, 3, 4, 5))
    finals, sweep = finals_and_sweep(sample)
    assert finals.confirmation is not None
    assert finals.confirmation.sweep_id == confirmed
    assert [finalist.number for finalist in finals.finalists] == [0, 1, 2, 3]
    assert {finalist.seeds for finalist in finals.finalists} == {(1, 2, 3, 4, 5)}
    means = [finalist.validation_mean for finalist in finals.finalists]
    assert means == sorted(means, reverse=True)
    assert confirmed in page_text(sweep, finals)


def test_over_folds_the_sweeps_own_test_clips_are_told_apart(sample: SampleSweep) -> None:
    sample.write()
    sample.confirm(folds=(1, 5), seeds=(1, 2))
    finals, sweep = finals_and_sweep(sample)
    first = finals.scores[0]
    assert (first.score.num_clips, first.score.num_folds) == (80, 2)
    assert first.untouched is not None
    assert (first.untouched.num_clips, first.untouched.num_folds) == (40, 1)
    rows = first.finalist.source.predictions_of("t0c5")
    assert first.finalist.number == 0
    assert first.untouched.mean == pytest.approx((rows["label"] == rows["predicted"]).mean())
    text = page_text(sweep, finals)
    assert "too good by what the choice of configurations is worth" in text
    assert "looks better against an untuned default than it is" in text
    assert "test played no part" not in text


def test_a_confirmation_on_another_fold_than_the_sweeps_is_not_said_to_be_untouched(sample: SampleSweep) -> None:
    sample.write()  # its test clips are those of fold 5
    sample.confirm(folds=(3,), seeds=(1, 2))
    finals, sweep = finals_and_sweep(sample)
    assert {(score.num_untouched, score.untouched) for score in finals.scores} == {(0, None)}
    text = page_text(sweep, finals)
    assert "None of its 40 test clips is known to be one of the sweep" in text
    assert "test played no part" not in text


def test_a_confirmation_on_the_fold_that_is_the_sweeps_test_part_is_untouched(sample: SampleSweep) -> None:
    sample.write()
    sample.confirm(folds=(5,), seeds=(1, 2))
    finals, sweep = finals_and_sweep(sample)
    assert finals.is_untouched
    assert "test played no part in any choice" in page_text(sweep, finals)


def test_confirmed_trials_that_the_sweep_stopped_do_not_hide_which_clips_are_untouched(tmp_path: Path) -> None:
    sample = SampleSweep(root=tmp_path / "store", architectures=("cnn",), num_trials=4, num_clips=40)
    sample.write()
    sample.confirm(folds=(1, 5), seeds=(1, 2), places=(2, 3))  # which were stopped, and have no predictions there
    finals, sweep = finals_and_sweep(sample)
    assert {finalist.number for finalist in finals.finalists} == {2, 3}
    assert {score.num_untouched for score in finals.scores} == {40}
    text = page_text(sweep, finals)
    assert "only the sweep&#x27;s own 40 had no part in the search" in text


def test_untouched_clips_are_those_of_the_split_where_it_is_stored(sample: SampleSweep) -> None:
    sample.write()
    split = Split(
        dataset="esc10-0123",
        policy="by hand",
        parts={"a": "train", "b": "validation", "c": "test"},
        groups={"a": "a", "b": "b", "c": "c"},
    )
    store = sample.results.store
    store.put(f"splits/{split.dataset}/{'a' * 16}.json", b"damaged")
    sweep = load_sweep(sample.results, sample.sweep_id)
    assert len(untouched_clips(sweep)) == 40
    sweep.sweep["split_hash"] = save_split(store, split)
    assert untouched_clips(sweep) == {"c"}


def test_a_configuration_that_fails_in_the_confirmation_is_left_out_and_counted(sample: SampleSweep) -> None:
    sample.write()
    confirmed = sample.confirm(seeds=(1, 2))
    sample.suggest(confirmed, "tx", "cnn", 99, {}, seeds=(1, 2), of_trial="t9")
    sample.complete(confirmed, "tx", "cnn", 1, 0.9)
    end = {"trial_id": "tx", "number": 99, "architecture": "cnn", "state": "failed"}
    sample.commit("trials", confirmed, "tx", [{**end, "seed_epochs": 9, "objective": None, "ended_at": START}])
    finals, sweep = finals_and_sweep(sample)
    assert 9 not in [finalist.number for finalist in finals.finalists]
    assert (finals.num_failed, finals.begun) == (1, None)
    assert "1 configuration of it failed and left out" in page_text(sweep, finals)


def test_a_confirmation_that_has_just_begun_changes_nothing_yet(sample: SampleSweep) -> None:
    sample.write()
    later = f"{sample.sweep_id}-confirmation-1"
    sample.begin(later, {}, kind="confirmation", of_sweep=sample.sweep_id)
    sample.suggest(later, "t0c", "cnn", 0, {}, seeds=(1, 2), of_trial="t0")
    finals, sweep = finals_and_sweep(sample)
    assert finals.confirmation is None
    assert "A confirmation has begun" in page_text(sweep, finals)
    assert BEGUN not in page_text(sweep, finals)  # nothing of it is complete


def test_an_incomplete_confirmation_stands_beside_the_sweeps_own_trials(sample: SampleSweep) -> None:
    sample.write()
    later = sample.confirm(seeds=(1, 2))
    sample.suggest(later, "tx", "cnn", 99, {}, seeds=(1, 2), of_trial="t9")
    finals, sweep = finals_and_sweep(sample)
    assert finals.confirmation is None
    assert {finalist.source.sweep_id for finalist in finals.finalists} == {sample.sweep_id}
    text = page_text(sweep, finals)
    assert BEGUN in text
    assert f"The confirmation {later} has 4 configurations complete and 1 still open" in text


def test_a_later_confirmation_takes_the_place_of_a_complete_one_once_it_is_complete(sample: SampleSweep) -> None:
    sample.write()
    first = sample.confirm(seeds=(1, 2), name="a")
    later = sample.confirm(seeds=(1,), places=(0,), name="b", started_at=START + timedelta(days=1))
    sample.suggest(later, "tx", "cnn", 99, {}, seeds=(1,), of_trial="t1")
    finals, sweep = finals_and_sweep(sample)
    assert finals.confirmation is not None
    assert finals.confirmation.sweep_id == first
    assert BEGUN not in page_text(sweep, finals)
    sample.complete(later, "tx", "cnn", 1, 0.5)
    whole, _ = finals_and_sweep(sample)
    assert whole.confirmation is not None
    assert whole.confirmation.sweep_id == later


def test_without_predictions_there_are_dots_but_no_interval_and_the_reason_is_told(invented: "InventedSweep") -> None:
    invented.finished_trial("t0", number=0)
    sweep = invented.load()
    finals = finals_of(sweep, leaderboard(sweep))
    assert (finals.scores, finals.tests, list(finals.reasons)) == ([], None, ["cnn #0"])
    text = page_text(sweep, finals)
    assert "Left out: 1 configuration" in text
    assert "Every seed of the best configurations" in text


def test_one_seed_is_told_to_be_about_these_models_alone(tmp_path: Path) -> None:
    sample = SampleSweep(root=tmp_path / "store", architectures=("cnn",), num_trials=2, num_clips=30, seeds=(42,))
    sample.write()
    finals, sweep = finals_and_sweep(sample)
    text = page_text(sweep, finals)
    assert "With one seed, it is about these trained models" in text
    assert "in 15 groups), for this one seed and fold." in text
    assert "a single seed does not tell how many would decide" in text
    assert "nan" not in text


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_sweep_of_which_nothing_finished_has_sections_without_numbers(
    new_sweep: "Callable[..., InventedSweep]", state: str
) -> None:
    invented = new_sweep()
    invented.suggest("t0")
    invented.train("t0", 1, (0.3,))
    invented.end("t0", state, seed_epochs=1)
    sweep = invented.load()
    finals = finals_of(sweep, leaderboard(sweep))
    text = page_text(sweep, finals)
    assert "Shown once a configuration has all its seeds complete" in text
    assert "Two configurations with stored predictions" in text


def test_a_class_without_a_test_clip_has_a_dash_and_disturbs_no_interval(invented: "InventedSweep") -> None:
    invented.suggest("t0", seeds=(1, 2))
    for seed in (1, 2):
        invented.complete_seed("t0", seed, test_confusion=[[3, 1, 0], [1, 3, 0], [0, 0, 0]])
        for clip in range(8):
            label = clip % 2
            predicted = label if clip > seed else 1 - label
            invented.predict("t0", seed, f"c{clip}", label=label, predicted=predicted, probabilities=[0.5, 0.4, 0.1])
    sweep = invented.load()
    (score,) = finals_of(sweep, leaderboard(sweep)).scores
    assert score.score.interval is not None
    assert not pd.isna(score.macro_f1.mean)


def test_of_several_labels_macro_auc_has_the_interval_and_no_clip_is_right_or_wrong(
    new_sweep: "Callable[..., InventedSweep]",
) -> None:
    invented = new_sweep(labels=[f"l{number}" for number in range(5)])
    for number in (0, 1):
        invented.several_labels(f"t{number}", number=number)
    sweep = invented.load()
    finals = finals_of(sweep, leaderboard(sweep))
    assert finals.scores[0].score.interval is not None
    assert 0.5 < finals.scores[0].score.mean < 1.0
    text = page_text(sweep, finals)
    assert "Test macro ROC-AUC" in text
    assert "McNemar" not in text


def test_only_follow_ups_of_the_sweep_itself_are_taken_the_newest_first(
    new_sweep: "Callable[..., InventedSweep]",
) -> None:
    sweep = new_sweep()
    for place, (sweep_id, kind, of_sweep) in enumerate(
        [
            ("sweep-1-confirmation-a", "confirmation", "sweep-1"),
            ("sweep-1-confirmation-b", "confirmation", "sweep-1"),
            ("sweep-1-audit", "audit", "sweep-1"),
            ("sweep-10-confirmation-a", "confirmation", "sweep-10"),
            ("sweep-1-confirmation-x", "confirmation", "sweep-1-confirmation"),
        ]
    ):
        new_sweep(sweep_id=sweep_id, kind=kind, of_sweep=of_sweep, started_at=START + timedelta(hours=place))
    assert related_ids(sweep.load(), "confirmation") == ["sweep-1-confirmation-b", "sweep-1-confirmation-a"]
    assert related_ids(sweep.load(), "audit") == ["sweep-1-audit"]
