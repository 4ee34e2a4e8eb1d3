"""What a configuration gets wrong: matrix, recall and precision by class, or each label where a clip has several.

Enters: a `SweepResults` and rows of its leaderboard. Leaves: sections of the page.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import has_several_labels
from reports.class_scores import ClassScores, class_scores
from reports.finalists import Finalist
from reports.label_scores import LabelScores, label_scores
from reports.leaderboard import LeaderboardRow
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import class_table, confusion_table, folded, table
from reports.text import counted, decimal, percent

CLASSES, LABELS, MATRIX = "Recall and precision by class", "Scores by label", "Confusion matrix"
RECALLS = "Classes × seeds"
_LATER = "Shown once a configuration has all its seeds complete."


def error_sections(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[Markup]:
    """Matrix and classes of single labels; of several, which do not stand for one another, scores by label.

    Args:
        rows: the configuration that is shown: one row, or one for every fold.
    """
    if has_several_labels(sweep):
        return [label_section(sweep, rows) if rows else section(LABELS, empty(_LATER))]
    if not rows:
        return [section(title, empty(_LATER)) for title in (MATRIX, CLASSES)]
    best = rows[0]
    seeds = pd.concat([sweep.seeds_of(row.trial_id, row.seeds) for row in rows])
    folds = f", {len(rows)} folds together" if len(rows) > 1 else ""
    who = f"{best.architecture}, trial {best.number}{folds}"
    num_clips = sum(row.num_test_clips for row in rows)
    parts = f"{counted(num_clips, 'test clip')} × {counted(len(best.seeds), 'seed')}"
    predictions = f"{who}; {parts} = {num_clips * len(best.seeds)} predictions."
    return [
        confusion_section(sweep, seeds, "Where the best configuration errs", predictions),
        class_section(sweep, seeds, who),
    ]


def confusion_section(sweep: SweepResults, seeds: pd.DataFrame, title: str, what: str) -> Markup:
    """Who is taken for whom.

    Args:
        seeds: rows of the seeds table, over which the counts are summed.
        what: a sentence that says whose predictions these are, and how many.
    """
    how_counted = "The number is the count (none: 0)" if plots.shows_counts(sweep) else "Point at a cell for its count"
    whose = "the colour is the share of the row, that is of the clips whose true label is the row's"
    text = f"{what} {how_counted}; {whose}."
    width = plots.confusion_width_pixels(sweep)
    figure = plotted(title, plots.confusion_matrix(sweep, seeds), text, min_width_pixels=width)
    return section(MATRIX, figure, folded("The same counts as a table", confusion_table(sweep, seeds)))


def class_section(sweep: SweepResults, seeds: pd.DataFrame, who: str) -> Markup:
    """Which classes a seed gains or loses.

    Args:
        seeds: rows of the seeds table: of one trial, or of all folds, whose clips are counted together.
        who: whose answers these are, as a part of a sentence.
    """
    scores = class_scores(sweep, seeds)
    recall = plotted(
        "Which classes a seed gains or loses: recall",
        plots.class_marks(scores, "recall"),
        f"Share of a class's test clips that were recognised, by {who}; a mark per seed and a bar at their mean, the "
        "weakest class on top. In brackets: n, the test clips of the class.",
    )
    precision = plotted(
        "How far an answer can be trusted: precision",
        plots.class_marks(scores, "precision"),
        "Share of the clips taken for a class that are of it; the classes in the same order. No mark where a seed took "
        "no clip for it.",
    )
    as_table = folded("The same as a table", class_table(scores))
    return section(CLASSES, element("div", recall, precision, class_="pair"), as_table)


def recall_section(sweep: SweepResults, finalists: Sequence[Finalist]) -> Markup | None:
    """Recall of every class by every seed of these configurations: a class that one seed misses is seen at once."""
    if has_several_labels(sweep) or not finalists:
        return None
    scores = {finalist.name: class_scores(sweep, finalist.seed_rows) for finalist in finalists}
    means = {of_class.label: of_class.recall_mean for of_class in scores[finalists[0].name]}
    order = sorted(means, key=lambda label: (means[label] is None, means[label] or 0.0))
    ordered = {
        name: sorted(classes, key=lambda of_class: order.index(of_class.label)) for name, classes in scores.items()
    }
    folds = ", its folds counted together" if finalists[0].num_folds > 1 else ""
    figure = plotted(
        "Recall by class and seed",
        plots.recall_map(ordered),
        f"Percent of a class's test clips that were recognised, by the best of each architecture; a column per seed"
        f"{folds}. The class that the first one recognises least is on top. A dash: no test clip.",
        min_width_pixels=plots.recall_map_width_pixels(ordered),
    )
    return section(RECALLS, figure, folded("The same as a table", _recall_table(ordered)))


def _recall_table(scores: Mapping[str, Sequence[ClassScores]]) -> Markup:
    first = next(iter(scores.values()))
    columns = [(name, seed) for name, classes in scores.items() for seed in classes[0].recall]
    header = [("class", "name"), ("test clips", "number")]
    header += [(f"{name}, seed {seed}", "number") for name, seed in columns]
    cells = [
        (of_class.label, of_class.num_clips, *(percent(scores[name][place].recall[seed]) for name, seed in columns))
        for place, of_class in enumerate(first)
    ]
    return table(RECALLS, header, cells)


def label_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup:
    """AUC and average precision of every label, as a figure and, with recall and precision, as a table.

    Args:
        rows: the configuration that is shown: one row, or one for every fold.
    """
    scores = label_scores(sweep, rows)
    which = f"trial {rows[0].number}" if len(rows) == 1 else f"all {len(rows)} folds"
    text = (
        f"{rows[0].architecture}, {which}, on test, {counted(len(rows[0].seeds), 'seed')}: a mark per "
        "seed and a bar at their mean, the weakest label on top. In brackets: n, the test clips that have the label. "
        "ROC-AUC is 0.5 by chance, average precision the share of clips that have the label."
    )
    figure = plotted("Which labels are recognised", plots.label_marks(scores), text)
    how = (
        f"Means over {'seeds' if len(rows) == 1 else 'folds and seeds'}. Recall and precision take a clip to have the "
        "labels whose probability is at least one half."
    )
    return section(
        LABELS, figure, folded("The same as a table, with recall and precision", caption(how), _table(scores))
    )


def _table(scores: Sequence[LabelScores]) -> Markup:
    names = ("test clips", "ROC-AUC", "average precision", "recall", "precision")
    cells = [
        (
            label.label,
            label.num_clips,
            decimal(label.auc_mean),
            decimal(label.average_precision_mean),
            percent(label.recall_mean),
            percent(label.precision_mean),
        )
        for label in scores
    ]
    return table(LABELS, (("label", "name"), *((name, "number") for name in names)), cells)
