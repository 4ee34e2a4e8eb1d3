"""The audit of stops as rows of the results table tell it, on the page and in a line."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from reports import leaderboard, newest_sweep, render_page
from reports.audit_of_stops import judged_stops, stops_line, stops_section

if TYPE_CHECKING:
    from tests.reports.conftest import InventedSweep

NewSweep = Callable[..., "InventedSweep"]


def _stop(sweep: "InventedSweep", number: int, *, seed_epochs: int = 1) -> None:
    sweep.suggest(f"t{number}", number=number)
    sweep.end(f"t{number}", "stopped", number=number, seed_epochs=seed_epochs)


def _audited(new_sweep: NewSweep) -> "InventedSweep":
    """Three trials were stopped. Of two that were audited one would have led, and the other failed."""
    sweep = new_sweep()
    sweep.finished_trial("t0", number=0)
    for number in (1, 2, 3):
        _stop(sweep, number, seed_epochs=3 if number == 1 else 1)
    audit = new_sweep(sweep_id="sweep-1-audit", kind="audit", of_sweep="sweep-1")
    audit.suggest("t1", number=1, of_trial="t1")
    for seed in (1, 2, 3):
        audit.complete_seed("t1", seed, validation_accuracy=0.9)
    audit.end("t1", "finished", number=1, seed_epochs=9)
    audit.suggest("t2", number=2, of_trial="t2")
    audit.end("t2", "failed", number=2, seed_epochs=0)
    audit.suggest("t3", number=3, of_trial="t3")  # and is still open
    return sweep


def test_the_audit_is_found_and_judged(new_sweep: NewSweep) -> None:
    judged = judged_stops(_audited(new_sweep).load())
    assert (judged.num_stopped, judged.num_audited, judged.num_would_lead) == (3, 2, 1)
    assert [(one.stop.number, one.stop.kept, one.would_lead) for one in judged.audited] == [(1, 3, True), (2, 0, False)]
    assert judged.epochs_saved == 6 + 8 + 8


def test_a_line_and_a_section_tell_it(new_sweep: NewSweep) -> None:
    sweep = _audited(new_sweep).load()
    line = stops_line(sweep)
    assert line is not None
    assert "1 of 2 audited stops would have been the best of their architecture" in line
    assert "95 % interval 33.3 to 66.7 %" in line
    assert "mean regret 5.0 points, largest 10.0 points" in line
    section = str(stops_section(sweep))
    assert "22 seed-epochs of the stopped trials" in section
    assert "3 of 9" in section
    assert "failed" in section
    assert "Was it right to stop them?" in render_page(sweep, leaderboard(sweep))


def test_without_an_audit_the_page_says_that_nobody_knows(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    _stop(sweep, 0)
    assert stops_line(sweep.load()) is None
    assert "none was run to its end" in str(stops_section(sweep.load()))


def test_where_nothing_was_stopped_there_is_no_section(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    sweep.finished_trial("t0", number=0)
    assert stops_section(sweep.load()) is None


def test_an_audit_does_not_rank_among_the_sweeps_own_trials(new_sweep: NewSweep) -> None:
    sweep = _audited(new_sweep).load()
    assert [row.trial_id for row in leaderboard(sweep)] == ["t0"]
    assert newest_sweep(sweep.results) == "sweep-1"
