"""From the results table to what people read: leaderboard, JSON, terminal cells and one self-contained HTML page."""

from reports.cells import GROUP_HEADER, group_lines, leaderboard_header, leaderboard_lines
from reports.cross_validation import by_fold, fold_header, fold_lines, fold_rows, is_experiment, is_literature
from reports.finals import Finals, finals_of
from reports.finals_lines import CONFIRMED_HEADER, confirmed_lines, confirmed_title
from reports.for_programs import sweep_json
from reports.group_scores import GroupScores, are_told, ends, group_scores
from reports.leaderboard import LeaderboardRow, best_of_each_architecture, leaderboard, to_json
from reports.page import render_page
from reports.pareto import ParetoRow, front_lines, objectives_of, pareto_rows
from reports.studies import export_studies
from reports.sweep_comparison import render_comparison
from reports.sweep_results import SweepResults, load_sweep, newest_sweep
from reports.trials import TrialSummary, trial_summaries

__all__ = [
    "SweepResults",
    "load_sweep",
    "newest_sweep",
    "LeaderboardRow",
    "leaderboard",
    "best_of_each_architecture",
    "to_json",
    "sweep_json",
    "Finals",
    "finals_of",
    "CONFIRMED_HEADER",
    "confirmed_lines",
    "confirmed_title",
    "leaderboard_header",
    "leaderboard_lines",
    "GroupScores",
    "group_scores",
    "are_told",
    "ends",
    "GROUP_HEADER",
    "group_lines",
    "TrialSummary",
    "trial_summaries",
    "ParetoRow",
    "pareto_rows",
    "objectives_of",
    "front_lines",
    "render_page",
    "render_comparison",
    "export_studies",
    "by_fold",
    "fold_header",
    "fold_lines",
    "fold_rows",
    "is_experiment",
    "is_literature",
]
