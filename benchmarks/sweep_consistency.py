"""Whether the results table of a sweep that has ended is whole, and each decision follows from what stood before it.

Enters: rows as dicts, by table. Leaves: faults, one sentence each; none of a sound sweep. Pure functions: a sweep that
was killed is held to them as it is, without an undisturbed one beside it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
Times = Mapping[tuple[str, int], float]
"""(trial id, seed-epoch) → when that row was committed, in seconds."""

KEYS: dict[str, tuple[str, ...]] = {
    "suggestions": ("number",),
    "decisions": ("decision",),
    "trials": ("number",),
    "epochs": ("trial_id", "seed_epoch"),
    "seeds": ("trial_id", "seed"),
    "predictions": ("trial_id", "seed", "part", "clip_id"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A trial at a rung.

    Attributes:
        earliest, latest: between these moments it was decided on: its row was there, and what follows from the
            decision was not.
        went_on: whether it was trained further.
        is_spared: that rungs do not stop it.
    """

    trial_id: str
    rung: tuple[str, int]
    objective: float
    earliest: float
    latest: float
    went_on: bool
    is_spared: bool = False


def row_faults(rows: Rows, *, seeds: Sequence[int], epochs: int) -> list[str]:
    """Rows twice, rows that lack what they belong to, trials that did not end once, failures that are not recorded.

    Args:
        seeds: of every trial, in their order; each of so many epochs.
    """
    found = []
    for table, key in KEYS.items():
        counts = Counter(tuple(row[name] for name in key) for row in rows[table])
        found += [f"{table}: {count} rows of {key_of}" for key_of, count in counts.items() if count > 1]
    suggested = {row["trial_id"] for row in rows["suggestions"]}
    if len(suggested) != len(rows["suggestions"]):
        found.append("suggestions: a trial was suggested twice")
    ended = Counter(row["trial_id"] for row in rows["trials"])
    found += [
        f"{trial_id}: suggested, and ended {ended[trial_id]} times" for trial_id in suggested if ended[trial_id] != 1
    ]
    for table in ("trials", "epochs", "seeds", "predictions"):
        others = {row["trial_id"] for row in rows[table]} - suggested
        found += [f"{table}: {trial_id} was never suggested" for trial_id in sorted(others)]
    numbers = sorted(row["number"] for row in rows["suggestions"])
    if numbers != list(range(len(numbers))):
        found.append(f"suggestions: numbers {numbers}")
    return found + _end_faults(rows) + _seed_faults(rows, seeds, epochs) + _prediction_faults(rows)


def _end_faults(rows: Rows) -> list[str]:
    epochs = _by_trial(rows["epochs"])
    not_finite = {row["trial_id"] for row in rows["failures"] if row["reason"] == "not_finite"}
    found = []
    for trial in rows["trials"]:
        trial_id, reached = trial["trial_id"], sorted(row["seed_epoch"] for row in epochs[trial["trial_id"]])
        if reached != list(range(1, trial["seed_epochs"] + 1)):
            found.append(f"{trial_id}: ended at {trial['seed_epochs']}, has epochs {reached}")
        elif reached and trial["objective"] != _at(epochs[trial_id], trial["seed_epochs"]):
            found.append(f"{trial_id}: its end has another objective than its last epoch")
        if trial["state"] == "failed" and trial_id not in not_finite:
            found.append(f"{trial_id}: failed, and nothing says how")
    return found


def _seed_faults(rows: Rows, seeds: Sequence[int], epochs: int) -> list[str]:
    """Trials whose rows in `seeds` are not those of the seeds that they came to the end of."""
    found, of_trial = [], _by_trial(rows["seeds"])
    for trial in rows["trials"]:
        trial_id, num_whole = trial["trial_id"], trial["seed_epochs"] // epochs
        there = sorted(row["seed"] for row in of_trial[trial_id])
        if there != sorted(seeds[:num_whole]):
            found.append(f"{trial_id}: ended at {trial['seed_epochs']} and has seeds {there}")
        if trial["state"] == "finished" and num_whole != len(seeds):
            found.append(f"{trial_id}: finished with {num_whole} of {len(seeds)} seeds")
    return found


def _prediction_faults(rows: Rows) -> list[str]:
    """Seeds without predictions of every clip that others have some of, and predictions without their seed."""
    clips: dict[tuple[str, int], set[tuple[str, str]]] = defaultdict(set)
    for row in rows["predictions"]:
        clips[row["trial_id"], row["seed"]].add((row["part"], row["clip_id"]))
    all_clips = set[tuple[str, str]]().union(*clips.values())
    with_row = {(row["trial_id"], row["seed"]) for row in rows["seeds"]}
    found = [
        f"{trial_id}: seed {seed} has predictions and no row of its own"
        for trial_id, seed in sorted(clips.keys() - with_row)
    ]
    for trial_id, seed in sorted(with_row):
        missing = all_clips - clips[trial_id, seed]
        if missing or not all_clips:
            found.append(f"{trial_id}: seed {seed} has no predictions of {len(missing) or 'any'} clips")
    return found


