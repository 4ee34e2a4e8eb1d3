"""Sections from the predictions of single clips: scores by group, and whether a model is right as often as it says.

Enters: a `SweepResults` and rows of its leaderboard. Leaves: sections; none where no predictions are stored.
"""

from collections.abc import Sequence

import numpy as np

from reports import plots
from reports.blocks import caption, plotted, section
from reports.calibration import NUM_BINS, reliability
from reports.cells import GROUP_HEADER, group_lines
from reports.group_scores import GroupScores, are_told, group_scores
from reports.leaderboard import LeaderboardRow
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import table
from reports.text import counted

_GROUPS = "Scores by group"
_MOST_GROUPS_IN_A_TABLE, _NUM_WORST = 20, 10


def groups_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup | None:
    """A table where groups are few; where they are many, all of them as dots and a table of the worst.

    Args:
        rows: the configuration that is shown: one row, or one for every fold.
    """
    groups = group_scores(sweep, rows)
    if not are_told(groups):
        return None
    text = (
        f"{_who(rows)}, on test: {counted(len(groups), 'group')} that no split tears apart (speakers, recordings, "
        f"sites), the worst first; {_seeds(rows)}. A dash: all clips of the group have the same label, so that there "
        "is nothing to balance."
    )
    if len(groups) <= _MOST_GROUPS_IN_A_TABLE:
        return section(_GROUPS, caption(text), _table(_GROUPS, groups))
    figure = plotted(
        "How far groups lie apart",
        plots.group_strip(groups),
        "A dot per group, the larger the more test clips it has; dashed: the mean over groups.",
    )
    title = f"The {_NUM_WORST} worst of {len(groups)} groups"
    return section(_GROUPS, caption(text), figure, element("h3", title), _table(title, groups[:_NUM_WORST]))


def calibration_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup | None:
    """The reliability diagram of a configuration: one row, or one for every fold."""
    found = reliability(sweep, rows) if rows else None
    if found is None:
        return None
    errors = list(found.errors.values())
    spread = f" ± {np.std(errors, ddof=1):.3f}" if len(errors) > 1 else ""
    # Bins of few clips stray from the diagonal by chance.
    together = (
        " It is of all folds' clips together, and as a rule lower than a mean over folds." if len(rows) > 1 else ""
    )
    text = (
        f"{_who(rows)}, on test: {counted(found.num_predictions, 'prediction')} ({counted(found.num_clips, 'clip')} × "
        f"{counted(len(errors), 'seed')}) in {NUM_BINS} bins by the probability of the most probable label. A bar "
        "below the diagonal: the model is surer than it is right. Expected calibration error, the mean distance from "
        f"the diagonal: {np.mean(errors):.3f}{spread}.{together}"
    )
    return section(
        "Calibration", plotted("How often it is right where it is this sure", plots.reliability_diagram(found), text)
    )


def _table(title: str, groups: Sequence[GroupScores]) -> Markup:
    name, *numbers = GROUP_HEADER
    return table(title, ((name, "name"), *((number, "number") for number in numbers)), group_lines(groups))


def _who(rows: Sequence[LeaderboardRow]) -> str:
    which = f"trial {rows[0].number}" if len(rows) == 1 else f"all {len(rows)} folds"
    return f"{rows[0].architecture}, {which}"


def _seeds(rows: Sequence[LeaderboardRow]) -> str:
    num_seeds = len(rows[0].seeds)
    return f"± over {num_seeds} seeds" if num_seeds > 1 else "a single seed"
