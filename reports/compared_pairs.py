"""Which configurations of several sweeps are tested against one another. Enters: the sweeps' finals. Leaves: those that
can be compared, and of all others the reason why not.

The same clip ids do not make the same task: labels may be others, and what trials are chosen by. And of many
architectures only some are tested, as every pair costs all others some power: those that several sweeps have come
first, and the rest of the places is shared among the sweeps.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from reports.chosen_by import chosen_by
from reports.final_scores import FinalScore
from reports.finals import MOST_IN_PAIRS, Finals, most_told
from reports.sweep_results import SweepResults


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """One of the sweeps. Attributes: letter: A, B …, by which tables and figures call it."""

    letter: str
    sweep: SweepResults
    finals: Finals


def pairs_to_test(compared: Sequence[Compared]) -> tuple[dict[str, FinalScore], dict[str, str]]:
    """(`A: cnn #3` → its scores, sweep by sweep; name → why it is not tested): the best of each architecture."""
    found = _named(compared)
    chosen = _most_telling(found)
    reasons = {name: most_told() for name in found if name not in chosen}
    kept: dict[str, FinalScore] = {}
    for name in chosen:
        reason = next((why for other in kept.values() if (why := _is_other_task(found[name], other))), None)
        if reason is None:
            kept[name] = found[name]
        else:
            reasons[name] = reason
    return kept, reasons


def what_else_differs(compared: Sequence[Compared]) -> str:
    """A sentence where the sweeps had other features or another data set; empty where they had the same."""
    names = {"features": "fingerprint", "data set": "dataset"}
    other = [what for what, name in names.items() if len({one.sweep.sweep[name] for one in compared}) > 1]
    if not other:
        return ""
    told = " and ".join(other)
    return f"The sweeps differ in {told}: a difference may come from there, and not from the configurations."


def _named(compared: Sequence[Compared]) -> dict[str, FinalScore]:
    named = {}
    for one in compared:
        for best in one.finals.best_of_each:
            found = one.finals.score_of(best.number)
            if found is not None:
                named[f"{one.letter}: {best.name}"] = found
    return named


def _most_telling(named: Mapping[str, FinalScore]) -> list[str]:
    """As many as are tested, in the given order."""
    num_sweeps = Counter(found.finalist.architecture for found in named.values())
    shared = [name for name, found in named.items() if num_sweeps[found.finalist.architecture] > 1]
    first = list(dict.fromkeys(named[name].finalist.architecture for name in shared))
    shared.sort(key=lambda name: first.index(named[name].finalist.architecture))
    others: dict[str, list[str]] = {}  # by sweep
    for name in named:
        if name not in shared:
            others.setdefault(name.partition(":")[0], []).append(name)
    in_turn = [name for names in zip_longest(*others.values()) for name in names if name is not None]
    chosen = [*shared, *in_turn][:MOST_IN_PAIRS]
    return [name for name in named if name in chosen]


def _is_other_task(one: FinalScore, other: FinalScore) -> str | None:
    """Why the two cannot be compared; None where they can, or where other clips are the reason."""
    first, second = one.finalist.source, other.finalist.source
    if first.labels != second.labels:
        return "its labels are others than those of a sweep before it"
    if chosen_by(first) != chosen_by(second):
        return f"its trials are chosen by {chosen_by(first).name}, and those before it by {chosen_by(second).name}"
    if one.cube.clip_ids == other.cube.clip_ids and not np.array_equal(one.has_label, other.has_label):
        num_clips = int((one.has_label != other.has_label).any(axis=1).sum())
        return f"{num_clips:,} of its clips have another label than in a sweep before it"
    return None
