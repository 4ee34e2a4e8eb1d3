"""The page's tables: leaderboard, trials, failures, and the figures' numbers for those who cannot see figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reports.cells import score_cells, score_header
from reports.chosen_by import chosen_by
from reports.class_scores import ClassScores
from reports.leaderboard import LeaderboardRow
from reports.markup import Markup, element, join
from reports.sweep_results import SweepResults, summed_confusion
from reports.text import NO_VALUE, parameter_text, percent, searched
from reports.trials import TrialSummary


def leaderboard_table(sweep: SweepResults, rows: Iterable[LeaderboardRow]) -> Markup:
    header = (
        ("rank", "number"),
        ("architecture", "name"),
        ("configuration", ""),
        ("seeds", "number"),
        *((name, "number") for name in score_header(sweep)),
        ("parameters", "number"),
    )
    return table("Leaderboard", header, [_leaderboard_cells(sweep, row) for row in rows], highlight_first=True)


def trials_table(sweep: SweepResults, trials: Iterable[TrialSummary]) -> Markup:
    header = (
        ("trial", "number"),
        ("architecture", "name"),
        ("configuration", ""),
        ("state", ""),
        ("why", "words"),
        ("seeds complete", "number"),
        ("seed-epochs", "number"),
        ("objective", "number"),
    )
    told = chosen_by(sweep).told
    cells = [
        (
            trial.number,
            trial.architecture,
            parameters(trial.configuration),
            element("span", trial.state, class_=f"tag {trial.state}"),
            trial.why,
            f"{trial.num_seeds_complete} of {trial.num_seeds}",
            trial.seed_epochs,
            told(trial.objective),
        )
        for trial in trials
    ]
    return table("All trials", header, cells)


def failures_table(sweep: SweepResults) -> Markup:
    numbers = dict(zip(sweep.suggestions["trial_id"], sweep.suggestions["number"], strict=True))
    header = (("trial", "number"), ("failed at (UTC)", "time"), ("reason", "name"), ("detail", "words"))
    cells = [
        (numbers.get(row.trial_id, row.trial_id), f"{row.failed_at:%Y-%m-%d %H:%M:%S}", row.reason, row.detail)
        for row in sweep.failures.itertuples()
    ]
    return table("Failures", header, cells)


def confusion_table(sweep: SweepResults, seeds: pd.DataFrame) -> Markup:
    """Clips by true and predicted label, summed over rows of the seeds table."""
    counts = summed_confusion(seeds)
    header = (("true ↓ predicted →", "name"), *((label, "number") for label in sweep.labels))
    cells = [(label, *line.tolist()) for label, line in zip(sweep.labels, counts, strict=True)]
    return table("Confusion matrix, counts", header, cells)


def class_table(scores: Sequence[ClassScores]) -> Markup:
    """Recall and precision in percent on test; a dash for a class without a clip, or one that was never predicted."""
    seeds = list(scores[0].recall)
    of_seeds = [f"seed {seed}" for seed in seeds]
    names = [f"{measure}, {which}" for measure in ("recall", "precision") for which in (*of_seeds, "mean")]
    cells = [
        (
            of_class.label,
            of_class.num_clips,
            *(percent(of_class.recall[seed]) for seed in seeds),
            percent(of_class.recall_mean),
            *(percent(of_class.precision[seed]) for seed in seeds),
            percent(of_class.precision_mean),
        )
        for of_class in scores
    ]
    header = (("class", "name"), ("test clips", "number"), *((name, "number") for name in names))
    return table("Recall and precision by class and seed", header, cells)


def parameters(configuration: Mapping[str, Any]) -> Markup:
    """A configuration as short name–value pairs; the untuned default carries a tag."""
    pairs = [
        element("span", element("b", name), " ", parameter_text(value))
        for name, value in searched(configuration).items()
    ]
    tag = element("span", "untuned default", class_="tag default") if configuration.get("untuned_default") else None
    return element("div", tag, *pairs, class_="parameters") if pairs or tag else Markup(NO_VALUE)


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Names and values as a list of two columns."""
    return element("dl", *(join(element("dt", name), element("dd", value)) for name, value in pairs), class_="facts")


def json_block(name: str, value: Any) -> Markup:
    """A JSON value, indented, behind a summary line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return folded(name, element("div", element("pre", text), **_scroll(name)))


def folded(summary: str, *content: object) -> Markup:
    """Content that is shown when its summary is clicked."""
    return element("details", element("summary", summary), *content)


def _leaderboard_cells(sweep: SweepResults, row: LeaderboardRow) -> tuple[object, ...]:
    validation, test, *others = score_cells(sweep, row)
    return (
        row.rank,
        row.architecture,
        parameters(row.configuration),
        len(row.seeds),
        validation,
        element("strong", test),
        *others,
        f"{row.num_parameters:,}",
    )


def table(
    name: str,
    header: Sequence[tuple[str, str]],
    rows: Iterable[Sequence[object]],
    *,
    highlight_first: bool = False,
) -> Markup:
    """A table in a box of its own that scrolls; `header` gives the heading and the class of every column."""
    head = element("tr", *(_cell("th", text, class_, scope="col") for text, class_ in header))
    body = [
        element(
            "tr",
            *(_cell("td", value, class_) for value, (_, class_) in zip(row, header, strict=True)),
            **({"class_": "best"} if highlight_first and index == 0 else {}),
        )
        for index, row in enumerate(rows)
    ]
    return element("div", element("table", element("thead", head), element("tbody", *body)), **_scroll(name))


def _cell(tag: str, value: object, class_: str, **attributes: str) -> Markup:
    return element(tag, value, **({"class_": class_} if class_ else {}), **attributes)


def _scroll(name: str) -> dict[str, str]:
    """A scrolling box can be reached and scrolled by keyboard, and says what it holds."""
    return {"class_": "scroll", "tabindex": "0", "role": "region", "aria_label": name}
