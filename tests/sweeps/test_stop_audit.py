"""Which stopped trials are audited: a draw of each by itself."""

import dataclasses
from collections.abc import Iterable

from sweep_toys import make_plan

from sweeps.records import Suggestion, TrialRecord, TrialState
from sweeps.stop_audit import audit_id, draw_stops, is_drawn

_CONFIG = make_plan().trial_config("cnn", {})


def records(numbers: Iterable[int], state: TrialState | None = "stopped") -> list[TrialRecord]:
    return [
        TrialRecord(
            suggestion=Suggestion(
                number=number,
                config=dataclasses.replace(_CONFIG, batch_size=number + 1),
                parameters={},
                distributions={},
                untuned_default=False,
            ),
            state=state,
            objective=0.5,
            objectives={1: 0.5},
        )
        for number in numbers
    ]


def drawn(found: list[TrialRecord], *, share: float, searcher_seed: int = 0) -> set[int]:
    return {one.number for one in draw_stops(found, searcher_seed=searcher_seed, share=share)}


def test_the_draw_of_a_trial_depends_on_nothing_but_itself_and_the_seed() -> None:
    whole = drawn(records(range(200)), share=0.2)
    assert drawn(records(range(199, -1, -1)), share=0.2) == whole
    assert drawn(records(range(100)), share=0.2) == {number for number in whole if number < 100}
    assert drawn(records(range(200)), share=0.2, searcher_seed=1) != whole


def test_about_the_share_is_drawn() -> None:
    num_drawn = sum(is_drawn(f"{number:016x}", searcher_seed=3, share=0.05) for number in range(10_000))
    assert 400 < num_drawn < 600  # 4.6 deviations


def test_a_larger_share_adds_trials_and_takes_none_away() -> None:
    few, many = (drawn(records(range(200)), share=share) for share in (0.1, 0.3))
    assert few < many


def test_all_or_none_may_be_asked_for() -> None:
    found = records(range(50))
    assert drawn(found, share=1.0) == set(range(50))
    assert drawn(found, share=0.0) == set()


def test_only_what_was_stopped_is_drawn_under_its_number_and_with_its_trial() -> None:
    found = [*records([0], "finished"), *records([1], "failed"), *records([2], None), *records([3])]
    (one,) = draw_stops(found, searcher_seed=0, share=1.0)
    assert (one.number, one.of_trial, one.config) == (3, one.config.trial_id, found[3].suggestion.config)
    assert audit_id("s-0") == "s-0-audit"
