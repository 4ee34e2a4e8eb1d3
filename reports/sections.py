"""The sections of the page, one function each. Enters: a `SweepResults`, rows, trials. Leaves: a `<section>`.

Every section has a caption that names units and n, and says in words what is missing when there is nothing to show.
"""

from collections.abc import Mapping, Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.cells import score_cells, score_header
from reports.chosen_by import chosen_by, has_several_labels
from reports.final_scores import FinalScore
from reports.leaderboard import LeaderboardRow, part_scores
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import facts, json_block, leaderboard_table, parameters, trials_table
from reports.text import counted
from reports.trials import TrialSummary


def headline_section(sweep: SweepResults, rows: Sequence[LeaderboardRow], found: FinalScore | None = None) -> Markup:
    """Args: found: the best configuration with its interval; None where there is none."""
    if not rows:
        return section(
            "Best configuration", empty("No configuration has all its seeds complete, so there is no result yet.")
        )
    best, score = rows[0], chosen_by(sweep)
    mean, *spread_of_mean = score.told(best.test_score_mean, best.test_score_std).split(" ", maxsplit=1)
    number = element("p", mean, element("span", " ", *spread_of_mean), class_="figure-number")
    spread = (
        f"mean ± standard deviation over {len(best.seeds)} seeds"
        if len(best.seeds) > 1
        else "a single seed, so its spread is unknown"
    )
    left = element(
        "div",
        element("p", "Best configuration", class_="eyebrow"),
        number,
        element("p", f"test {score.name}, {spread}; {counted(best.num_test_clips, 'test clip')}"),
        element("p", "Seed by seed: ", _seed_by_seed(sweep, best), class_="caption"),
    )
    return element("section", left, element("div", facts(_headline_facts(sweep, rows, found))), class_="headline")


def _seed_by_seed(sweep: SweepResults, row: LeaderboardRow) -> str:
    seeds, score = sweep.seeds_of(row.trial_id, row.seeds), chosen_by(sweep)
    return ", ".join(
        f"{score.told(value)} (seed {seed})"
        for seed, value in zip(seeds["seed"], part_scores(seeds, "test"), strict=True)
    )


def _headline_facts(
    sweep: SweepResults, rows: Sequence[LeaderboardRow], found: FinalScore | None
) -> list[tuple[str, object]]:
    best, score = rows[0], chosen_by(sweep)
    validation, _, *others = zip(score_header(sweep), score_cells(sweep, best), strict=True)
    highest = f"highest {score.name} of {counted(len(rows), 'fully trained configuration')}"
    pairs: list[tuple[str, object]] = [
        ("architecture", element("strong", best.architecture)),
        ("configuration", parameters(best.configuration)),
        *others,
        validation,
        ("chosen on", f"validation, never on test: {highest}"),
    ]
    if found is not None and found.score.interval is not None:
        pairs.insert(2, ("95 % interval of the mean", _interval(sweep, found)))
    untuned = [
        row for row in rows[1:] if row.configuration["untuned_default"] and row.architecture == best.architecture
    ]
    if untuned:
        gain = score.told_gain(best.test_score_mean - untuned[0].test_score_mean)
        default = score.told(untuned[0].test_score_mean, untuned[0].test_score_std)
        pairs.append(("against its untuned default", f"{gain} (default: {default})"))
    return pairs


def _interval(sweep: SweepResults, found: FinalScore) -> str:
    score, told = chosen_by(sweep), found.score
    over = f"over clips, {counted(told.num_seeds, 'seed')} and {counted(told.num_folds, 'fold')}"
    confirmed = "" if found.finalist.source is sweep else f"; {score.told(told.mean)} in the confirmation"
    return f"{score.told_interval(told.interval)}, {over}{confirmed}"


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
