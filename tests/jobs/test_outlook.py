"""How long a sweep may still take."""

import datetime
from typing import Any

import pytest

from jobs.outlook import outlook
from storage.sweep_state import Fate, Planned, SweepState, TrialState

START = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
NOW = START.timestamp() + 3600


def trial(number: int, fate: Fate, seed_epochs: int) -> TrialState:
    return TrialState(
        trial_id=f"t{number}",
        number=number,
        architecture="cnn",
        fold=None,
        fate=fate,
        num_seeds=2,
        num_seeds_complete=0,
        epochs=10,
        seed_epochs=seed_epochs,
        objective=None,
    )


def state(*trials: TrialState, written_at: tuple[float, ...] = (), **planned: Any) -> SweepState:
    values = {"num_trials": 6, "seed_epochs": 120, "is_exact": False, **planned}
    return SweepState(
        sweep_id="s",
        kind="sweep",
        of_sweep=None,
        dataset="d",
        started_at=START,
        settings={},
        planned=Planned(**values),
        trials=trials,
        failures=(),
        epochs_written_at=written_at,
        newest_at=max(written_at, default=START.timestamp()),
    )


ENDED = (trial(0, "finished", 20), trial(1, "stopped", 3), trial(2, "stopped", 7))


def test_what_may_come_is_all_of_what_has_not_ended() -> None:
    found = outlook(state(*ENDED, trial(3, "open", 4), trial(4, "waiting", 0)), now=NOW, window_minutes=10)
    assert found.most_to_come == 3 * 20 - 4
    assert found.likely_to_come == (10 - 4) + 10 + 10  # those that have ended had ten each


def test_of_few_ended_trials_nothing_is_foretold() -> None:
    assert outlook(state(*ENDED[:2]), now=NOW, window_minutes=10).likely_to_come is None


def test_where_no_trial_is_stopped_all_of_it_comes() -> None:
    found = outlook(state(*ENDED, is_exact=True), now=NOW, window_minutes=10)
    assert (found.most_to_come, found.likely_to_come) == (60, None)


def test_an_adaptive_sweep_has_the_rest_of_its_budget() -> None:
    open_ = state(*ENDED, trial(3, "open", 4), seed_epochs=50, begins_all=False)
    found = outlook(open_, now=NOW, window_minutes=10)
    assert (found.most_to_come, found.likely_to_come) == (50 - 34, None)
    over = state(*ENDED, trial(3, "open", 40), seed_epochs=50, begins_all=False)
    assert outlook(over, now=NOW, window_minutes=10).most_to_come == 0


@pytest.mark.parametrize(
    ("window_minutes", "per_minute"),
    [(10.0, 0.2), (30.0, 0.1), (600.0, 4 / 60)],  # never over more than the sweep's own time
)
def test_the_pace_is_that_of_the_last_minutes(window_minutes: float, per_minute: float) -> None:
    written_at = (NOW - 2000, NOW - 1200, NOW - 300, NOW - 5)
    found = outlook(state(*ENDED, written_at=written_at), now=NOW, window_minutes=window_minutes)
    assert found.per_minute == pytest.approx(per_minute)
    assert found.most_minutes == pytest.approx(60 / per_minute)


def test_a_clock_that_is_behind_the_stores_sees_a_pace() -> None:
    found = outlook(state(*ENDED, written_at=(NOW - 60, NOW)), now=NOW - 7200, window_minutes=10)
    assert found.per_minute == pytest.approx(0.2)


def test_without_a_pace_there_is_no_end() -> None:
    found = outlook(state(*ENDED), now=NOW, window_minutes=10)
    assert (found.per_minute, found.most_minutes, found.likely_minutes) == (0.0, None, None)


def test_of_a_sweep_that_is_over_nothing_is_left() -> None:
    over = state(*(trial(number, "stopped", 3) for number in range(6)))
    found = outlook(over, now=NOW, window_minutes=10)
    assert (found.most_to_come, found.likely_to_come) == (0, None)
