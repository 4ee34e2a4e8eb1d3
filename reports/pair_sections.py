"""Is one configuration better than another? Sentences, a matrix of differences, and every test as a table.

Enters: `PairedTests`. Leaves: a section of a page. docs/statistics.md says what each number means.
"""

from collections.abc import Mapping, Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import ChosenBy, chosen_by
from reports.evidence import Comparison, McNemar
from reports.evidence_sections import left_out
from reports.final_scores import PairedTests
from reports.markup import Markup, element
from reports.sweep_results import SweepResults
from reports.tables import folded, table
from reports.text import NO_VALUE, counted, p_text

PAIRS = "Is one better than another?"
_LEVEL = 0.05
_MANY_SEEDS = 100  # what would need more is not told to the seed


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
            PAIRS, empty("Two configurations with stored predictions of the same clips are needed."), left_out(reasons)
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
    told = _verdicts(tests, in_words, score)
    tables = (as_table, _mcnemar_part(tests), left_out(reasons))
    return section(PAIRS, caption(text.strip()), told, figure, *tables)


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
    return f"; {counted(found.more_seeds, 'more seed')} of each might decide, were it the only pair"


def _told_p(p_value: float) -> str:
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _how_read() -> Markup:
    return caption(
        "p (interval): the smallest level at which the difference's interval leaves 0 out; p (permutation): groups of "
        "clips change sides at random. Both are about other clips and other seeds, and are Holm-adjusted over all "
        "pairs. Hedges' g: mean difference of seeds ÷ its deviation. Superiority: how often a seed of the first beats "
        "one of the second. Detectable: the smallest true difference that such a study finds in 80 of 100 cases. Seeds "
        "needed: how many more of each would decide, if the difference is what it seems, and were it the only pair; "
        "never: clips and folds alone hide it."
    )


def _pairs_table(tests: PairedTests, score: ChosenBy) -> Markup:
    unit = ", points" if score.is_share else ""
    names = (f"difference{unit}", "95 % interval", "p (interval)", "p (permutation)", "Hedges' g", "superiority")
    numbers = (*names, f"detectable{unit}", "seeds needed")
    header = [("first", "name"), ("second", "name"), *((name, "number") for name in numbers)]
    return table(PAIRS, header, [_pair_cells(pair, tests, score) for pair in tests.comparisons])


def _pair_cells(pair: tuple[str, str], tests: PairedTests, score: ChosenBy) -> tuple[object, ...]:
    found = tests.comparisons[pair]
    interval = found.estimate.interval
    ends = NO_VALUE
    if interval is not None:
        ends = f"{score.told_difference(interval.low)} to {score.told_difference(interval.high)}"
    return (
        *pair,
        score.told_difference(found.estimate.mean),
        ends,
        p_text(found.p_adjusted),
        p_text(tests.p_permutation[pair]),
        NO_VALUE if found.standardised is None else f"{found.standardised:.2f}",
        f"{100 * found.superiority:.0f} %",
        NO_VALUE if found.detectable is None else score.told_difference(found.detectable).removeprefix("+"),
        _seeds_needed(found),
    )


def _mcnemar_part(tests: PairedTests) -> Markup | None:
    """Seed by seed; nothing where the score is no share of right answers."""
    cells = [
        (*pair, seed, test.first_only, test.second_only, p_text(tests.p_mcnemar[pair][seed]), *_sizes(test))
        for pair, found in tests.comparisons.items()
        for seed, test in found.mcnemar.items()
    ]
    if not cells:
        return None
    names = ("seed", "first alone right", "second alone right", "p", "Cohen's g", "odds ratio")
    header = [("first", "name"), ("second", "name"), *((name, "number") for name in names)]
    text = (
        "McNemar's exact test speaks of two trained models alone, and takes clips for independent: another seed may "
        f"turn it. Holm-adjusted over all {counted(len(cells), 'line')}."
    )
    return folded("McNemar's test, seed by seed", caption(text), table("McNemar's test", header, cells))


def _sizes(test: McNemar) -> tuple[str, str]:
    return f"{test.cohens_g:.2f}", NO_VALUE if test.odds_ratio is None else f"{test.odds_ratio:.2f}"


def _seeds_needed(found: Comparison) -> str:
    if found.detectable is None:  # a single seed does not tell how others differ
        return NO_VALUE
    if found.more_seeds is None:
        return "never"
    if found.more_seeds > _MANY_SEEDS:
        return f"over {_MANY_SEEDS} more"
    return "none" if found.more_seeds == 0 else f"{found.more_seeds} more"
