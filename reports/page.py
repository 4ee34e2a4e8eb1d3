"""One sweep, or one experiment, as one HTML page. Enters: a `SweepResults` and its leaderboard. Leaves: text.

The page is self-contained: plotly.js, style, script and all numbers are inlined, and its content security policy lets
it fetch nothing and run nothing but the two scripts whose hashes it names. It opens from a file, without a network.
"""

from collections import Counter
from collections.abc import Sequence

from reports.answer_sections import calibration_section, groups_section
from reports.audit_of_stops import stops_section
from reports.cost_sections import costs_section, failures_section
from reports.cross_validation import is_experiment, is_literature
from reports.document import document
from reports.error_sections import error_sections, recall_section
from reports.experiment_page import LITERATURE, experiment_sections
from reports.finals import finals_of, finals_sections
from reports.headline import headline_section
from reports.leaderboard import LeaderboardRow, best_of_each_architecture
from reports.markup import Markup, element, join
from reports.optimism import gaps_of_finalists, optimism_section
from reports.parameter_sections import parameters_section
from reports.pareto_section import pareto_section
from reports.plots import architecture_names, plotly_javascript
from reports.related import newest_related
from reports.search_sections import rungs_section
from reports.sections import (
    leaderboard_section,
    learning_curves_section,
    trials_section,
    what_was_run_section,
)
from reports.style import DRAW_SCRIPT
from reports.sweep_results import SweepResults
from reports.text import counted
from reports.trials import STATES, TrialSummary, trial_summaries


def render_page(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> str:
    """The report of one sweep.

    Args:
        sweep: finished, running or hardly begun; whatever is missing is said in words.
        rows: the sweep's leaderboard, best first.

    Returns:
        A whole HTML document, UTF-8, about 5 MB (nearly all of it plotly.js).
    """
    trials = trial_summaries(sweep)
    sections: list[Markup | None] = (
        experiment_sections(sweep) if is_experiment(sweep) else [*_sweep_sections(sweep, rows, trials)]
    )
    content = join(_header(sweep, trials), element("main", *sections), _footer(sweep))
    scripts = [Markup(plotly_javascript()), Markup(DRAW_SCRIPT)]
    return document(f"{sweep.sweep_id}: {_kind(sweep)} report", content, scripts=scripts)


def _sweep_sections(
    sweep: SweepResults, rows: Sequence[LeaderboardRow], trials: Sequence[TrialSummary]
) -> list[Markup | None]:
    finals = finals_of(sweep, rows)
    source, best = finals.best_rows(sweep, rows)
    confirmation = finals.confirmation if finals.begun is None else finals.begun.source
    followed = (("confirmation", confirmation), ("audit of stopped trials", newest_related(sweep, "audit")))
    return [
        headline_section(sweep, rows, finals),
        leaderboard_section(sweep, rows),
        *finals_sections(sweep, finals),
        optimism_section(sweep, gaps_of_finalists(finals.finalists), is_expected=False),
        pareto_section(sweep),
        learning_curves_section(sweep, best_of_each_architecture(rows)),
        rungs_section(sweep, trials),
        stops_section(sweep),
        *error_sections(source, best),
        recall_section(sweep, finals.best_of_each),
        groups_section(source, best),
        calibration_section(source, best),
        parameters_section(sweep, rows, trials),
        costs_section(sweep, trials, follow_ups=[(kind, found) for kind, found in followed if found is not None]),
        trials_section(sweep, trials),
        failures_section(sweep),
        what_was_run_section(sweep),
    ]


def _kind(sweep: SweepResults) -> str:
    return "experiment" if is_experiment(sweep) else "sweep"


def _header(sweep: SweepResults, trials: Sequence[TrialSummary]) -> Markup:
    num_open = sum(trial.state in ("open", "waiting") for trial in trials)
    kind = _kind(sweep)
    notices = [LITERATURE] if is_literature(sweep) else []
    if num_open:
        notices.append(f"This {kind} has not ended: {num_open} of {len(trials)} trials are open. Numbers may change.")
    return element(
        "header",
        element("p", f"{kind.capitalize()} report", class_="eyebrow"),
        element("h1", sweep.sweep_id),
        element("p", _summary_sentence(sweep, trials), class_="lead"),
        *(element("p", notice, class_="notice", role="note") for notice in notices),
    )


def _summary_sentence(sweep: SweepResults, trials: Sequence[TrialSummary]) -> str:
    architectures = architecture_names(sweep)
    counts = Counter(trial.state for trial in trials)
    fates = {
        "finished": "trained to the end",
        "stopped": "stopped early by the scheduler",
        "failed": "failed",
        "open": "begun and not ended",
        "waiting": "not begun",
    }
    told = ", ".join(f"{counts[state]} {fates[state]}" for state in STATES if counts[state])
    if not trials:
        return f"A search on {sweep.sweep['dataset']} over {len(sweep.labels)} classes; no trial has been planned yet."
    started = f"Started {sweep.sweep['started_at']:%d %B %Y, %H:%M} UTC."
    if is_experiment(sweep):
        return (
            f"One configuration of {', '.join(architectures)} over {counted(len(trials), 'fold')} of "
            f"{sweep.sweep['dataset']}, {counted(len(sweep.labels), 'class', 'classes')}: {told}. {started}"
        )
    return (
        f"{counted(len(trials), 'configuration')} of {counted(len(architectures), 'architecture')} "
        f"({', '.join(architectures)}) on {sweep.sweep['dataset']}, {counted(len(sweep.labels), 'class', 'classes')}: "
        f"{told}. {started}"
    )


def _footer(sweep: SweepResults) -> Markup:
    return element(
        "footer", element("p", f"Made from the results table in {sweep.results.store.uri}. Shares are in percent.")
    )
