"""One experiment as one HTML page: a configuration over folds and seeds, in the manner of a sweep's page."""

import json

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.cross_validation import (
    accuracy_by_group,
    by_fold,
    fold_header,
    fold_lines,
    fold_rows,
    is_literature,
    is_multi_label,
)
from reports.leaderboard import SweepResults
from reports.markup import Markup, element
from reports.sections import failures_section, what_was_run_section
from reports.tables import json_block, table
from reports.text import counted, percent

_MOST_GROUPS, _LEAST_CLIPS_A_GROUP = 60, 5

LITERATURE = (
    "Protocol: literature. The epochs whose weights were kept were chosen on the test folds themselves, as many papers "
    "do. These scores are too good by what that choice is worth; compare them with such papers only."
)


def experiment_sections(sweep: SweepResults) -> list[Markup | None]:
    """The sections of the page, in order."""
    return [
        _scores_section(sweep),
        _curves_section(sweep),
        _confusion_section(sweep),
        _groups_section(sweep),
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
    return section("Scores by fold", caption(text), table("Scores by fold", header, fold_lines(sweep, rows)))


def _curves_section(sweep: SweepResults) -> Markup:
    folds = by_fold(sweep)
    if not folds:
        return section("Learning curves", empty("Shown once a fold has all its seeds complete."))
    num_lines = sum(len(row.seeds) for row in folds.values())
    score = plotted(
        "Validation accuracy by epoch",
        plots.accuracy_curves(sweep, folds),
        f"A colour per fold, {counted(num_lines, 'line')} in all, one per seed. A ring marks the epoch whose weights "
        "were kept.",
    )
    losses = [
        plotted(f"Loss by epoch: {name}", plots.loss_curves(sweep, row), "Validation solid, training dotted, per seed.")
        for name, row in folds.items()
    ]
    return section("Learning curves", score, element("div", *losses, class_="pair"))


def _confusion_section(sweep: SweepResults) -> Markup:
    if is_multi_label(sweep):
        return section(
            "Confusion matrix", empty("A clip may have several labels here, so no label stands for another.")
        )
    if sweep.seeds.empty:
        return section("Confusion matrix", empty("Shown once a seed of a fold is complete."))
    text = (
        f"All test folds and seeds that are complete: {counted(len(sweep.seeds), 'test part')}. The colour is the "
        "share of the row, that is of the clips whose true label is the row's."
    )
    matrix = plots.confusion_of(sweep, sweep.seeds)
    width = plots.confusion_width_pixels(sweep)
    return section("Confusion matrix", plotted("Where it errs", matrix, text, min_width_pixels=width))


def _groups_section(sweep: SweepResults) -> Markup | None:
    """Only where groups are few and large, like speakers or sites; recordings of three clips tell nothing."""
    groups = accuracy_by_group(sweep)
    num_clips = sum(count for _, count, _, _ in groups)
    if not 2 <= len(groups) <= _MOST_GROUPS or num_clips < _LEAST_CLIPS_A_GROUP * len(groups):
        return None
    header = (("group", "name"), ("test clips", "number"), ("accuracy", "number"))
    cells = [(group, count, percent(mean, deviation)) for group, count, mean, deviation in groups]
    text = "The groups that no split tears apart (speakers, sites), the worst first; ± over seeds."
    return section("Accuracy by group", caption(text), table("Accuracy by group", header, cells))


def _configuration_section(sweep: SweepResults) -> Markup:
    if sweep.suggestions.empty:
        return section("Configuration", empty("No fold has been planned yet."))
    first = sweep.suggestions.iloc[0]
    return section(
        "Configuration",
        caption("Of the first fold; the others differ in their split alone."),
        json_block("The whole configuration", json.loads(first["configuration"])),
    )
