"""The audit of a sweep's stops, for its page and a terminal. Enters: a `SweepResults`. Leaves: a section, a line."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from reports.blocks import caption, empty, section
from reports.chosen_by import chosen_by
from reports.evidence.stops import AuditedStop, JudgedStops, Stop, judge_stops
from reports.leaderboard import leaderboard
from reports.markup import Markup
from reports.related import newest_related
from reports.sweep_results import SweepResults
from reports.tables import facts, table
from reports.text import NO_VALUE, counted, percent

_TITLE = "Was it right to stop them?"


def judged_stops(sweep: SweepResults) -> JudgedStops:
    """All stops of a sweep, with what its audit came to where there is one."""
    audit = newest_related(sweep, "audit")
    scores = {} if audit is None else {row.trial_id: row.validation_score_mean for row in leaderboard(audit)}
    failed = set() if audit is None else _of_state(audit, "failed")
    suggestions = {row.trial_id: row for row in _rows(sweep.suggestions)}
    stops = [
        _stop(suggestions[trial.trial_id], trial, scores.get(trial.trial_id), has_failed=trial.trial_id in failed)
        for trial in _rows(sweep.trials)
        if trial.state == "stopped" and trial.trial_id in suggestions
    ]
    finished: dict[str, list[float]] = {}
    for row in leaderboard(sweep):
        if math.isfinite(row.validation_score_mean):
            finished.setdefault(row.architecture, []).append(row.validation_score_mean)
    return judge_stops(stops, finished=finished)


def stops_line(sweep: SweepResults) -> str | None:
    """What the audit found, for a terminal; None where nothing was audited."""
    judged = judged_stops(sweep)
    return None if not judged.audited else f"audit of stops: {_found(judged)}; {_regret(sweep, judged)}"


def stops_section(sweep: SweepResults) -> Markup | None:
    """None where nothing was stopped; a sentence where nothing was audited."""
    judged = judged_stops(sweep)
    if not judged.num_stopped:
        return None
    if not judged.audited:
        return section(
            _TITLE,
            empty(
                f"Nobody knows: of {counted(judged.num_stopped, 'stopped trial')} none was run to its end. "
                "sweep.audit.share is the chance of each to be drawn; the same command with a larger one audits more."
            ),
        )
    text = (
        "A random share of the stopped trials was run to its end after the search; nothing in the sweep follows from "
        f"it. Compared is the mean validation {chosen_by(sweep).name} over all seeds with that of the best trial that "
        "the sweep itself ran to its end: a single trial may be ahead by chance. Regret is by how much it is ahead of "
        "the best of its architecture, and 0 where it is not. The interval is of the share "
        "among all stopped trials; where all were audited, that is known."
    )
    return section(_TITLE, caption(text), facts(_facts(sweep, judged)), _table(sweep, judged.audited))


def _facts(sweep: SweepResults, judged: JudgedStops) -> list[tuple[str, object]]:
    return [
        ("would have led", _found(judged)),
        (
            "of all architectures",
            f"{judged.num_would_lead_all} of {judged.num_audited}" if judged.num_compared else NO_VALUE,
        ),
        ("regret", _regret(sweep, judged)),
        ("saved by stopping", f"{counted(judged.epochs_saved, 'seed-epoch')} of the stopped trials were not trained"),
        ("cost of the audit", f"{counted(judged.epochs_audited, 'seed-epoch')}, of those that were saved"),
    ]


def _found(judged: JudgedStops) -> str:
    interval = judged.interval
    if interval is None:
        audited = counted(judged.num_audited, "audited stop")
        return f"of {audited} nobody can say: nothing of their architectures has finished"
    return (
        f"{judged.num_would_lead} of {judged.num_compared} audited stops would have been the best of their "
        f"architecture ({percent(judged.share)}; {100 * interval.level:.0f} % interval {100 * interval.low:.1f} to "
        f"{100 * interval.high:.1f} %; {judged.num_stopped} were stopped)"
    )


def _of_all(judged: JudgedStops) -> str:
    return f"{judged.num_would_lead_all} of {judged.num_audited}" if judged.num_compared else NO_VALUE


def _regret(sweep: SweepResults, judged: JudgedStops) -> str:
    if judged.mean_regret is None or judged.largest_regret is None:
        return "regret unknown, as nothing has finished that it could be compared with"
    return f"mean regret {_points(sweep, judged.mean_regret)}, largest {_points(sweep, judged.largest_regret)}"


def _points(sweep: SweepResults, regret: float) -> str:
    return f"{100 * regret:.1f} points" if chosen_by(sweep).is_share else f"{regret:.3f}"


def _table(sweep: SweepResults, audited: Sequence[AuditedStop]) -> Markup:
    header = (
        ("trial", "number"),
        ("architecture", "name"),
        ("stopped at seed-epoch", "number"),
        ("score at its end", "number"),
        ("regret", "number"),
        ("would have led", ""),
    )
    told = chosen_by(sweep).told
    cells = [
        (
            one.stop.number,
            one.stop.architecture,
            f"{one.stop.reached} of {one.stop.whole}",
            "failed" if one.stop.score is None else told(one.stop.score),
            NO_VALUE if one.regret is None else _points(sweep, one.regret),
            "all architectures"
            if one.would_lead_all
            else "its architecture"
            if one.would_lead
            else "no"
            if one.would_lead is not None
            else NO_VALUE,
        )
        for one in audited
    ]
    return table("Audited stops", header, cells)


def _stop(suggestion: Any, trial: Any, score: float | None, *, has_failed: bool) -> Stop:
    configuration = json.loads(suggestion.configuration)
    epochs, reached = int(configuration["epochs"]), int(trial.seed_epochs)
    healthy = score if score is not None and math.isfinite(score) else None
    return Stop(
        number=int(trial.number),
        architecture=str(trial.architecture),
        reached=reached,
        whole=epochs * len(configuration["seeds"]),
        kept=reached // epochs * epochs,
        is_audited=score is not None or has_failed,
        score=healthy,
    )


def _rows(frame: pd.DataFrame) -> list[Any]:
    """Named tuples, whose types mypy cannot know."""
    return list(frame.itertuples())


def _of_state(sweep: SweepResults, state: str) -> set[str]:
    return set(sweep.trials[sweep.trials["state"] == state]["trial_id"])
