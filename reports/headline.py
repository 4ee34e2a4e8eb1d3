"""The first thing on a sweep's page: its best configuration, and what it is worth.

Enters: the sweep, its leaderboard and its `Finals`. Leaves: a section. Once a confirmation is complete the best is the
first of the confirmed configurations, with the score and the interval of that confirmation.
"""

from collections.abc import Sequence

from reports.blocks import empty, section
from reports.cells import score_cells, score_header
from reports.chosen_by import ChosenBy, chosen_by
from reports.evidence import Estimate
from reports.final_scores import FinalScore
from reports.finalists import Finalist
from reports.finals import Finals
from reports.leaderboard import LeaderboardRow, part_scores
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import facts, parameters
from reports.text import counted

Facts = list[tuple[str, object]]

_TITLE = "Best configuration"


def headline_section(sweep: SweepResults, rows: Sequence[LeaderboardRow], finals: Finals) -> Markup:
    """Args: rows: of the sweep's leaderboard, best first."""
    if finals.confirmation is not None:
        return _of_confirmation(sweep, rows, finals)
    if not rows:
        return section(_TITLE, empty("No configuration has all its seeds complete, so there is no result yet."))
    return _of_sweep(sweep, rows, finals.score_of(rows[0].number))


def _of_confirmation(sweep: SweepResults, rows: Sequence[LeaderboardRow], finals: Finals) -> Markup:
    first, score = finals.finalists[0], chosen_by(sweep)
    found, seed_scores = finals.score_of(first.number), finals.seed_scores_of(first)
    mean, deviation = finals.worth_of(first)
    what = "" if found is None or found.untouched is None else " on the sweep's own test clips"
    clips = "" if found is None else f"; {counted(found.best_known.num_clips, 'test clip')}"
    pairs: Facts = [
        ("architecture", element("strong", first.architecture)),
        ("configuration", parameters(first.configuration)),
        *_intervals(found, score),
        (f"validation {score.short}", score.told(first.validation_mean, first.validation_std)),
        (
            "chosen on",
            f"validation, never on test: highest {score.name} of "
            f"{counted(len(finals.finalists), 'confirmed configuration')} ({finals.confirmed_on(first)})",
        ),
        ("in the search", _in_the_search(sweep, rows, first)),
        *_against_default(finals, first, score),
    ]
    text = f"test {score.name}{what}, {_over_seeds(len(first.seeds))}{clips}"
    return _section("Best configuration, confirmed", score.told(mean, deviation), text, seed_scores, pairs, score)


def _intervals(found: FinalScore | None, score: ChosenBy) -> Facts:
    """Of what stands above; then of all folds, where that is something else."""
    if found is None:
        return []
    pairs: Facts = [("95 % interval of the mean", _interval(found.best_known, score))]
    if found.untouched is not None:
        whole = f"{score.told(found.score.mean, found.score.deviation)}, {_interval(found.score, score)}"
        pairs.append(("on all folds, too good by the choice", whole))
    elif not found.is_untouched:
        pairs.append(("these clips", "had a part in the search, so that the score is too good by what that is worth"))
    return pairs


def _in_the_search(sweep: SweepResults, rows: Sequence[LeaderboardRow], first: Finalist) -> str:
    row = next((row for row in rows if row.number == first.number), None)
    if row is None:
        return f"trial {first.number}, which the search did not train to the end"
    told = chosen_by(sweep).told(row.test_score_mean, row.test_score_std)
    return f"trial {first.number}, rank {row.rank} of its leaderboard, where its test score was {told}"


def _against_default(finals: Finals, first: Finalist, score: ChosenBy) -> Facts:
    default = next((one for one in finals.finalists if one.is_default and one.architecture == first.architecture), None)
    if default is None or first.is_default:
        return []
    mean, deviation = finals.worth_of(default)
    gain = score.told_gain(finals.worth_of(first)[0] - mean)
    return [("against its untuned default", f"{gain} (default: {score.told(mean, deviation)})")]


def _of_sweep(sweep: SweepResults, rows: Sequence[LeaderboardRow], found: FinalScore | None) -> Markup:
    best, score = rows[0], chosen_by(sweep)
    validation, _, *others = zip(score_header(sweep), score_cells(sweep, best), strict=True)
    highest = f"highest {score.name} of {counted(len(rows), 'fully trained configuration')}"
    pairs: Facts = [
        ("architecture", element("strong", best.architecture)),
        ("configuration", parameters(best.configuration)),
        *others,
        validation,
        ("chosen on", f"validation, never on test: {highest}"),
        *_gain_of_searching(rows, score),
    ]
    if found is not None and found.score.interval is not None:
        pairs.insert(2, ("95 % interval of the mean", _interval(found.score, score)))
    text = f"test {score.name}, {_over_seeds(len(best.seeds))}; {counted(best.num_test_clips, 'test clip')}"
    seeds = sweep.seeds_of(best.trial_id, best.seeds)
    seed_scores = dict(zip(seeds["seed"].tolist(), part_scores(seeds, "test").tolist(), strict=True))
    return _section(_TITLE, score.told(best.test_score_mean, best.test_score_std), text, seed_scores, pairs, score)


def _gain_of_searching(rows: Sequence[LeaderboardRow], score: ChosenBy) -> Facts:
    best = rows[0]
    untuned = [
        row for row in rows[1:] if row.configuration["untuned_default"] and row.architecture == best.architecture
    ]
    if not untuned:
        return []
    gain = score.told_gain(best.test_score_mean - untuned[0].test_score_mean)
    default = score.told(untuned[0].test_score_mean, untuned[0].test_score_std)
    return [("against its untuned default", f"{gain} (default: {default})")]


def _section(
    title: str, number: str, text: str, seed_scores: dict[int, float], pairs: Facts, score: ChosenBy
) -> Markup:
    mean, *spread_of_mean = number.split(" ", maxsplit=1)
    by_seed = ", ".join(f"{score.told(value)} (seed {seed})" for seed, value in seed_scores.items())
    left = element(
        "div",
        element("p", title, class_="eyebrow"),
        element("p", mean, element("span", " ", *spread_of_mean), class_="figure-number"),
        element("p", text),
        element("p", "Seed by seed: ", by_seed, class_="caption"),
    )
    return element("section", left, element("div", facts(pairs)), class_="headline")


def _over_seeds(num_seeds: int) -> str:
    if num_seeds > 1:
        return f"mean ± standard deviation over {num_seeds} seeds"
    return "a single seed, so its spread is unknown"


def _interval(found: Estimate, score: ChosenBy) -> str:
    """What it is about goes with it: a single seed or fold stands for no other."""
    repeated = {"seed": found.num_seeds, "fold": found.num_folds}
    over = ", ".join(["clips", *(counted(number, name) for name, number in repeated.items() if number > 1)])
    single = " and ".join(name for name, number in repeated.items() if number == 1)
    told = f"{score.told_interval(found.interval)}, over {' and '.join(over.rsplit(', ', 1))}"
    return f"{told}, for this one {single}" if single else told
