"""What earlier sweeps found out, told to a new one's studies: `sweep.warm_start`.

Enters: ids of sweeps in the same results table. Leaves: their ended trials as records in terms of the new space. Which
these are is recorded when the new sweep begins, as the others may go on; from then on it needs them no more.

They have to be results of the same data, split and length. Another split's validation may hold this one's test clips,
so that its results would choose by test; and an objective after 10 epochs does not rank with one after 50.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from search_spaces import SearchSpace
from search_spaces.values import holds
from storage.errors import InvalidInput, nearest_ids
from storage.generations import partitions
from storage.results_table import ResultsTable
from sweeps.ledger import Ledger
from sweeps.loggers.run_logger import flat
from sweeps.plan import SweepPlan
from sweeps.records import Suggestion, TrialRecord

_FIELD = "sweep.warm_start"
_SAME = {"dataset": "data set", "fingerprint": "feature fingerprint", "split_hash": "split"}
_OF_THE_SWEEP = {"seeds"}  # other seeds measure the same


def check_warm_start(plan: SweepPlan, results: ResultsTable) -> None:
    """Holds, before anything is computed, that the sweeps are there and comparable.

    Raises:
        InvalidInput: one is unknown or no sweep, or it is of other data, another split or another number of epochs.
    """
    for sweep_id in plan.settings.warm_start:
        _check(plan, results, sweep_id)


def take_earlier(plan: SweepPlan, ledger: Ledger, *, say: Callable[[str], None]) -> list[TrialRecord]:
    """The trials that the sweep starts with: as recorded, or taken now and recorded.

    Args:
        say: is told how many were taken, what was left out and why.

    Raises:
        InvalidInput: as `check_warm_start`, or none of their trials can be taken.
    """
    if not plan.settings.warm_start:
        return []
    rows = ledger.warm_start()
    if rows:
        say(f"warm start: {len(rows)} earlier trials, as they were when the sweep began")
    else:
        rows = _take(plan, ResultsTable(ledger.store), say)
        ledger.record_warm_start(rows)
        rows = ledger.warm_start()
    return [_record(plan, row) for row in sorted(rows, key=lambda row: row["place"])]


@dataclass(slots=True)
class _Taking:
    """What came of looking at a sweep's trials.

    Attributes:
        left_out: reason → number of trials.
        dropped: names that it searched and the new space does not.
        differing: names of fixed values that are others now.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    dropped: set[str] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)

    def lines(self, sweep_id: str) -> list[str]:
        out = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))
        found = [f"warm start from {sweep_id}: {len(self.rows)} trials taken{f'; left out: {out}' if out else ''}"]
        if self.dropped:
            found.append(f"  searched there and not here, left out of them: {', '.join(sorted(self.dropped))}")
        if self.differing:
            found.append(f"  the same in all trials here, and otherwise there: {', '.join(sorted(self.differing))}")
        return found


def _take(plan: SweepPlan, results: ResultsTable, say: Callable[[str], None]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    for sweep_id in plan.settings.warm_start:
        _check(plan, results, sweep_id)
        taking = _Taking()
        for record in Ledger(results, sweep_id).records():
            _look_at(plan, record, taking)
        rows += [{**row, "of_sweep": sweep_id} for row in taking.rows]
        lines += taking.lines(sweep_id)
    if not rows:
        raise InvalidInput(
            _FIELD,
            given=list(plan.settings.warm_start),
            allowed="sweeps with ended trials inside of the space",
            remedy=f"Leave it out ({'; '.join(lines)}).",
        )
    for line in lines:
        say(line)
    return [{**row, "place": place} for place, row in enumerate(rows)]


def _look_at(plan: SweepPlan, record: TrialRecord, taking: _Taking) -> None:
    config = record.suggestion.config
    if config.architecture not in plan.settings.architectures:
        taking.left_out["of other architectures"] += 1
        return
    space, values = plan.space(config.architecture), flat(config.to_dict())
    reason = _why_not(record, space, values)
    if reason:
        taking.left_out[reason] += 1
        return
    parameters = {name: values[name] for name in space.distributions}
    now = flat(plan.trial_config(config.architecture, parameters).to_dict())
    taking.dropped |= record.suggestion.parameters.keys() - parameters.keys()
    taking.differing |= {name for name in {**values, **now} if values.get(name) != now.get(name)} - _OF_THE_SWEEP
    taking.rows.append(
        {
            "of_trial": config.trial_id,
            "architecture": config.architecture,
            "state": record.state,
            "objective": record.objective,
            "parameters": json.dumps(parameters),
            "curve": json.dumps({str(seed_epoch): value for seed_epoch, value in record.objectives.items()}),
        }
    )


def _why_not(record: TrialRecord, space: SearchSpace, values: Mapping[str, Any]) -> str:
    """Why a trial cannot be told; empty if it can. One that lacks a name, or lies outside with it, is left out whole:
    Optuna's samplers model all names together, and with a gap in one trial they would give that name up in all."""
    if record.state is None:
        return "not ended"
    if record.state == "failed":
        return "failed"
    if not record.objectives or record.objective is None:
        return "without an epoch"
    for name, kind in space.distributions.items():
        if name not in values:
            return f"without {name}"
        if not holds(kind, values[name]):
            return f"with {name} outside of what is searched"
    return ""


def _check(plan: SweepPlan, results: ResultsTable, sweep_id: str) -> None:
    rows = results.read("sweeps", sweep_id=sweep_id).to_pylist()
    if not rows:
        known = [partition.sweep_id for partition in partitions(results.store, "sweeps")]
        allowed = "ids of this store's sweeps, like first-0123456789ab"
        _refuse(sweep_id, allowed, f"{nearest_ids(sweep_id, known)}Its sweeps are under results/sweeps/.")
    row = rows[0]
    if (row["kind"] or "sweep") != "sweep":
        _refuse(f"{sweep_id}, whose kind is {row['kind']}", "a sweep", "Name the sweep.")
    for column, called in _SAME.items():
        if row[column] != getattr(plan, column):
            _refuse(
                f"{sweep_id}, which has the {called} {row[column]}",
                f"sweeps with this one's: {getattr(plan, column)}",
                "Leave it out; its results do not compare with this sweep's.",
            )
    suggested = results.read("suggestions", sweep_id=sweep_id, columns=["configuration"]).slice(0, 1).to_pylist()
    epochs = [json.loads(row["configuration"])["epochs"] for row in suggested]  # the same in all its trials
    if epochs and epochs[0] != plan.settings.epochs:
        _refuse(
            f"{sweep_id}, whose trials have {epochs[0]} epochs",
            f"sweeps with sweep.epochs={plan.settings.epochs}",
            "Give its best configurations as sweep.points instead: results after fewer epochs do not rank with others.",
        )


def _refuse(given: str, allowed: str, remedy: str) -> NoReturn:
    raise InvalidInput(_FIELD, given=given, allowed=allowed, remedy=remedy)


def _record(plan: SweepPlan, row: Mapping[str, Any]) -> TrialRecord:
    architecture, parameters = row["architecture"], json.loads(row["parameters"])
    suggestion = Suggestion(
        number=-1,
        config=plan.trial_config(architecture, parameters),
        parameters=parameters,
        distributions=plan.space(architecture).distributions_json,
        untuned_default=False,
    )
    curve = {int(seed_epoch): value for seed_epoch, value in json.loads(row["curve"]).items()}
    return TrialRecord(suggestion=suggestion, state=row["state"], objective=row["objective"], objectives=curve)
