"""Hyperparameters: which of them mattered, and every trial as a line through its values."""

from collections.abc import Sequence

import plotly.graph_objects as go

from reports.markup import plot_text
from reports.parameter_axes import Axis
from reports.plots.frame import COLOURS, INK, MUTED, new_figure
from reports.studies import Importances
from reports.trials import TrialSummary

_AXIS_PIXELS, _MARGIN_PIXELS = 118, 90
_KINDS = (  # how it ended, colour, width, opacity
    ("stopped", MUTED, 1.2, 0.45),
    ("failed", COLOURS[1], 1.4, 0.8),
    ("finished", COLOURS[0], 2.0, 0.75),
)
_MAX_NAME_CHARACTERS = 30


def importance_bars(found: Importances) -> go.Figure:
    """A bar per parameter, the most important on top, with a mark at what chance alone would give."""
    names = [plot_text(parameter.name, max_characters=_MAX_NAME_CHARACTERS) for parameter in found.parameters]
    places = list(range(len(names)))
    figure = new_figure(height=110 + 34 * len(names))
    figure.add_bar(
        x=[parameter.value for parameter in found.parameters],
        y=places,
        orientation="h",
        width=0.6,
        marker={"color": [COLOURS[0] if one.value > one.by_chance else "#b8d4e6" for one in found.parameters]},
        customdata=[[name, one.share] for name, one in zip(names, found.parameters, strict=True)],
        name="importance",
        hovertemplate="%{customdata[0]}: %{x:.3f}, %{customdata[1]:.0%} of all<extra></extra>",
    )
    figure.add_scatter(
        x=[parameter.by_chance for parameter in found.parameters],
        y=places,
        mode="markers",
        marker={"color": INK, "symbol": "line-ns", "size": 18, "line": {"width": 2, "color": INK}},
        name="by chance",
        hovertemplate="95 of 100 shuffles stay below %{x:.3f}<extra></extra>",
    )
    figure.update_yaxes(tickvals=places, ticktext=_lines(names), range=[len(names) - 0.4, -0.6], zeroline=False)
    return figure.update_xaxes(rangemode="tozero", title_text="importance")


def parallel_lines(axes: Sequence[Axis], trials: Sequence[TrialSummary], best: str | None) -> go.Figure:
    """A line per trial through its values, the score at the right.

    plotly's own `parcoords` builds functions from text, which the page's content security policy forbids.

    Args:
        best: the trial that is drawn bold.
    """
    figure = new_figure(height=360).update_layout(margin={"l": 20, "r": 40, "t": 40, "b": 70})
    for state, colour, width, opacity in _KINDS:
        of_state = [trial for trial in trials if trial.state == state and trial.trial_id != best]
        _add_lines(figure, axes, of_state, name=state, style=(colour, width, opacity))
    _add_lines(figure, axes, [one for one in trials if one.trial_id == best], name="best", style=(INK, 3.0, 1.0))
    for place, axis in enumerate(axes):
        figure.add_vline(x=place, line={"color": MUTED, "width": 1}, layer="below")
        for height, text in axis.ticks:
            figure.add_annotation(
                x=place,
                y=height,
                text=plot_text(text, max_characters=12),
                showarrow=False,
                xanchor="left",
                xshift=3,
                yshift=8 if height < 0.5 else -8,
                font={"size": 12, "color": INK},
                bgcolor="rgba(255,255,255,0.8)",
            )
    names = [plot_text(axis.name, max_characters=_MAX_NAME_CHARACTERS) for axis in axes]
    last = len(axes) - 0.45
    figure.update_xaxes(tickvals=list(range(len(axes))), ticktext=_lines(names), range=[-0.2, last], showgrid=False)
    return figure.update_yaxes(visible=False, range=[-0.06, 1.06])


def parallel_width_pixels(num_axes: int) -> int:
    """What the lines need to be told apart."""
    return _MARGIN_PIXELS + _AXIS_PIXELS * num_axes


def _add_lines(
    figure: go.Figure,
    axes: Sequence[Axis],
    trials: Sequence[TrialSummary],
    *,
    name: str,
    style: tuple[str, float, float],
) -> None:
    """Many lines as one trace: a null between two of them lifts the pen."""
    x: list[int | None] = []
    y: list[float | None] = []
    told: list[str] = []
    for trial in trials:
        for place, axis in enumerate(axes):
            if trial.trial_id in axis.places:
                x.append(place)
                y.append(axis.places[trial.trial_id])
                told.append(plot_text(f"trial {trial.number}: {axis.name} {axis.values[trial.trial_id]}"))
        x.append(None)
        y.append(None)
        told.append("")
    if not trials:
        return
    colour, width, opacity = style
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colour, "width": width},
        opacity=opacity,
        name=name,
        showlegend=True,
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _lines(names: Sequence[str]) -> list[str]:
    """`optimizer.learning_rate` in two lines."""
    return [name.replace(".", ".<br>", 1) for name in names]
