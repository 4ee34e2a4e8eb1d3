"""How far the best can be trusted: intervals over clips, folds and seeds, and tests of every pair.

Enters: finalists and their scores. Leaves: sections of the page. docs/statistics.md says what each number means.
"""

from collections.abc import Mapping, Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import ChosenBy, chosen_by
from reports.evidence import Comparison, Estimate, McNemar
from reports.final_scores import FinalScore, PairedTests
from reports.finalists import Finalist
from reports.leaderboard import part_scores
from reports.markup import Markup, element
from reports.plots.strips import Strip
from reports.sweep_results import SweepResults
from reports.tables import folded, parameters, table
from reports.text import NO_VALUE, counted, p_text

INTERVALS, PAIRS = "Leaderboard with 95 % intervals", "Is one better than another?"
_LEVEL = 0.05
_MANY_SEEDS = 100  # what would need more is not told to the seed
_NONE = "Shown once a configuration has all its seeds complete."


def intervals_section(
    sweep: SweepResults,
    finalists: Sequence[Finalist],
    scores: Sequence[FinalScore],
    *,
    origin: str,
    reasons: Mapping[str, str],
) -> Markup:
    """Every seed as a dot, mean and interval of every finalist, and the same as a table.

    Args:
        origin: where the rows come from, in whole sentences.
        reasons: name of a finalist → why it has no interval.
    """
    if not finalists:
        return section(INTERVALS, empty(_NONE))
    score = chosen_by(sweep)
    by_name = {found.finalist.name: found for found in scores}
    strips = [_strip(finalist, by_name.get(finalist.name)) for finalist in finalists]
    figure = plotted(
        "Every seed of the best configurations",
        plots.seed_strips(strips, score),
        f"Test {score.name}. A dot per seed"
        f"{', the mean of its folds' if finalists[0].num_folds > 1 else ''}; an upright bar at the mean; grey: the "
        "95 % interval. In the order of the mean validation score.",
    )
    has_untouched = any(found.untouched is not None for found in scores)
    rows = [
        _cells(rank, finalist, by_name.get(finalist.name), score, has_untouched=has_untouched)
        for rank, finalist in enumerate(finalists, 1)
    ]
    text = f"{origin} {_what_an_interval_says(finalists, scores)}"
    as_table = table(INTERVALS, _header(score, has_untouched=has_untouched), rows)
    return section(INTERVALS, caption(text), figure, as_table, _missing(reasons))


def pairs_section(
    sweep: SweepResults,
    tests: PairedTests | None,
    *,
    in_words: Sequence[tuple[str, str]],
    reasons: Mapping[str, str],
    of_what: str = "",
) -> Markup:
    """The matrix of differences, some of them in words, and every test as a table.

    Args:
        sweep: that the scores are of.
        in_words: pairs that are told in a sentence each.
        reasons: name of a configuration → why it is in no pair.
        of_what: which configurations these are, in a sentence.
    """
    if tests is None:
        return section(
            PAIRS, empty("Two configurations with stored predictions of the same clips are needed."), _missing(reasons)
        )
    score = chosen_by(sweep)
    clear = {pair for pair, found in tests.comparisons.items() if found.p_adjusted < _LEVEL}
    means = {pair: found.estimate.mean for pair, found in tests.comparisons.items()}
    unit = "points of percent" if score.is_share else "its own units"
    figure = plotted(
        "By how much the line is ahead of the column",
        plots.difference_matrix(tests.names, means, clear, score),
        f"Mean difference in test {score.name}, in {unit}; blue: the line is ahead, orange: the column is. A star: "
        f"p < {_LEVEL} after Holm's correction over {counted(len(means), 'pair')}.",
        min_width_pixels=plots.difference_width_pixels(len(tests.names)),
    )
    text = (
        f"{of_what} The same clips, folds and seeds are compared, clip by clip. Undecided is not equal: the table "
        "below tells which difference could have been found, and how many more seeds might decide. Decided is p < "
        f"{_LEVEL} after Holm's correction over {counted(len(means), 'pair')}; in brackets the 95 % interval of "
        "the difference, which is not corrected."
    )
    as_table = folded("Every pair: p-values, effect sizes, seeds still needed", _how_read(), _pairs_table(tests, score))
    return section(PAIRS, caption(text.strip()), _verdicts(tests, in_words, score), figure, as_table, _missing(reasons))