def arrivals(rows: Rows, milestones: Sequence[int], times: Times | None = None) -> list[Arrival]:
    """Every trial at every rung that it came to.

    Args:
        times: when rows were committed; None where trials ran one after the other, by their numbers.
    """
    suggestions = {row["trial_id"]: row for row in rows["suggestions"]}
    epochs, found = _by_trial(rows["epochs"]), []
    for trial in rows["trials"]:
        suggestion, trial_id = suggestions[trial["trial_id"]], trial["trial_id"]
        for milestone in milestones:
            if milestone > trial["seed_epochs"] or (trial["state"] == "failed" and milestone == trial["seed_epochs"]):
                break
            went_on = milestone < trial["seed_epochs"]
            if times is None:
                earliest = latest = float(suggestion["number"])
            else:
                earliest = times[trial_id, milestone]
                latest = times[trial_id, milestone + 1] if went_on else trial["ended_at"].timestamp()
            found.append(
                Arrival(
                    trial_id=trial_id,
                    rung=(trial["architecture"], milestone),
                    objective=_at(epochs[trial_id], milestone),
                    earliest=earliest,
                    latest=latest,
                    went_on=went_on,
                    is_spared=suggestion["untuned_default"],
                )
            )
    return found


def rung_faults(found: Iterable[Arrival], *, reduction_factor: int) -> list[str]:
    """Decisions that follow from no order in which the trials can have come to a rung.

    Trial by trial, what was certainly there before it counts, and of what may have been there any part.
    """
    at_rung: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
    for arrival in found:
        at_rung[arrival.rung].append(arrival)
    return [
        f"{arrival.trial_id} at {arrival.rung}: {'went on' if arrival.went_on else 'was stopped'} with "
        f"{arrival.objective}, which no order of the others explains"
        for rung in at_rung.values()
        for arrival in rung
        if not _is_explained(arrival, [other for other in rung if other is not arrival], reduction_factor)
    ]


def _is_explained(arrival: Arrival, others: Sequence[Arrival], reduction_factor: int) -> bool:
    if arrival.is_spared:
        return arrival.went_on
    counts = Counter[tuple[str, bool]]()
    for other in others:
        is_before = other.latest < arrival.earliest
        if is_before or other.earliest <= arrival.latest:
            counts["before" if is_before else "perhaps", other.objective > arrival.objective] += 1
    return any(
        (
            counts["before", True] + higher
            < max(1, (1 + counts["before", True] + counts["before", False] + higher + lower) // reduction_factor)
        )
        == arrival.went_on
        for higher in range(counts["perhaps", True] + 1)
        for lower in range(counts["perhaps", False] + 1)
    )


def stop_faults(rows: Rows, milestones: Sequence[int], *, whole: int) -> list[str]:
    """Trials that ended where nobody decides."""
    found = []
    for trial in rows["trials"]:
        if trial["state"] == "stopped" and trial["seed_epochs"] not in milestones:
            found.append(f"{trial['trial_id']}: stopped at {trial['seed_epochs']}, which is no rung")
        if trial["state"] == "finished" and trial["seed_epochs"] != whole:
            found.append(f"{trial['trial_id']}: finished at {trial['seed_epochs']} of {whole}")
    return found


def decision_faults(rows: Rows, *, whole: int, budget: float) -> list[str]:
    """Of an adaptive sweep: decisions out of order, epochs that none allowed, a budget that was overrun.

    Args:
        whole: seed-epochs of a finished trial.
        budget: of the sweep, in seed-epochs.
    """
    found, until = [], defaultdict[str, int](int)
    suggested = {row["trial_id"] for row in rows["suggestions"]}
    decisions = sorted(rows["decisions"], key=lambda row: row["decision"])
    if [row["decision"] for row in decisions] != list(range(len(decisions))):
        found.append(f"decisions: numbers {[row['decision'] for row in decisions]}")
    for row in decisions:
        if row["trial_id"] in suggested and row["until"] <= until[row["trial_id"]]:
            found.append(
                f"decision {row['decision']}: {row['trial_id']} had been sent to {until[row['trial_id']]} before"
            )
        until[row["trial_id"]] = row["until"]
    for trial in rows["trials"]:
        if trial["state"] != "failed" and trial["seed_epochs"] != until[trial["trial_id"]]:
            found.append(f"{trial['trial_id']}: sent to {until[trial['trial_id']]}, ended at {trial['seed_epochs']}")
        if (trial["state"] == "finished") != (trial["seed_epochs"] == whole) and trial["state"] != "failed":
            found.append(f"{trial['trial_id']}: {trial['state']} at {trial['seed_epochs']} of {whole}")
    spent = sum(trial["seed_epochs"] for trial in rows["trials"])
    return [*found, f"{spent} seed-epochs of {budget:g}"] if spent > budget else found


def _by_trial(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["trial_id"]].append(row)
    return found


def _at(epochs: Iterable[Row], seed_epoch: int) -> float:
    return float(next(row["objective"] for row in epochs if row["seed_epoch"] == seed_epoch))
