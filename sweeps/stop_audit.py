"""What an audit of stops is: a random share of the trials that a search stopped, to be run to their end.

Enters: what became of the trials of a sweep. Leaves: the trials that are drawn. Nothing in the sweep follows from an
audit: no study, rung, leaderboard or confirmation hears of it.

Every stopped trial is drawn or not by itself, by a hash of the sweep's seed and its id: in whatever order trials were
stopped, and whichever follow when a sweep is extended, the draw of each stays what it was. So the number that is drawn
varies, and of few stopped trials it may be none. To force one into the audit would cost a small sweep a whole training
for a share of 0 or 1 in 1, of which the interval is as good as everything from 0 to 1; `share=1` audits all.
"""

from collections.abc import Iterable
from dataclasses import replace

from storage.identity import derive_seed
from sweeps.records import Suggestion, TrialRecord

_NUM_SEEDS = 2**63  # that `derive_seed` has


def audit_id(sweep_id: str) -> str:
    """One audit a sweep: with a larger share it grows."""
    return f"{sweep_id}-audit"


def is_drawn(trial_id: str, *, searcher_seed: int, share: float) -> bool:
    """Whether a trial is audited if it is stopped; with a larger share, too."""
    return derive_seed("audit of stops", searcher_seed, trial_id) < share * _NUM_SEEDS


def draw_stops(records: Iterable[TrialRecord], *, searcher_seed: int, share: float) -> tuple[Suggestion, ...]:
    """The stopped trials that are audited, under the numbers that they have in the sweep."""
    return tuple(
        replace(record.suggestion, of_trial=record.suggestion.config.trial_id)
        for record in records
        if record.state == "stopped"
        and is_drawn(record.suggestion.config.trial_id, searcher_seed=searcher_seed, share=share)
    )
