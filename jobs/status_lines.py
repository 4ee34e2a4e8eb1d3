"""Where sweeps stand, in words. Enters: what the results table has. Leaves: cells of tables, and lines."""

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.outlook import Outlook
from jobs.pace import duration
from storage.sweep_list import SweepSummary
from storage.sweep_state import FATES, FailureState, SweepState, TrialState

LIST_HEADER = ("id", "kind", "begun (UTC)", "state", "trials ended", "newest row")
_NO_VALUE = "–"
_SHOWN_FAILURES = 5
_SHOWN_DETAIL = 100  # characters
_LATELY_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepView:
    """A sweep at a moment: `now` in seconds since 1970."""

    state: SweepState
    outlook: Outlook
    now: float


def list_lines(summaries: Iterable[SweepSummary], *, now: float) -> list[list[str]]:
    """One list of cells per sweep, as LIST_HEADER."""
    return [
        [
            summary.sweep_id,
            summary.kind,
            f"{summary.started_at:%Y-%m-%d %H:%M}",
            "finished" if summary.is_over else "unfinished",
            f"{summary.num_ended} of {summary.num_planned}",
            f"{duration(now - summary.newest_at)} ago",
        ]
        for summary in summaries
    ]


def trial_table(state: SweepState) -> tuple[Sequence[str], list[list[str]]]:
    """Header and rows: trials by architecture and state, and last, of several architectures, all together."""
    architectures = list(dict.fromkeys(trial.architecture for trial in state.trials))
    groups = {name: [trial for trial in state.trials if trial.architecture == name] for name in architectures}
    if len(groups) != 1:
        groups["all"] = list(state.trials)
    header = ("architecture", *FATES, "seed-epochs", "best validation so far")
    return header, [[name, *_counts(trials), _best(trials)] for name, trials in groups.items()]


def sweep_lines(view: SweepView) -> list[str]:
    state = view.state
    return [
        f"begun {state.started_at:%Y-%m-%d %H:%M} UTC on {state.dataset}; {_trials(state)}",
        _pace(view),
        *_end(view),
        *_failures(state),
        _newest(view),
    ]


def follow_up_line(view: SweepView) -> str:
    """A confirmation or an audit: how much of it is trained."""
    state = view.state
    seeds = sum(trial.num_seeds_complete for trial in state.trials)
    in_all = sum(trial.num_seeds for trial in state.trials)
    failed = sum(trial.fate == "failed" for trial in state.trials)
    told = f"{state.num_ended} of {len(state.trials)} trials have ended, {seeds} of {in_all} seeds are complete"
    return f"{state.kind} {state.sweep_id}: {told}{f', {failed} failed' if failed else ''}; {_newest(view)}"


def _counts(trials: Sequence[TrialState]) -> list[str]:
    counts = Counter(trial.fate for trial in trials)
    return [*(str(counts[fate]) for fate in FATES), str(sum(trial.seed_epochs for trial in trials))]


def best_trial(trials: Iterable[TrialState]) -> TrialState | None:
    """The best of those that are finished, and before there is one the best of all that may still finish."""
    scored = [trial for trial in trials if trial.objective is not None]
    for fates in (("finished",), ("open",), ("stopped",)):
        found = [trial for trial in scored if trial.fate in fates]
        if found:
            return max(found, key=lambda trial: (trial.objective or 0.0, -trial.number))
    return None


def _best(trials: Sequence[TrialState]) -> str:
    best = best_trial(trials)
    if best is None:
        return _NO_VALUE
    seeds = f"{best.num_seeds_complete} of {best.num_seeds} seeds"
    return f"{best.objective:.3f} ({best.architecture} #{best.number}, {best.fate}, {seeds})"


def _trials(state: SweepState) -> str:
    planned, suggested = state.planned, len(state.trials)
    at_most = "" if planned.begins_all else "at most "
    begun = f", {suggested} suggested" if suggested != planned.num_trials else ""
    ended = "all have ended" if state.is_over else f"{state.num_ended} have ended"
    return f"{at_most}{planned.num_trials} trials planned{begun}, {ended}"


def _pace(view: SweepView) -> str:
    ahead, state = view.outlook, view.state
    done = f"seed-epochs: {state.seed_epochs} done"
    if state.is_over:
        return done
    at_most = "" if state.planned.is_exact else "at most "
    pace = f"{ahead.per_minute:.3g} a minute over the last {duration(ahead.window_minutes * 60)}"
    return f"{done}, {at_most}{ahead.most_to_come} to come; {pace}"


def _end(view: SweepView) -> list[str]:
    ahead, state = view.outlook, view.state
    if state.is_over:
        return []
    if ahead.most_minutes is None:
        return ["estimated end: unknown, as no epoch ended within that time"]
    latest = _in(view, ahead.most_minutes)
    if state.planned.is_exact:
        return [f"estimated end: {latest} at this pace"]
    if ahead.likely_minutes is None:
        return [f"estimated end: {latest} at the latest, at this pace"]
    likely = f"{_in(view, ahead.likely_minutes)} if trials train on as those that have ended"
    return [f"estimated end at this pace: {likely}, {latest} if none is stopped"]


def _in(view: SweepView, minutes: float) -> str:
    moment = datetime.datetime.fromtimestamp(view.now + minutes * 60, datetime.UTC)
    days = f"{moment:%Y-%m-%d} " if minutes > 12 * 60 else ""
    return f"{days}{moment:%H:%M} UTC (in {duration(minutes * 60)})"


def _failures(state: SweepState) -> list[str]:
    if not state.failures:
        return []
    reasons = Counter(failure.reason for failure in state.failures)
    counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    newest = state.failures[-_SHOWN_FAILURES:]
    which = f"the newest {len(newest)}" if len(newest) < len(state.failures) else "all of them"
    fates = {trial.trial_id: trial.fate for trial in state.trials}
    return [
        f"failures: {counted}; {which}:",
        *(f"  {_failure(failure)} ({fates.get(failure.trial_id, 'unknown')} now)" for failure in reversed(newest)),
    ]


def _failure(failure: FailureState) -> str:
    trial = f"{failure.architecture} #{failure.number}" if failure.architecture else failure.trial_id
    lines = failure.detail.strip().split("\n")
    detail = lines[-1].strip()  # of a traceback, what went wrong
    shown = detail if len(detail) <= _SHOWN_DETAIL else detail[:_SHOWN_DETAIL] + "…"
    return f"{failure.failed_at:%Y-%m-%d %H:%M} UTC {trial} {failure.reason}: {shown}"


def _newest(view: SweepView) -> str:
    age_s = view.now - view.state.newest_at
    told = f"the newest row is {duration(age_s)} old"
    if view.state.is_over:
        return told
    if age_s <= _LATELY_S:
        return f"{told}: somebody was at work on it then"
    return f"{told}: an epoch may take so long, or nobody is at work on it; the table cannot tell"
