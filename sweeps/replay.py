"""A sweep's suggestions made again from its rows, whatever ran at once and however often it was killed.

Enters: the records of a ledger. Leaves: the suggestions, as the code of today makes them. What each
knew is in the rows: all smaller numbers had been suggested, and of their ends it knew those that say so (`known_from`).
A process that takes a sweep up makes in this way the one suggestion that may be missing: `suggest_what_was_decided`.
"""

from collections.abc import Iterable, Iterator, Sequence

from sweeps.past_decisions import as_at, live_decisions
from sweeps.plan import SweepPlan
from sweeps.records import Decision, Suggestion, TrialRecord, TrialState
from sweeps.studies import Studies
from sweeps.turn_search import TurnSearch
from sweeps.turns import SearchLedger, Turn


class ReplayDiffers(Exception):
    """Another version of this code or of its packages suggests otherwise; what follows cannot be compared."""

    def __init__(self, recorded: Suggestion, again: Suggestion | None) -> None:
        told = "nothing" if again is None else dict(again.parameters)
        super().__init__(f"number {recorded.number}: {dict(recorded.parameters)} then, {told} now")


class _NoLedger:
    """For what is recorded already."""

    def decide(self, decision: Decision) -> None:
        """Nothing."""

    def suggest(self, suggestion: Suggestion) -> None:
        """Nothing."""

    def end(
        self,
        suggestion: Suggestion,
        *,
        state: TrialState,
        seed_epochs: int,
        objective: float | None,
        known_from: int | None,
    ) -> None:
        """Nothing."""


def replay(
    plan: SweepPlan, records: Sequence[TrialRecord], earlier: Iterable[TrialRecord] = ()
) -> Iterator[Suggestion]:
    """The sweep's suggestions, each made again and found equal to the recorded one.

    Of a sweep with trials that were given up it may differ: that one process left a trial alone, and told its study so,
    is not recorded.

    Args:
        records: of the whole sweep, in the order of their numbers; of an adaptive one, see `replay_turns`.
        earlier: what the sweep started with (`warm_start.take_earlier`).

    Raises:
        ReplayDiffers: one is not.
    """
    ends = sorted((record for record in records if record.state is not None), key=lambda record: record.told_at)
    studies = Studies(plan, earlier)
    for record in records:
        number = record.suggestion.number
        while ends and ends[0].told_at[0] <= number:
            studies.tell(ends.pop(0))
        again = studies.suggest(number)
        if again != record.suggestion:
            raise ReplayDiffers(record.suggestion, again)
        yield again


def replay_turns(
    plan: SweepPlan,
    records: Sequence[TrialRecord],
    decisions: Sequence[Decision],
    earlier: Sequence[TrialRecord] = (),
) -> Iterator[Turn]:
    """Likewise the turns of an adaptive sweep, each decided again.

    Of a sweep with trials that were given up it may differ, as above.

    Raises:
        ReplayDiffers: another trial is sent on, another one is begun, or it is sent elsewhere.
    """
    by_id = {record.suggestion.config.trial_id: record for record in records}
    search = TurnSearch(plan, _NoLedger(), (), (), earlier)
    sent: dict[str, int] = {}
    for decision in live_decisions(decisions, records):
        search.stand_as_at(decision, by_id, sent)
        recorded, turn = by_id[decision.trial_id].suggestion, search.next_turn()
        if turn is None or (turn.suggestion, turn.until) != (recorded, decision.until):
            raise ReplayDiffers(recorded, turn.suggestion if turn else None)
        sent[decision.trial_id] = decision.until
        yield turn


def suggest_what_was_decided(
    plan: SweepPlan,
    ledger: SearchLedger,
    records: Sequence[TrialRecord],
    decisions: Sequence[Decision],
    earlier: Sequence[TrialRecord] = (),
) -> list[TrialRecord]:
    """Does what a process did not come to that died between a decision and the suggestion of the trial to begin.

    The suggestion follows from what was known when it was decided, which is not what is known now. Where this code or
    its packages suggest otherwise than the ones that decided, the decision stays void.

    Returns:
        The records, the suggested trial's among them.
    """
    by_id = {record.suggestion.config.trial_id: record for record in records}
    if not decisions or decisions[-1].trial_id in by_id:
        return list(records)
    *before, last = decisions
    sent = {decision.trial_id: decision.until for decision in live_decisions(before, records)}
    then = [as_at(last, record, sent[trial_id]) for trial_id, record in by_id.items() if trial_id in sent]
    turn = TurnSearch(plan, _NoLedger(), then, before, earlier).decide_anew()
    if turn is None or (turn.suggestion.config.trial_id, turn.until) != (last.trial_id, last.until):
        return list(records)
    ledger.suggest(turn.suggestion)
    return [*records, TrialRecord(suggestion=turn.suggestion, state=None, objective=None, objectives={})]
