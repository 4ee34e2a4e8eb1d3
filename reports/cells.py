"""The cells of the tables that a terminal and the page share: the leaderboard's and the groups'.

Enters: a `SweepResults`, rows of its leaderboard, groups. Leaves: a header and one list of cells per row.
"""

from collections.abc import Iterable

from reports.chosen_by import chosen_by
from reports.group_scores import GroupScores
from reports.leaderboard import LeaderboardRow
from reports.sweep_results import SweepResults
from reports.text import configuration_text, decimal, percent

GROUP_HEADER = ("group", "test clips", "accuracy", "balanced accuracy", "macro-F1")


def leaderboard_header(sweep: SweepResults) -> tuple[str, ...]:
    """The columns of `leaderboard_lines`."""
    return ("rank", "architecture", "configuration", "seeds", *score_header(sweep))


def leaderboard_lines(sweep: SweepResults, rows: Iterable[LeaderboardRow]) -> list[list[str]]:
    """One list of cells per row; shares in percent with one decimal, ± the deviation over seeds."""
    return [
        [
            str(row.rank),
            row.architecture,
            configuration_text(row.configuration),
            str(len(row.seeds)),
            *score_cells(sweep, row),
        ]
        for row in rows
    ]


def score_header(sweep: SweepResults) -> tuple[str, ...]:
    """First what rows are ranked by, then the same on test, then two other scores on test."""
    score = chosen_by(sweep)
    others = ("test macro-F1", "test AUC") if score.is_share else ("test mAP", "test macro-F1")
    return (f"validation {score.short}", f"test {score.short}", *others)


def score_cells(sweep: SweepResults, row: LeaderboardRow) -> tuple[str, ...]:
    """The cells below `score_header`."""
    score = chosen_by(sweep)
    macro_f1 = percent(row.test_macro_f1_mean, row.test_macro_f1_std)
    return (
        score.told(row.validation_score_mean, row.validation_score_std),
        score.told(row.test_score_mean, row.test_score_std),
        *((macro_f1, decimal(row.test_auc_mean)) if score.is_share else (decimal(row.test_map_mean), macro_f1)),
    )


def group_lines(groups: Iterable[GroupScores]) -> list[list[str]]:
    """One list of cells per group, in the order of GROUP_HEADER; percent, ± the deviation over seeds."""
    return [
        [
            group.group,
            str(group.num_clips),
            *(percent(group.mean[name], group.deviation[name]) for name in group.mean),
        ]
        for group in groups
    ]
