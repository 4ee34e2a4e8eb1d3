"""What the best configuration gets wrong: the matrix and the recalls, or each label by itself where a clip has several.

Enters: a `SweepResults` and its leaderboard. Leaves: sections of the page.
"""

from collections.abc import Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.label_scores import LabelScores, has_several_labels, label_scores
from reports.leaderboard import LeaderboardRow, SweepResults
from reports.markup import Markup
from reports.sections import confusion_section, recall_section
from reports.tables import folded, table
from reports.text import counted, decimal

_TITLE = "Scores by label"


def error_sections(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[Markup]:
    """Confusion matrix and recall of single labels; of several, which do not stand for one another, scores by label."""
    if not has_several_labels(sweep):
        return [confusion_section(sweep, rows), recall_section(sweep, rows)]
    if not rows:
        return [section(_TITLE, empty("Shown once a configuration has all its seeds complete."))]
    return [label_section(sweep, rows[:1])]


def label_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup:
    """AUC and average precision of every label, as a figure and as a table.

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
    return section(_TITLE, figure, folded("The same as a table", caption("Means over seeds."), _table(scores)))


def _table(scores: Sequence[LabelScores]) -> Markup:
    header = (("label", "name"), ("test clips", "number"), ("ROC-AUC", "number"), ("average precision", "number"))
    cells = [
        (label.label, label.num_clips, decimal(label.auc_mean), decimal(label.average_precision_mean))
        for label in scores
    ]
    return table(_TITLE, header, cells)
