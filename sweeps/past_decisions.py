"""Decisions of earlier processes: which of them something followed from, and what was known when they were made.

Pure functions over what a ledger has.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sweeps.records import Decision, TrialRecord


def live_decisions(decisions: Sequence[Decision], records: Iterable[TrialRecord]) -> list[Decision]:
    """Those that something followed from, in their order.

    Void is one whose process died before the suggestion and whose trial was not suggested; or later, by another
    decision: that one leads no less far, or trials with smaller numbers were begun in between.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, decision in reversed(list(enumerate(decisions))):
        after = places[decision.trial_id]
        if not after or decision.until < decisions[after[0]].until:
            after.insert(0, place)
    found, begun_at = set[int](), -1
    for record in sorted(records, key=lambda record: record.suggestion.number):
        of_trial = [place for place in places[record.suggestion.config.trial_id] if place > begun_at]
        found.update(of_trial)
        begun_at = min(of_trial, default=begun_at)
    return [decision for place, decision in enumerate(decisions) if place in found]


def as_at(decision: Decision, record: TrialRecord, sent: int) -> TrialRecord:
    """A trial as it was known when a decision was made.

    Args:
        sent: the seed-epoch to which it had been sent.
    """
    has_ended = record.known_from is not None and record.known_from <= decision.number
    # A turn may end behind where it was to lead: a seed that stops early stands at its end.
    at_rest = min((epoch for epoch in record.objectives if epoch >= sent), default=sent)
    reached = math.inf if has_ended else decision.heard.get(record.suggestion.config.trial_id, at_rest)
    return replace(
        record,
        state=record.state if has_ended else None,
        objectives={epoch: objective for epoch, objective in record.objectives.items() if epoch <= reached},
    )
