"""One experiment as one HTML page: a configuration over folds and seeds, in the manner of a sweep's page."""

import json
from collections.abc import Mapping, Sequence

from reports import plots
from reports.answer_sections import calibration_section, groups_section
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import chosen_by, has_several_labels
from reports.cost_sections import failures_section
from reports.cross_validation import by_fold, fold_header, fold_lines, fold_rows, is_literature
from reports.error_sections import CLASSES, LABELS, MATRIX, class_section, confusion_section, label_section
from reports.evidence import estimate
from reports.leaderboard import LeaderboardRow
from reports.markup import Markup, element
from reports.optimism import clip_cube, folds_of, gaps_of_experiment, optimism_section
from reports.sections import what_was_run_section
from reports.sweep_results import SweepResults
from reports.tables import json_block, table
from reports.text import counted
from storage.errors import InvalidInput

LITERATURE = (
    "Protocol: literature. The epochs whose weights were kept were chosen on the test folds themselves, as many papers "
    "do. These scores are too good by what that choice is worth; compare them with such papers only."
)


def experiment_sections(sweep: SweepResults) -> list[Markup | None]:
    """The sections of the page, in order."""
    folds = by_fold(sweep)
    rows = list(folds.values())
    return [
        _scores_section(sweep),
        optimism_section(sweep, gaps_of_experiment(sweep), is_expected=is_literature(sweep)),
        _curves_section(sweep, folds),
        *_error_sections(sweep, rows),
        groups_section(sweep, rows),
        calibration_section(sweep, rows),
        failures_section(sweep),
        _configuration_section(sweep),
        what_was_run_section(sweep),
    ]


def _scores_section(sweep: SweepResults) -> Markup:
    rows = fold_rows(sweep)
    if not rows:
        return section("Scores by fold", empty("Shown once a seed of a fold is complete."))
    chosen = "the test fold" if is_literature(sweep) else "validation, which lies inside the training folds"
    text = (
        f"Test scores of every fold with the weights of the epoch that was best on {chosen}. Each ± is the sample "
        "standard deviation over seeds; the last row is the mean over folds, seed by seed."
    )
    header = [(name, "number") for name in fold_header(sweep)]
    by_fold_table = table("Scores by fold", header, fold_lines(sweep, rows))
    return section("Scores by fold", caption(text), by_fold_table, _interval(sweep))


def _interval(sweep: SweepResults) -> Markup | None:
    """Of the mean over all folds and seeds; None before every fold has a seed with predictions."""
    try:
        found = estimate(clip_cube(folds_of(sweep)))
    except InvalidInput:
        return None
    score = chosen_by(sweep)
    return element(
        "p",
        f"Over all folds and seeds: test {score.name} {score.told(found.mean)}, 95 % interval ",
        element("strong", score.told_interval(found.interval)),
        f", over {counted(found.num_clips, 'clip')} in {counted(found.num_groups, 'group')}, "
        f"{counted(found.num_folds, 'fold')} and {counted(found.num_seeds, 'seed')}.",
    )


def _curves_section(sweep: SweepResults, folds: Mapping[str, LeaderboardRow]) -> Markup:
    if not folds:
        return section("Learning curves", empty("Shown once a fold has all its seeds complete."))
    num_lines = sum(len(row.seeds) for row in folds.values())
    score = plotted(
        f"Validation {chosen_by(sweep).name} by epoch",
        plots.score_curves(sweep, folds),
        f"A colour per fold, {counted(num_lines, 'line')} in all, one per seed. A ring marks the epoch whose weights "
        "were kept.",
    )
    losses = [
        plotted(f"Loss by epoch: {name}", plots.loss_curves(sweep, row), "Validation solid, training dotted, per seed.")
        for name, row in folds.items()
    ]
    return section("Learning curves", score, element("div", *losses, class_="pair"))


def _error_sections(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[Markup]:
    if has_several_labels(sweep):
        return [label_section(sweep, rows) if rows else section(LABELS, empty("Shown once a fold is complete."))]
    if sweep.seeds.empty:
        return [section(title, empty("Shown once a seed of a fold is complete.")) for title in (MATRIX, CLASSES)]
    parts = f"all test folds and seeds that are complete ({counted(len(sweep.seeds), 'test part')})"
    return [
        confusion_section(sweep, sweep.seeds, "Where it errs", f"{parts.capitalize()}."),
        class_section(sweep, sweep.seeds, f"the models of {parts}, the folds of a seed counted together"),
    ]


def _configuration_section(sweep: SweepResults) -> Markup:
    if sweep.suggestions.empty:
        return section("Configuration", empty("No fold has been planned yet."))
    first = sweep.suggestions.iloc[0]
    return section(
        "Configuration",
        caption("Of the first fold; the others differ in their split alone."),
        json_block("The whole configuration", json.loads(first["configuration"])),
    )
