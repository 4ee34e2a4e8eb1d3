"""The sections of the page, one function each. Enters: a `SweepResults`, rows, trials. Leaves: a `<section>`.

Every section has a caption that names units and n, and says in words what is missing when there is nothing to show.
"""

from collections.abc import Mapping, Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.leaderboard import LeaderboardRow, SweepResults
from reports.markup import Markup, element
from reports.tables import (
    confusion_table,
    facts,
    failures_table,
    folded,
    json_block,
    leaderboard_table,
    parameters,
    recall_table,
    trials_table,
)
from reports.text import counted, decimal, percent
from reports.trials import TrialSummary


def headline_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup:
    if not rows:
        return section(
            "Best configuration", empty("No configuration has all its seeds complete, so there is no result yet.")
        )
    best = rows[0]
    deviation = "" if best.test_accuracy_std is None else f" ± {100 * best.test_accuracy_std:.1f}"
    number = element(
        "p", f"{100 * best.test_accuracy_mean:.1f}", element("span", f"{deviation} %"), class_="figure-number"
    )
    spread = (
        f"mean ± standard deviation over {len(best.seeds)} seeds"
        if len(best.seeds) > 1
        else "a single seed, so its spread is unknown"
    )
    left = element(
        "div",
        element("p", "Best configuration", class_="eyebrow"),
        number,
        element("p", f"test accuracy, {spread}; {counted(best.num_test_clips, 'test clip')}"),
        element("p", "Seed by seed: ", _seed_by_seed(sweep, best), class_="caption"),
    )
    return element("section", left, element("div", facts(_headline_facts(sweep, rows))), class_="headline")


def _seed_by_seed(sweep: SweepResults, row: LeaderboardRow) -> str:
    seeds = sweep.seeds_of(row.trial_id, row.seeds)
    return ", ".join(
        f"{percent(accuracy)} (seed {seed})"
        for seed, accuracy in zip(seeds["seed"], seeds["test_accuracy"], strict=True)
    )


