"""From the results table to what people read: leaderboard, JSON, terminal cells and one self-contained HTML page."""

from reports.cross_validation import fold_header, fold_lines, fold_rows, is_experiment, is_literature
from reports.leaderboard import (
    LeaderboardRow,
    SweepResults,
    best_of_each_architecture,
    leaderboard,
    load_sweep,
    newest_sweep,
    to_json,
)
from reports.page import render_page
from reports.text import LEADERBOARD_HEADER, leaderboard_lines
from reports.trials import TrialSummary, trial_summaries

__all__ = [
    "SweepResults",
    "load_sweep",
    "newest_sweep",
    "LeaderboardRow",
    "leaderboard",
    "best_of_each_architecture",
    "to_json",
    "LEADERBOARD_HEADER",
    "leaderboard_lines",
    "TrialSummary",
    "trial_summaries",
    "render_page",
    "fold_header",
    "fold_lines",
    "fold_rows",
    "is_experiment",
    "is_literature",
]
