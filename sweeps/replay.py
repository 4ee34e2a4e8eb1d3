"""A sweep's suggestions made again from its rows, whatever ran at once and however often it was killed.

Enters: the records of a ledger. Leaves: the suggestions, as the code of today makes them. What each
knew is in the rows: all smaller numbers had been suggested, and of their ends it knew those that say so (`known_from`).
"""

from collections.abc import Iterable, Iterator, Sequence

from sweeps.ledger import Suggestion, TrialRecord
from sweeps.plan import SweepPlan
from sweeps.studies import Studies


class ReplayDiffers(Exception):
    """Another version of this code or of its packages suggests otherwise; what follows cannot be compared."""

    def __init__(self, recorded: Suggestion, again: Suggestion | None) -> None:
        told = "nothing" if again is None else dict(again.parameters)
        super().__init__(f"number {recorded.number}: {dict(recorded.parameters)} then, {told} now")


def replay(
    plan: SweepPlan, records: Sequence[TrialRecord], earlier: Iterable[TrialRecord] = ()
) -> Iterator[Suggestion]:
    """The sweep's suggestions, each made again and found equal to the recorded one.

    Args:
        records: of the whole sweep, in the order of their numbers; of no adaptive one.
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
