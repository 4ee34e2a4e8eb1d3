"""The page's tables: leaderboard, trials, failures, and the figures' numbers for those who cannot see figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.leaderboard import LeaderboardRow, SweepResults, summed_confusion
from reports.markup import Markup, element, join
from reports.text import NO_VALUE, decimal, parameter_text, percent, searched
from reports.trials import TrialSummary


def leaderboard_table(rows: Iterable[LeaderboardRow]) -> Markup:
    header = (
        ("rank", "number"),
        ("architecture", "name"),
        ("configuration", ""),
        ("seeds", "number"),
        ("validation accuracy", "number"),
        ("test accuracy", "number"),
        ("test macro-F1", "number"),
        ("test AUC", "number"),
        ("parameters", "number"),
    )
    return table("Leaderboard", header, [_leaderboard_cells(row) for row in rows], highlight_first=True)


def trials_table(trials: Iterable[TrialSummary]) -> Markup:
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
    cells = [
        (
            trial.number,
            trial.architecture,
            parameters(trial.configuration),
            element("span", trial.state, class_=f"tag {trial.state}"),
            trial.why,
            f"{trial.num_seeds_complete} of {trial.num_seeds}",
            trial.seed_epochs,
            percent(trial.objective),
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


def confusion_table(sweep: SweepResults, row: LeaderboardRow) -> Markup:
    """Clips by true and predicted label, summed over the seeds of a row."""
    counts = summed_confusion(sweep.seeds_of(row.trial_id, row.seeds))
    header = (("true ↓ predicted →", "name"), *((label, "number") for label in sweep.labels))
    cells = [(label, *line.tolist()) for label, line in zip(sweep.labels, counts, strict=True)]
    return table("Confusion matrix, counts", header, cells)


def recall_table(sweep: SweepResults, row: LeaderboardRow) -> Markup:
    """Recall in percent on test; a dash for a class that has no test clip."""
    recalls = [list(values) for values in sweep.seeds_of(row.trial_id, row.seeds)["test_recall"]]
    header = (("class", "name"), *((f"seed {seed}", "number") for seed in row.seeds), ("mean", "number"))
    cells = [
        (
            label,
            *(percent(None if values[index] != values[index] else values[index]) for values in recalls),
            percent(row.test_recall_mean[label]),
        )
        for index, label in enumerate(sweep.labels)
    ]
    return table("Recall by class and seed", header, cells)


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


def _leaderboard_cells(row: LeaderboardRow) -> tuple[object, ...]:
    return (
        row.rank,
        row.architecture,
        parameters(row.configuration),
        len(row.seeds),
        percent(row.validation_accuracy_mean, row.validation_accuracy_std),
        element("strong", percent(row.test_accuracy_mean, row.test_accuracy_std)),
        percent(row.test_macro_f1_mean, row.test_macro_f1_std),
        decimal(row.test_auc_mean),
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
