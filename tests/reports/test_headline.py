"""What is told to be the best: the search's first, or, once a confirmation is complete, the first of the confirmed."""

import json
from pathlib import Path

import pytest
from sample_sweep import SampleSweep

from jobs.stages import print_scores
from jobs.sweep import _models_of_best
from reports import leaderboard, load_sweep, render_page, sweep_json
from reports.finals import Finals, finals_of
from reports.sweep_results import SweepResults
from storage.model_file import model_key
from tests.reports.test_page import PageReader

BETTER = {"alexnet": 0.35}  # so that what the search had last comes first


@pytest.fixture
def sample(tmp_path: Path) -> SampleSweep:
    """The search's first is a cnn."""
    sample = SampleSweep(root=tmp_path / "store", architectures=("cnn", "alexnet"), num_trials=3, num_clips=40)
    sample.write()
    return sample


def loaded(sample: SampleSweep) -> tuple[SweepResults, Finals]:
    sweep = load_sweep(sample.results, sample.sweep_id)
    return sweep, finals_of(sweep, leaderboard(sweep))


def headline(sweep: SweepResults) -> str:
    """The text from the headline to the leaderboard."""
    text = PageReader(render_page(sweep, leaderboard(sweep))).text
    return text[text.index("Best configuration") : text.index("Leaderboard")]


def test_the_first_of_a_confirmation_is_the_best_with_its_own_number_and_interval(sample: SampleSweep) -> None:
    sample.confirm(seeds=(1, 2, 3), skills=BETTER)
    sweep, finals = loaded(sample)
    assert leaderboard(sweep)[0].architecture == "cnn"
    first = finals.scores[0]
    assert first.finalist.architecture == "alexnet"
    told = headline(sweep)
    assert "Best configuration, confirmed" in told
    assert "architecturealexnet" in told
    assert f"{100 * first.score.mean:.1f} ± {100 * (first.score.deviation or 0):.1f} %" in told
    assert first.score.interval is not None
    assert f"{100 * first.score.interval.low:.1f} to {100 * first.score.interval.high:.1f} %" in told
    assert "over clips and 3 seeds, for this one fold" in told
    assert f"rank {next(r.rank for r in leaderboard(sweep) if r.number == first.finalist.number)} of its" in told


def test_over_folds_the_number_is_that_of_the_sweeps_own_test_clips(sample: SampleSweep) -> None:
    sample.confirm(folds=(1, 5), seeds=(1, 2), skills=BETTER)
    sweep, finals = loaded(sample)
    first = finals.scores[0]
    assert first.untouched is not None
    told = headline(sweep)
    assert told.index(f"{100 * first.untouched.mean:.1f} ±") < told.index(f"{100 * first.score.mean:.1f} ±")
    assert "on the sweep's own test clips, mean ± standard deviation over 2 seeds; 40 test clips" in told
    assert "on all folds, too good by the choice" in told
    page = PageReader(render_page(sweep, leaderboard(sweep))).text
    assert f"alexnet, trial {first.finalist.number}, 2 folds together; 80 test clips × 2 seeds = 160" in page


def test_a_trial_that_the_search_stopped_can_be_the_best(tmp_path: Path) -> None:
    sample = SampleSweep(root=tmp_path / "store", architectures=("cnn",), num_trials=4, num_clips=40)
    sample.write()
    confirmed = sample.confirm(seeds=(1,), places=(2, 3))
    sweep, finals = loaded(sample)
    number = finals.finalists[0].number
    assert number in (2, 3)
    told = headline(sweep)
    assert f"trial {number}, which the search did not train to the end" in told
    assert "for this one seed and fold" in told
    assert _models_of_best(sweep) == [model_key(confirmed, f"t{number}cNone", 1)]


def test_before_a_confirmation_is_complete_the_best_is_the_searchs(sample: SampleSweep) -> None:
    later = sample.confirm(seeds=(1, 2), skills=BETTER)
    sample.suggest(later, "tx", "cnn", 99, {}, seeds=(1, 2), of_trial="t9")
    sweep, _ = loaded(sample)
    assert "architecturecnn" in headline(sweep)
    best = leaderboard(sweep)[0]
    assert _models_of_best(sweep) == [model_key(sweep.sweep_id, best.trial_id, best.seeds[0])]


def test_the_model_to_use_is_the_confirmed_configurations(sample: SampleSweep) -> None:
    confirmed = sample.confirm(folds=(1, 5), seeds=(1, 2), skills=BETTER)
    sweep, finals = loaded(sample)
    trial = f"t{finals.finalists[0].number}"
    searched = [model_key(sweep.sweep_id, trial, seed) for seed in (42, 123, 999)]
    own = [model_key(confirmed, f"{trial}c{fold}", seed) for seed in (1, 2) for fold in (1, 5)]
    assert _models_of_best(sweep) == [*searched, *own]


def test_a_terminal_shows_what_was_confirmed(sample: SampleSweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep, _ = loaded(sample)
    print_scores(sweep)
    assert "Confirmed" not in capsys.readouterr().out
    confirmed = sample.confirm(folds=(1, 5), seeds=(1, 2), skills=BETTER)
    print_scores(sweep)
    told = capsys.readouterr().out
    assert f"Confirmed: {confirmed} (ranked by validation; test: on the sweep's own test clips" in " ".join(
        told.split()
    )
    assert "2 × 2" in told


def test_programs_are_told_statistics_and_what_was_confirmed(sample: SampleSweep) -> None:
    sweep, own = loaded(sample)
    before = json.loads(sweep_json(sweep))
    assert [row["number"] for row in before["leaderboard"]] == [row.number for row in leaderboard(sweep)]
    assert (before["statistics"]["of"], before["statistics"]["is_confirmation"]) == (sweep.sweep_id, False)
    assert len(before["statistics"]["pairs"]) == len(own.tests.comparisons if own.tests else ())
    assert before["audit"] is None
    confirmed = sample.confirm(folds=(1, 5), seeds=(1, 2), skills=BETTER)
    _, finals = loaded(sample)
    told = json.loads(sweep_json(sweep))["statistics"]
    first, score = told["configurations"][0], finals.scores[0]
    assert (told["of"], first["architecture"]) == (confirmed, "alexnet")
    assert score.untouched is not None
    assert score.untouched.interval is not None
    assert first["test_untouched"]["mean"] == score.untouched.mean
    assert first["test_untouched"]["low"] == score.untouched.interval.low
    assert first["num_test_clips_untouched"] == 40
    assert all(0 <= pair["p"] <= pair["p_holm"] <= 1 for pair in told["pairs"])