def _headline_facts(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> list[tuple[str, object]]:
    best = rows[0]
    pairs: list[tuple[str, object]] = [
        ("architecture", element("strong", best.architecture)),
        ("configuration", parameters(best.configuration)),
        ("test macro-F1", percent(best.test_macro_f1_mean, best.test_macro_f1_std)),
        ("test AUC", f"{decimal(best.test_auc_mean)} (one-vs-rest, macro)"),
        ("validation accuracy", percent(best.validation_accuracy_mean, best.validation_accuracy_std)),
        ("chosen on", f"validation, never on test: highest of {counted(len(rows), 'fully trained configuration')}"),
    ]
    untuned = [
        row for row in rows[1:] if row.configuration["untuned_default"] and row.architecture == best.architecture
    ]
    if untuned:
        # + 0.0 turns the -0.0 that rounding leaves into 0.0.
        gain = round(100 * (best.test_accuracy_mean - untuned[0].test_accuracy_mean), 1) + 0.0
        default = percent(untuned[0].test_accuracy_mean, untuned[0].test_accuracy_std)
        pairs.append(("against its untuned default", f"{gain:+.1f} points in test accuracy (default: {default})"))
    return pairs


def leaderboard_section(rows: Sequence[LeaderboardRow]) -> Markup:
    if not rows:
        return section("Leaderboard", empty("Empty until a configuration has all its seeds complete."))
    text = (
        "Configurations with all seeds complete, ranked by mean validation accuracy (ties: validation macro-F1). Test "
        "numbers play no part in the order. Each ± is the sample standard deviation over seeds; it says nothing about "
        "which clips happened to be in the test set. Rows closer than their deviations are not shown to differ."
    )
    return section("Leaderboard", caption(text), leaderboard_table(rows))


def learning_curves_section(sweep: SweepResults, best: Mapping[str, LeaderboardRow]) -> Markup:
    if not best:
        return section("Learning curves", empty("Shown once a configuration has all its seeds complete."))
    num_lines = sum(len(row.seeds) for row in best.values())
    accuracy = plotted(
        "Validation accuracy by epoch",
        plots.accuracy_curves(sweep, best),
        f"The best configuration of each architecture; one line per seed (n = {num_lines}). "
        "A ring marks the epoch whose weights were kept.",
    )
    highest = _highest_loss(sweep, best)
    losses = [
        plotted(
            f"Loss by epoch: {architecture}",
            plots.loss_curves(sweep, row, highest=highest),
            f"Cross-entropy per clip as the trial reported it, {counted(len(row.seeds), 'seed')}; trial {row.number}.",
        )
        for architecture, row in best.items()
    ]
    missing = [name for name in plots.architecture_names(sweep) if name not in best]
    note = (
        empty(f"Not shown, since no configuration has all its seeds complete: {', '.join(missing)}.")
        if missing
        else None
    )
    return section("Learning curves", accuracy, element("div", *losses, class_="pair"), note)


def _highest_loss(sweep: SweepResults, best: Mapping[str, LeaderboardRow]) -> float | None:
    """One loss axis for all architectures, cut where a single diverging step would flatten everything else."""
    shown = sweep.epochs[sweep.epochs["trial_id"].isin([row.trial_id for row in best.values()])]
    losses = shown[["train_loss", "validation_loss"]].to_numpy().ravel()
    losses = losses[losses == losses]
    if not losses.size:
        return None
    return 1.05 * min(float(losses.max()), 4 * float(sorted(losses)[int(0.9 * (losses.size - 1))]))


def rungs_section(sweep: SweepResults, trials: Sequence[TrialSummary]) -> Markup:
    trained = [trial for trial in trials if trial.seed_epochs]
    if not trained:
        return section("What was stopped where", empty("No trial has trained an epoch yet."))
    return section(
        "What was stopped where",
        plotted(
            "Objective by epochs spent",
            plots.rung_picture(sweep, trained),
            f"All {counted(len(trained), 'trial')} that trained; one faint line each, its mark says how it ended. "
            "A seed-epoch is one epoch of one seed, so a line runs on through the further seeds of its trial. The "
            "objective is the validation accuracy that the scheduler compared. Dotted: where it stopped trials.",
        ),
    )


def confusion_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup:
    if not rows:
        return section("Confusion matrix", empty("Shown once a configuration has all its seeds complete."))
    best = rows[0]
    num_clips = best.num_test_clips * len(best.seeds)
    how_counted = "The number is the count (none: 0)" if plots.shows_counts(sweep) else "Point at a cell for its count"
    text = (
        f"{best.architecture}, trial {best.number}; {counted(best.num_test_clips, 'test clip')} × "
        f"{counted(len(best.seeds), 'seed')} = {num_clips} predictions. {how_counted}; the colour is the share of the "
        "row, that is of the clips whose true label is the row's."
    )
    figure = plotted(
        "Where the best configuration errs",
        plots.confusion_matrix(sweep, best),
        text,
        min_width_pixels=plots.confusion_width_pixels(sweep),
    )
    return section("Confusion matrix", figure, folded("The same counts as a table", confusion_table(sweep, best)))


def recall_section(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Markup:
    if not rows:
        return section("Recall by class and seed", empty("Shown once a configuration has all its seeds complete."))
    best = rows[0]
    figure = plotted(
        "Which classes a seed gains or loses",
        plots.recall_by_seed(sweep, best),
        f"Share of a class's test clips that were recognised, by {best.architecture}, trial {best.number}; a mark per "
        "seed and a bar at their mean, the weakest class on top. In brackets: n, the test clips of the class.",
    )
    return section("Recall by class and seed", figure, folded("The same as a table", recall_table(sweep, best)))


def trials_section(trials: Sequence[TrialSummary]) -> Markup:
    if not trials:
        return section("All trials", empty("No trial has been planned yet."))
    text = (
        "In the order of suggestion. Objective: the mean of the best validation accuracies of the trial's seeds; for a "
        "trial that has not ended, what the scheduler compared last. Seed-epochs: epochs trained, over all its seeds."
    )
    return section("All trials", caption(text), trials_table(trials))


def failures_section(sweep: SweepResults) -> Markup:
    if sweep.failures.empty:
        return section("Failures", empty("No failure was recorded."))
    text = "Every recorded failure, oldest first. A trial may fail, be tried again and finish."
    return section("Failures", caption(text), failures_table(sweep))


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
