"""Several sweeps on one page: their leaderboards side by side, tests where clips are the same, settings that differ.

Enters: `SweepResults` of two or more sweeps. Leaves: a whole HTML document.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import plots
from reports.blocks import caption, empty, section
from reports.chosen_by import chosen_by
from reports.compared_pairs import Compared, pairs_to_test, what_else_differs
from reports.cost_sections import told_hours
from reports.costs import costs, machine_of
from reports.document import document
from reports.final_scores import FinalScore, compare_cubes
from reports.finals import finals_of
from reports.leaderboard import LeaderboardRow, leaderboard
from reports.markup import Markup, element, join
from reports.pair_sections import pairs_section
from reports.style import DRAW_SCRIPT
from reports.sweep_results import SweepResults
from reports.tables import parameters, table
from reports.text import NO_VALUE, counted, percent
from reports.trials import trial_summaries

_MOST_ROWS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown(Compared):
    """One of the sweeps. Attributes: rows: of its leaderboard, best first."""

    rows: Sequence[LeaderboardRow]


def render_comparison(sweeps: Sequence[SweepResults]) -> str:
    """The page of several sweeps, finished or not, in the given order."""
    compared = [_compared(place, sweep) for place, sweep in enumerate(sweeps)]
    ids = [one.sweep.sweep_id for one in compared]
    header = element(
        "header",
        element("p", "Comparison of sweeps", class_="eyebrow"),
        element("h1", " · ".join(ids)),
        element("p", _lead(compared), class_="lead"),
    )
    sections = [
        _overview_section(compared),
        _architectures_section(compared),
        _pairs_section(compared),
        _leaderboards_section(compared),
        _differences_section("Settings that differ", [one.sweep.settings for one in compared], compared),
        _differences_section("Versions that differ", [one.sweep.versions for one in compared], compared),
    ]
    store = sweeps[0].results.store.uri
    footer = element("footer", element("p", f"Made from the results table in {store}. Shares are in percent."))
    scripts = [Markup(plots.plotly_javascript()), Markup(DRAW_SCRIPT)]
    content = join(header, element("main", *sections), footer)
    return document(f"{', '.join(ids)}: comparison of sweeps", content, scripts=scripts)


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Dotted name → its value in each, as JSON, of those that are not the same in all; a dash where one has none."""
    flat = [_flat("", one) for one in settings]
    names = dict.fromkeys(name for one in flat for name in one)
    values = {name: [one.get(name, NO_VALUE) for one in flat] for name in names}
    return {name: told for name, told in values.items() if len(set(told)) > 1}


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {name: told for key, item in value.items() for name, told in _flat(f"{prefix}{key}.", item).items()}
    return {prefix.removesuffix("."): json.dumps(value, ensure_ascii=False)}


def _compared(place: int, sweep: SweepResults) -> Shown:
    rows = leaderboard(sweep)
    return Shown(letter=chr(ord("A") + place), sweep=sweep, rows=rows, finals=finals_of(sweep, rows))


def _lead(compared: Sequence[Compared]) -> str:
    first = compared[0].sweep.sweep
    same = [
        what
        for what, name in (("data set", "dataset"), ("features", "fingerprint"), ("split", "split_hash"))
        if all(one.sweep.sweep[name] == first[name] for one in compared)
    ]
    other = [what for what in ("data set", "features", "split") if what not in same]
    told = [f"same {', '.join(same)}" if same else "", f"other {', '.join(other)}" if other else ""]
    return f"{counted(len(compared), 'sweep')}: {'; '.join(part for part in told if part)}."


def _overview_section(compared: Sequence[Compared]) -> Markup:
    header = (
        ("sweep", ""),
        ("id", "name"),
        ("started (UTC)", "time"),
        ("data set", "name"),
        ("configurations", "number"),
        ("trained to the end", "number"),
        ("time", "number"),
        ("of the full grid", "number"),
    )
    return section("Overview", table("Overview", header, [_overview(one) for one in compared]))


