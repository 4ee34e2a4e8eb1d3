"""What an audit of stops says: counts, an exact interval, regret, and what it cost."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from reports.evidence.stops import Stop, judge_stops, share_among
from storage.errors import InvalidInput


def stop(number: int, score: float | None = None, *, architecture: str = "cnn", reached: int = 9) -> Stop:
    return Stop(
        number=number,
        architecture=architecture,
        reached=reached,
        whole=30,
        kept=reached // 10 * 10,
        is_audited=score is not None,
        score=score,
    )


_FINISHED = {"cnn": [0.7, 0.8], "alexnet": [0.5]}


def test_those_that_would_have_led_are_counted_and_their_regret_is_what_they_are_ahead() -> None:
    judged = judge_stops(
        [stop(0, 0.85), stop(1, 0.75), stop(2), stop(3, 0.6, architecture="alexnet")], finished=_FINISHED
    )
    assert (judged.num_stopped, judged.num_audited, judged.num_would_lead, judged.num_would_lead_all) == (4, 3, 2, 1)
    assert judged.share == pytest.approx(2 / 3)
    assert [one.stop.number for one in judged.audited] == [0, 1, 3]
    assert [one.regret for one in judged.audited] == pytest.approx([0.05, 0.0, 0.1])
    assert (judged.mean_regret, judged.largest_regret) == pytest.approx((0.05, 0.1))


def test_who_is_only_as_good_would_not_have_led() -> None:
    judged = judge_stops([stop(0, 0.8)], finished=_FINISHED)
    assert (judged.num_would_lead, judged.mean_regret) == (0, 0.0)


def test_a_trial_that_fails_when_it_is_run_to_its_end_was_stopped_rightly() -> None:
    failed = dataclasses.replace(stop(0), is_audited=True)
    judged = judge_stops([failed], finished=_FINISHED)
    assert (judged.num_audited, judged.num_would_lead, judged.mean_regret) == (1, 0, 0.0)


def test_without_a_finished_trial_to_compare_with_nothing_is_said() -> None:
    judged = judge_stops([stop(0, 0.3), stop(1, 0.2)], finished={})
    assert (judged.num_audited, judged.num_compared, judged.share, judged.interval) == (2, 0, None, None)
    assert (judged.mean_regret, judged.largest_regret) == (None, None)


def test_stops_of_an_architecture_of_which_nothing_finished_are_left_out_of_the_share() -> None:
    stops = [stop(0, 0.9), stop(1, 0.3, architecture="alexnet"), stop(2, architecture="alexnet")]
    judged = judge_stops(stops, finished={"cnn": [0.8]})
    assert (judged.num_compared, judged.share) == (1, 1.0)
    assert judged.interval is not None
    assert (judged.interval.low, judged.interval.high) == (1.0, 1.0)


def test_the_cost_of_an_audit_stands_against_what_all_stops_saved() -> None:
    judged = judge_stops([stop(0, 0.1, reached=3), stop(1, 0.1, reached=20), stop(2, reached=3)], finished=_FINISHED)
    assert judged.epochs_saved == 27 + 10 + 27
    assert judged.epochs_audited == 30 + 10  # two seeds of the second one had come to their end


def test_where_nothing_was_audited_nothing_is_said() -> None:
    judged = judge_stops([stop(0), stop(1)], finished=_FINISHED)
    assert (judged.num_stopped, judged.audited, judged.share, judged.interval) == (2, (), None, None)
    assert judged.mean_regret is None


@pytest.mark.parametrize(("num_hits", "num_tries"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (7, 400)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_among_very_many_the_interval_is_clopper_and_pearsons(num_hits: int, num_tries: int, level: float) -> None:
    ours = share_among(num_hits, num_tries, population=200_000, level=level)
    theirs = stats.binomtest(num_hits, num_tries).proportion_ci(confidence_level=level, method="exact")
    assert (ours.low, ours.high, ours.level) == pytest.approx((theirs.low, theirs.high, level), abs=2e-4)


def test_a_share_of_all_is_known() -> None:
    found = share_among(3, 18, population=18)
    assert (found.low, found.high) == (pytest.approx(3 / 18), pytest.approx(3 / 18))
    judged = judge_stops([stop(number, 0.85 if number < 3 else 0.1) for number in range(18)], finished=_FINISHED)
    assert judged.interval is not None
    assert (judged.interval.low, judged.interval.high) == (judged.share, judged.share)


def test_of_a_part_nothing_is_ruled_out_that_was_not_looked_at() -> None:
    """No hit among two of three: the third may be one. Of two hits among two of three, the third may be none."""
    assert share_among(0, 2, population=3).high == pytest.approx(1 / 3)
    assert share_among(2, 2, population=3).low == pytest.approx(2 / 3)


@pytest.mark.parametrize("num_in_all", [1, 5, 25, 49])
def test_the_interval_holds_the_share_at_least_as_often_as_it_says(num_in_all: int) -> None:
    """Summed over all outcomes, so that nothing is drawn."""
    population, num_tries = 50, 20
    hits = np.arange(max(0, num_tries - population + num_in_all), min(num_tries, num_in_all) + 1)
    found = [share_among(int(hit), num_tries, population=population) for hit in hits]
    holds = [interval.low <= num_in_all / population <= interval.high for interval in found]
    assert stats.hypergeom.pmf(hits, population, num_in_all, num_tries)[holds].sum() >= 0.95


@pytest.mark.parametrize(("num_hits", "num_tries"), [(0, 0), (3, 2), (-1, 2), (1, 8)])
def test_a_share_of_nothing_is_refused(num_hits: int, num_tries: int) -> None:
    with pytest.raises(InvalidInput, match="a part of one or more"):
        share_among(num_hits, num_tries, population=7)
