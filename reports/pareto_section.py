"""What good scores cost, of a sweep with several objectives.

Enters: a `SweepResults`. Leaves: a section with a picture for every cost, and a table; none of a sweep for the score
alone.
"""

from reports import plots
from reports.blocks import caption, empty, plotted, section
from reports.chosen_by import chosen_by
from reports.markup import Markup
from reports.pareto import CALLED, front_lines, objectives_of, pareto_rows
from reports.sweep_results import SweepResults
from reports.tables import table

TITLE = "Scores and what they cost"


def pareto_section(sweep: SweepResults) -> Markup | None:
    """The Pareto front."""
    costs = [name for name in objectives_of(sweep) if name != "score"]
    if not costs:
        return None
    rows = pareto_rows(sweep)
    if not rows:
        return section(TITLE, empty("Shown once a configuration has all of its seeds, and all that it costs measured."))
    score = chosen_by(sweep)
    text = (
        "Configurations with all seeds complete. Filled: on the Pareto front, which means that no other one is as good "
        f"in all of {', '.join(CALLED[name] for name in objectives_of(sweep))} and better in one. Scores are "
        "validation's; test played no part."
    )
    pictures = [
        plotted(
            f"Score and {CALLED[cost]}",
            plots.pareto_picture(rows, cost, score),
            "A dotted line joins the front."
            + (" A mark of it may lie behind the line, for what it is worth in the others." if len(costs) > 1 else ""),
        )
        for cost in costs
    ]
    front = [row for row in rows if row.is_on_front]
    header, cells = front_lines(front)
    kinds = ("name", *("number" for _ in header[1:]))
    return section(TITLE, caption(text), *pictures, table("The front", tuple(zip(header, kinds, strict=True)), cells))
