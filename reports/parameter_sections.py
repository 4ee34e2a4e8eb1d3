"""Which hyperparameters mattered: importances by Optuna, and every trial as a line through its values.

Enters: a `SweepResults`. Leaves: a section with a part for every architecture.
"""

from collections.abc import Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import chosen_by
from reports.leaderboard import LeaderboardRow, best_of_each_architecture
from reports.markup import Markup, element
from reports.parameter_axes import common_scores, parameter_axes, score_axis
from reports.studies import LEAST_TRIALS, importances
from reports.sweep_results import SweepResults
from reports.tables import folded, table
from reports.text import counted, decimal, percent
from reports.trials import TrialSummary

TITLE = "Hyperparameters"
_MOST_LINES = 100


def parameters_section(sweep: SweepResults, rows: Sequence[LeaderboardRow], trials: Sequence[TrialSummary]) -> Markup:
    """Importances and parallel coordinates of every architecture of which something was searched."""
    best = {name: row.trial_id for name, row in best_of_each_architecture(rows).items()}
    parts = [_architecture_part(sweep, name, trials, best.get(name)) for name in plots.architecture_names(sweep)]
    shown = [part for part in parts if part is not None]
    if not shown:
        return section(TITLE, empty("Shown once trials of a searched architecture have ended."))
    text = (
        "Of each architecture, at the last epoch that every ended trial came to, so that none is compared with one "
        "that was trained for longer. Importance, by PED-ANOVA: how much the best quarter's parameters differ from all "
        "others'; it says that a parameter mattered in this space, not which value is best. Trials were not drawn at "
        "random, and few of them say little: a bar that does not reach its mark is what chance alone gives."
    )
    return section(TITLE, caption(text), *shown)


def _architecture_part(
    sweep: SweepResults, architecture: str, trials: Sequence[TrialSummary], best: str | None
) -> Markup | None:
    seed_epochs, scores = common_scores(sweep, architecture)
    axes = parameter_axes(sweep, architecture)
    if not scores or not axes:
        return None
    score_name = chosen_by(sweep)
    told = [score_name.told(score) for score in scores.values()]
    shown = [trial for trial in trials if trial.architecture == architecture and trial.trial_id in scores]
    best_first = sorted(shown, key=lambda trial: -scores[trial.trial_id])[:_MOST_LINES]
    name = f"validation.{score_name.short}"
    some = "" if len(best_first) == len(shown) else f" The best {_MOST_LINES} of {len(shown)} are drawn."
    lines = plotted(
        f"{architecture}: every trial through its values",
        plots.parallel_lines([*axes, score_axis(name, scores, told)], best_first, best),
        f"{counted(len(shown), 'trial')}; at the right the validation {score_name.name} at seed-epoch "
        f"{seed_epochs}. Each axis is the range that was searched.{some} All values stand in the table of all trials.",
        min_width_pixels=plots.parallel_width_pixels(len(axes) + 1),
    )
    return element("div", _importance_part(sweep, architecture, len(shown)), lines)


def _importance_part(sweep: SweepResults, architecture: str, num_trials: int) -> Markup:
    found = importances(sweep, architecture)
    title = f"{architecture}: what mattered"
    if found is None or not found.parameters:
        why = f"{counted(num_trials, 'trial')}; importances are told from {LEAST_TRIALS} on."
        return element("div", element("h3", title), empty(why))
    figure = plotted(
        title,
        plots.importance_bars(found),
        f"{counted(found.num_trials, 'trial')} at seed-epoch {found.seed_epochs}. An upright mark: what 95 of 100 "
        "shuffles of the scores stay below; a pale bar does not reach it.",
    )
    cells = [(one.name, decimal(one.value), percent(one.share), decimal(one.by_chance)) for one in found.parameters]
    header = (("parameter", "name"), *((name, "number") for name in ("importance", "share of all", "by chance")))
    return element("div", figure, folded("The same as a table", table(title, header, cells)))