def _strip(finalist: Finalist, found: FinalScore | None) -> Strip:
    name, _, detail = finalist.name.rpartition(" #")
    if found is None:
        rows = finalist.seed_rows
        of_seeds = part_scores(rows, "test").groupby(rows["seed"]).mean()
        seed_scores = dict(zip(of_seeds.index.tolist(), of_seeds.tolist(), strict=True))
        return Strip(name=name, detail=f"#{detail}", seed_scores=seed_scores, low=None, high=None)
    interval = found.score.interval
    return Strip(
        name=name,
        detail=f"#{detail}",
        seed_scores=dict(zip(found.cube.seeds, found.cube.seed_scores.tolist(), strict=True)),
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
    )


def _header(score: ChosenBy, *, has_untouched: bool) -> list[tuple[str, str]]:
    columns = ["seeds × folds", f"validation {score.short}", f"test {score.short}", "95 % interval"]
    columns += ["test macro-F1", "95 % interval"]
    columns += ["on the sweep's own test clips", "95 % interval"] if has_untouched else []
    return [
        ("rank", "number"),
        ("architecture", "name"),
        ("trial", "number"),
        *((name, "number") for name in columns),
        ("configuration", ""),
    ]


def _cells(
    rank: int, finalist: Finalist, found: FinalScore | None, score: ChosenBy, *, has_untouched: bool
) -> tuple[object, ...]:
    share = ChosenBy(name="macro-F1", short="macro-F1", is_share=True)
    numbers: list[object] = [NO_VALUE] * (6 if has_untouched else 4)
    if found is not None:
        told = [_told(found.score, score), _told(found.macro_f1, share)]
        told += [_told(found.untouched, score)] if has_untouched else []
        numbers = [cell for pair in told for cell in pair]
        numbers[0] = element("strong", numbers[0])
    return (
        rank,
        finalist.architecture,
        finalist.number,
        f"{len(finalist.seeds)} × {finalist.num_folds}",
        score.told(finalist.validation_mean, finalist.validation_std),
        *numbers,
        parameters(finalist.configuration),
    )


def _told(found: Estimate | None, score: ChosenBy) -> tuple[str, str]:
    """Mean ± deviation, and the interval."""
    if found is None:
        return NO_VALUE, NO_VALUE
    return score.told(found.mean, found.deviation), score.told_interval(found.interval)


def _what_an_interval_says(finalists: Sequence[Finalist], scores: Sequence[FinalScore]) -> str:
    """What the interval is about, and what it leaves out."""
    parts = [
        "Ranked by validation; test played no part in any choice. ± is the sample standard deviation over seeds and no "
        "interval. Of 100 studies like this one, 95 % intervals hold the configuration's true mean score in about 95"
    ]
    if scores:
        first = scores[0].score
        parts.append(
            f": over other clips ({counted(first.num_clips, 'test clip')} in {counted(first.num_groups, 'group')}), "
            f"seeds ({first.num_seeds}) and folds ({first.num_folds})"
        )
    parts.append(".")
    if any(finalist.num_folds == 1 for finalist in finalists):
        parts.append(" With one fold, an interval is about this training set and this choice of test clips.")
    if any(len(finalist.seeds) == 1 for finalist in finalists):
        parts.append(" With one seed, it is about these trained models and not about the configuration.")
    return "".join(parts)


def _missing(reasons: Mapping[str, str]) -> Markup | None:
    """Who is left out, and why."""
    if not reasons:
        return None
    lines = [element("li", f"{name}: {reason}") for name, reason in reasons.items()]
    return folded(f"Left out: {counted(len(reasons), 'configuration')}", element("ul", *lines))


def _verdicts(tests: PairedTests, pairs: Sequence[tuple[str, str]], score: ChosenBy) -> Markup:
    """A sentence for each of these pairs, whichever way round it was tested."""
    lines = []
    for first, second in pairs:
        found = tests.comparisons.get((first, second)) or tests.comparisons.get((second, first))
        if found is not None:
            is_turned = (first, second) not in tests.comparisons
            lines.append(element("li", _verdict(first, second, found, score, sign=-1.0 if is_turned else 1.0)))
    return element("ul", *lines)


