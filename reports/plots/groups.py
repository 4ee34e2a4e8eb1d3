"""Many groups at a glance: a dot each, by its accuracy."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import plotly.graph_objects as go

from reports.group_scores import GroupScores
from reports.markup import plot_text
from reports.plots.frame import COLOURS, INK, new_figure

_STEPS = 50  # of the axis; dots in one step are stacked
_SMALLEST_PIXELS, _LARGEST_PIXELS = 5.0, 14.0


def group_strip(groups: Sequence[GroupScores]) -> go.Figure:
    """A dot per group at its accuracy, stacked where they fall together, the larger the more clips it has; a line at
    the mean over groups."""
    steps = [round((group.mean["accuracy"] or 0.0) * _STEPS) for group in groups]
    tallest = max(Counter(steps).values())
    figure = new_figure(height=150 + min(260, 14 * tallest))
    figure.add_scatter(
        x=[group.mean["accuracy"] for group in groups],
        y=_stacked(steps),
        customdata=[[plot_text(group.group), group.num_clips] for group in groups],
        mode="markers",
        marker={"color": COLOURS[0], "opacity": 0.55, "size": _sizes(groups), "line": {"color": "#ffffff", "width": 1}},
        hovertemplate="%{customdata[0]}<br>%{x:.1%} of %{customdata[1]} clips<extra></extra>",
        showlegend=False,
    )
    mean = sum(group.mean["accuracy"] or 0.0 for group in groups) / len(groups)
    figure.add_vline(x=mean, line={"color": INK, "width": 1.5, "dash": "dash"}, layer="below")
    figure.update_yaxes(visible=False, range=[-0.6, tallest + 0.4]).update_layout(margin_t=12)
    return figure.update_xaxes(tickformat=".0%", range=[-0.03, 1.03], title_text="accuracy of a group")


def _stacked(steps: Sequence[int]) -> list[int]:
    """How many dots lie below each one in its step."""
    below: defaultdict[int, int] = defaultdict(int)
    places = []
    for step in steps:
        places.append(below[step])
        below[step] += 1
    return places


def _sizes(groups: Sequence[GroupScores]) -> list[float]:
    """Diameters: areas grow with the number of clips."""
    largest = max(group.num_clips for group in groups)
    return [max(_SMALLEST_PIXELS, _LARGEST_PIXELS * (group.num_clips / largest) ** 0.5) for group in groups]
