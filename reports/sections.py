"""The sections of the page, one function each. Enters: a `SweepResults`, rows, trials. Leaves: a `<section>`.

Every section has a caption that names units and n, and says in words what is missing when there is nothing to show.
"""

from collections.abc import Mapping, Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import chosen_by, has_several_labels
from reports.leaderboard import LeaderboardRow
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import facts, json_block, leaderboard_table, trials_table
from reports.text import counted
from reports.trials import TrialSummary


def leaderboard_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup:
    if not rows:
        return section("Leaderboard", empty("Empty until a configuration has all its seeds complete."))
    text = (
        f"Configurations with all seeds complete, ranked by mean validation {chosen_by(sweep).name} (ties: validation "
        "macro-F1). Test numbers play no part in the order. Each ± is the sample standard deviation over seeds; it "
        "says nothing about which clips happened to be in the test set: intervals and tests stand below. AUC is "
        "one-vs-rest, macro."
    )
    return section("Leaderboard", caption(text), leaderboard_table(sweep, rows))


def learning_curves_section(sweep: SweepResults, best: Mapping[str, LeaderboardRow]) -> Markup:
    if not best:
        return section("Learning curves", empty("Shown once a configuration has all its seeds complete."))
    num_lines = sum(len(row.seeds) for row in best.values())
    several = has_several_labels(sweep)
    scores = plotted(
        f"Validation {chosen_by(sweep).name} by epoch",
        plots.score_curves(sweep, best),
        f"The best configuration of each architecture; one line per seed (n = {num_lines}). "
        "A ring marks the epoch whose weights were kept.",
    )
    highest = _highest_loss(sweep, best)
    losses = [
        plotted(
            f"Loss by epoch: {architecture}",
            plots.loss_curves(sweep, row, highest=highest),
            f"{'Binary c' if several else 'C'}ross-entropy per clip as the trial reported it, "
            f"{counted(len(row.seeds), 'seed')}; trial {row.number}.",
        )
        for architecture, row in best.items()
    ]
    missing = [name for name in plots.architecture_names(sweep) if name not in best]
    note = (
        empty(f"Not shown, since no configuration has all its seeds complete: {', '.join(missing)}.")
        if missing
        else None
    )
    return section("Learning curves", scores, element("div", *losses, class_="pair"), note)


def _highest_loss(sweep: SweepResults, best: Mapping[str, LeaderboardRow]) -> float | None:
    """One loss axis for all architectures, cut where a single diverging step would flatten everything else."""
    shown = sweep.epochs[sweep.epochs["trial_id"].isin([row.trial_id for row in best.values()])]
    losses = shown[["train_loss", "validation_loss"]].to_numpy().ravel()
    losses = losses[losses == losses]
    if not losses.size:
        return None
    return 1.05 * min(float(losses.max()), 4 * float(sorted(losses)[int(0.9 * (losses.size - 1))]))


def trials_section(sweep: SweepResults, trials: Sequence[TrialSummary]) -> Markup:
    if not trials:
        return section("All trials", empty("No trial has been planned yet."))
    text = (
        "In the order of suggestion. Objective: the mean over the trial's seeds of their best validation "
        f"{chosen_by(sweep).name}; for a trial that has not ended, what the scheduler compared last. Seed-epochs: "
        "epochs trained, over all its seeds."
    )
    return section("All trials", caption(text), trials_table(sweep, trials))


def what_was_run_section(sweep: SweepResults) -> Markup:
    row = sweep.sweep
    identity = facts(
        [
            ("data set", element("code", row["dataset"])),
            ("feature fingerprint", element("code", row["fingerprint"])),
            ("split", element("code", row["split_hash"])),
            ("split policy", row["split_policy"]),
            ("started", f"{row['started_at']:%Y-%m-%d %H:%M:%S} UTC"),
            ("sweep id", element("code", sweep.sweep_id)),
        ]
    )
    labels = element("ul", *(element("li", label) for label in sweep.labels), class_="labels")
    return section(
        "What was run",
        caption(
            "The same fingerprint means that the same numbers went in; the same split, the same clips in each part."
        ),
        identity,
        element("h3", f"Labels ({len(sweep.labels)})"),
        labels,
        element("h3", "Configuration and versions"),
        json_block("The whole resolved configuration", sweep.settings),
        json_block("Packages, Python and machine", sweep.versions),
    )