def _overview(one: Compared) -> tuple[object, ...]:
    trials = trial_summaries(one.sweep)
    total = costs(one.sweep, trials)[-1:] if trials else []
    saved = total[0].saved if total else None
    return (
        element("strong", one.letter),
        one.sweep.sweep_id,
        f"{one.sweep.sweep['started_at']:%Y-%m-%d %H:%M}",
        one.sweep.sweep["dataset"],
        len(trials),
        sum(trial.state == "finished" for trial in trials),
        told_hours(total[0].hours, machine_of(one.sweep)) if total else NO_VALUE,
        NO_VALUE if saved is None else percent(1 - saved),
    )


def _architectures_section(compared: Sequence[Shown]) -> Markup:
    """The best of each architecture: a line an architecture, two columns a sweep."""
    names = sorted({row.architecture for one in compared for row in one.rows})
    if not names:
        return section("The best of each architecture", empty("No configuration has all its seeds complete."))
    score = chosen_by(compared[0].sweep)
    header = [("architecture", "name")]
    for one in compared:
        header += [(f"{one.letter}: test {score.short}", "number"), (f"{one.letter}: 95 % interval", "number")]
    cells = [(name, *(cell for one in compared for cell in _best_cells(one, name))) for name in names]
    text = (
        "The configuration of each architecture that was best on validation, from a confirmation where there is one. "
        "± is the deviation over seeds; the interval is about other clips, folds and seeds. Intervals of sweeps on "
        "other clips must not be compared row by row as if they were of the same study."
    )
    return section("The best of each architecture", caption(text), table("Best of each architecture", header, cells))


def _best_cells(one: Shown, architecture: str) -> tuple[str, str]:
    score = chosen_by(one.sweep)
    best = next((found for found in one.finals.best_of_each if found.architecture == architecture), None)
    found = None if best is None else one.finals.score_of(best.number)
    if found is not None:
        return score.told(found.score.mean, found.score.deviation), score.told_interval(found.score.interval)
    row = next((row for row in one.rows if row.architecture == architecture), None)
    return (NO_VALUE if row is None else score.told(row.test_score_mean, row.test_score_std)), NO_VALUE


def _pairs_section(compared: Sequence[Compared]) -> Markup:
    chosen, of_other_tasks = pairs_to_test(compared)
    tests, reasons = compare_cubes({name: found.cube for name, found in chosen.items()})
    return pairs_section(
        compared[0].sweep,
        tests,
        in_words=_across(chosen),
        reasons=reasons | of_other_tasks,
        of_what=f"The best of each architecture of every sweep. {what_else_differs(compared)}".strip(),
    )


def _across(named: Mapping[str, FinalScore]) -> list[tuple[str, str]]:
    """Pairs of the same architecture in two sweeps."""
    names = list(named)
    return [
        (first, second)
        for place, first in enumerate(names)
        for second in names[place + 1 :]
        if named[first].finalist.architecture == named[second].finalist.architecture
    ]


def _leaderboards_section(compared: Sequence[Shown]) -> Markup:
    parts = [
        element(
            "div",
            element("h3", f"{one.letter}: {one.sweep.sweep_id}"),
            _short_leaderboard(one) if one.rows else empty("No configuration has all its seeds complete."),
        )
        for one in compared
    ]
    text = f"The first {_MOST_ROWS} of each, ranked by validation within its sweep."
    return section("Leaderboards side by side", caption(text), element("div", *parts, class_="pair"))


def _short_leaderboard(one: Shown) -> Markup:
    """The scores first: beside another table there is little room."""
    score = chosen_by(one.sweep)
    numbers = ("rank", f"validation {score.short}", f"test {score.short}", "trial")
    header = [("architecture", "name"), *((name, "number") for name in numbers), ("configuration", "")]
    cells = [
        (
            row.architecture,
            row.rank,
            score.told(row.validation_score_mean, row.validation_score_std),
            element("strong", score.told(row.test_score_mean, row.test_score_std)),
            row.number,
            parameters(row.configuration),
        )
        for row in one.rows[:_MOST_ROWS]
    ]
    return table(f"Leaderboard of {one.sweep.sweep_id}", header, cells)


def _differences_section(title: str, settings: Sequence[Mapping[str, Any]], compared: Sequence[Compared]) -> Markup:
    found = differing(settings)
    if not found:
        return section(title, empty("None: they are the same in all."))
    header = [("name", "name"), *((one.letter, "words") for one in compared)]
    return section(title, table(title, header, [(name, *values) for name, values in found.items()]))