def _verdict(first: str, second: str, found: Comparison, score: ChosenBy, *, sign: float) -> str:
    mean, interval = sign * found.estimate.mean, found.estimate.interval
    ends = sorted(sign * end for end in (interval.low, interval.high)) if interval else []
    told = " to ".join(score.told_difference(end) for end in ends)
    size = f"{score.told_difference(mean)}{score.points}{f' ({told})' if told else ''}, p {_told_p(found.p_adjusted)}"
    if not mean and not any(ends):
        return f"{first} and {second} are right about the same clips."
    if found.p_adjusted < _LEVEL:
        return f"{first} is {'better' if mean > 0 else 'worse'} than {second}: {size}."
    return f"{first} against {second} is undecided: {size}{_what_would_decide(found)}."


def _what_would_decide(found: Comparison) -> str:
    if found.detectable is None:
        return "; a single seed does not tell how many would decide"
    if found.more_seeds is None:
        return "; more seeds cannot decide, more test clips might"
    if found.more_seeds == 0:
        return f"; decided if it were the only pair (p {_told_p(found.p_value)})"
    if found.more_seeds > _MANY_SEEDS:
        return f"; not even {_MANY_SEEDS} more seeds of each would decide"
    return f"; {counted(found.more_seeds, 'more seed')} of each might decide"


def _told_p(p_value: float) -> str:
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _how_read() -> Markup:
    return caption(
        "p (interval): the smallest level at which the difference's interval leaves 0 out; p (permutation): groups of "
        "clips change sides at random. Both are about other clips and other seeds, and are Holm-adjusted over all "
        "pairs. McNemar speaks of two trained models alone: clips that only the first got right to clips that only the "
        "second did, Holm-adjusted over all pairs and seeds, with Cohen's g. Hedges' g: mean difference of seeds ÷ its "
        "deviation. Superiority: how often a seed of the first beats one of the second. Detectable: the smallest true "
        "difference that such a study finds in 80 of 100 cases. Seeds needed: how many more of each would decide, if "
        "the difference is what it seems, and were it the only pair; never: clips and folds alone hide it."
    )


def _pairs_table(tests: PairedTests, score: ChosenBy) -> Markup:
    unit = ", points" if score.is_share else ""
    header = [
        ("first", "name"),
        ("second", "name"),
        *((name, "number") for name in (f"difference{unit}", "95 % interval", "p (interval)", "p (permutation)")),
        ("McNemar", "words"),
        *((name, "number") for name in ("Hedges' g", "superiority", f"detectable{unit}", "seeds needed")),
    ]
    return table(PAIRS, header, [_pair_cells(pair, tests, score) for pair in tests.comparisons])


def _pair_cells(pair: tuple[str, str], tests: PairedTests, score: ChosenBy) -> tuple[object, ...]:
    found = tests.comparisons[pair]
    interval = found.estimate.interval
    ends = NO_VALUE
    if interval is not None:
        ends = f"{score.told_difference(interval.low)} to {score.told_difference(interval.high)}"
    mcnemar = [_mcnemar(seed, test, tests.p_mcnemar[pair][seed]) for seed, test in found.mcnemar.items()]
    return (
        *pair,
        score.told_difference(found.estimate.mean),
        ends,
        p_text(found.p_adjusted),
        p_text(tests.p_permutation[pair]),
        "\n".join(mcnemar) or NO_VALUE,
        NO_VALUE if found.standardised is None else f"{found.standardised:.2f}",
        f"{100 * found.superiority:.0f} %",
        NO_VALUE if found.detectable is None else score.told_difference(found.detectable).removeprefix("+"),
        _seeds_needed(found),
    )


def _mcnemar(seed: int, test: McNemar, p_value: float) -> str:
    return f"seed {seed}: {test.first_only} to {test.second_only}, p {_told_p(p_value)}, g = {test.cohens_g:.2f}"


def _seeds_needed(found: Comparison) -> str:
    if found.detectable is None:  # a single seed does not tell how others differ
        return NO_VALUE
    if found.more_seeds is None:
        return "never"
    if found.more_seeds > _MANY_SEEDS:
        return f"over {_MANY_SEEDS} more"
    return "none" if found.more_seeds == 0 else f"{found.more_seeds} more"
