"""Score against what a model costs: every configuration a mark, and a line along those that no other one beats."""

from collections.abc import Sequence

import plotly.graph_objects as go

from reports.chosen_by import ChosenBy
from reports.markup import plot_text
from reports.pareto import CALLED, ParetoRow
from reports.plots.frame import COLOURS, EDGE, MUTED, SYMBOLS, new_figure

_HEIGHT_PIXELS = 340


def pareto_picture(rows: Sequence[ParetoRow], cost: str, score: ChosenBy) -> go.Figure:
    """Args: cost: the objective of the lower axis, lower is better; rows have it and `score`."""
    figure = new_figure(height=_HEIGHT_PIXELS)
    front = sorted((row for row in rows if row.is_on_front), key=lambda row: (row.values[cost], -row.values["score"]))
    figure.add_scatter(
        x=[row.values[cost] for row in front],
        y=[row.values["score"] for row in front],
        mode="lines",
        line={"color": MUTED, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    for place, architecture in enumerate(sorted({row.architecture for row in rows})):
        of_it = [row for row in rows if row.architecture == architecture]
        figure.add_scatter(
            x=[row.values[cost] for row in of_it],
            y=[row.values["score"] for row in of_it],
            customdata=[f"#{row.number}{', on the front' if row.is_on_front else ''}" for row in of_it],
            mode="markers",
            marker={
                "color": [COLOURS[place % len(COLOURS)] if row.is_on_front else "#ffffff" for row in of_it],
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "size": 10,
                "line": {"width": 1.5, "color": COLOURS[place % len(COLOURS)] if of_it else EDGE},
            },
            name=plot_text(architecture),
            hovertemplate=f"%{{customdata}}<br>%{{x}}, %{{y:{score.point_format}}}<extra></extra>",
        )
    figure.update_xaxes(title_text=CALLED[cost], rangemode="tozero")
    return figure.update_yaxes(title_text=f"validation {score.short}", tickformat=score.tick_format)
