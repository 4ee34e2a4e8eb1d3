"""How far the best can be trusted: every seed, and intervals over clips, folds and seeds.

Enters: finalists and their scores. Leaves: a section of the page. docs/statistics.md says what each number means.
"""

from collections.abc import Mapping, Sequence

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import ChosenBy, chosen_by
from reports.evidence import Estimate
from reports.final_scores import FinalScore
from reports.finalists import Finalist
from reports.leaderboard import part_scores
from reports.markup import Markup, element
from reports.plots.strips import Strip
from reports.sweep_results import SweepResults
from reports.tables import folded, table
from reports.text import NO_VALUE, counted

INTERVALS = "Leaderboard with 95 % intervals"
_NONE = "Shown once a configuration has all its seeds complete."


def intervals_section(
    sweep: SweepResults,
    finalists: Sequence[Finalist],
    scores: Sequence[FinalScore],
    *,
    origin: str,
    is_untouched: bool,
    reasons: Mapping[str, str],
    title: str = INTERVALS,
) -> Markup:
    """Every seed as a dot, mean and interval of every finalist, and the same as a table.

    Args:
        origin: where the rows come from, in whole sentences.
        is_untouched: whether no test clip had a part in the search.
        reasons: name of a finalist → why it has no interval.
    """
    if not finalists:
        return section(title, empty(_NONE))
    score = chosen_by(sweep)
    by_name = {found.finalist.name: found for found in scores}
    strips = [_strip(finalist, by_name.get(finalist.name)) for finalist in finalists]
    figure = plotted(
        "Every seed of the best configurations",
        plots.seed_strips(strips, score),
        f"Test {score.name}. A dot per seed"
        f"{', the mean of its folds' if finalists[0].num_folds > 1 else ''}; an upright bar at the mean; grey: the "
        "95 % interval. In the order of the mean validation score. The number is the trial's, under which the table of "
        "all trials has its parameters.",
    )
    has_untouched = any(found.untouched is not None for found in scores)
    rows = [
        _cells(rank, finalist, by_name.get(finalist.name), score, has_untouched=has_untouched)
        for rank, finalist in enumerate(finalists, 1)
    ]
    text = f"{origin} {_what_an_interval_says(finalists, scores, is_untouched=is_untouched)}"
    as_table = table(title, _header(score, has_untouched=has_untouched), rows)
    return section(title, caption(text), figure, as_table, left_out(reasons))


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
        ("configuration", "name"),
        *((name, "number") for name in columns),
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
        finalist.name,
        f"{len(finalist.seeds)} × {finalist.num_folds}",
        score.told(finalist.validation_mean, finalist.validation_std),
        *numbers,
    )


def _told(found: Estimate | None, score: ChosenBy) -> tuple[str, str]:
    """Mean ± deviation, and the interval."""
    if found is None:
        return NO_VALUE, NO_VALUE
    return score.told(found.mean, found.deviation), score.told_interval(found.interval)


def _what_an_interval_says(finalists: Sequence[Finalist], scores: Sequence[FinalScore], *, is_untouched: bool) -> str:
    """What the interval is about, and what it leaves out."""
    parts = [
        f"Ranked by validation{'; test played no part in any choice' if is_untouched else ''}. ± is the sample "
        "standard deviation over seeds and no interval. Of 100 studies like this one, 95 % intervals hold the "
        "configuration's true mean score in about 95"
    ]
    if scores:
        first = scores[0].score
        parts.append(
            f": over other clips ({counted(first.num_clips, 'test clip')} in {counted(first.num_groups, 'group')})"
        )
        parts += [f", over {many} ({number})" for many, number in _repeated(first).items() if number > 1]
        single = " and ".join(many.removesuffix("s") for many, number in _repeated(first).items() if number == 1)
        parts.append(f", for this one {single}" if single else "")
    parts.append(".")
    if any(finalist.num_folds == 1 for finalist in finalists):
        parts.append(" With one fold, an interval is about this training set and this choice of test clips.")
    if any(len(finalist.seeds) == 1 for finalist in finalists):
        parts.append(" With one seed, it is about these trained models and not about the configuration.")
    return "".join(parts)


def _repeated(found: Estimate) -> dict[str, int]:
    return {"seeds": found.num_seeds, "folds": found.num_folds}


def left_out(reasons: Mapping[str, str]) -> Markup | None:
    """Who is left out, and why."""
    if not reasons:
        return None
    lines = [element("li", f"{name}: {reason}") for name, reason in reasons.items()]
    return folded(f"Left out: {counted(len(reasons), 'configuration')}", element("ul", *lines))
