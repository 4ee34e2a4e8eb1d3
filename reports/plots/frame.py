"""What all figures share: an empty figure with its axes, colours, names as text, and plotly.js itself.

All numbers go into figures as lists, so that the page holds them as readable JSON; all names go in through `plot_text`.
Classes are placed by index and named by tick text, so no label is ever taken for a number.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from reports.markup import plot_text

# Okabe & Ito, "Color Universal Design" (2008), without yellow and black: told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star")
INK, MUTED, GRID, EDGE = "#1f2933", "#52606d", "#e4e7eb", "#9aa5b1"
# One hue from near white to dark: order survives in grey and for every kind of colour vision.
SHARE_SCALE = [[0.0, "#f7fafc"], [0.25, "#c6dbef"], [0.5, "#6baed6"], [0.75, "#2171b5"], [1.0, "#08306b"]]
_DASHES = ("solid", "dash", "dot")
_MAX_LABEL_CHARACTERS = 22


def plotly_javascript() -> str:
    """plotly.js as text, to be inlined once."""
    return get_plotlyjs()


def figure_json(figure: go.Figure) -> str:
    """Data and layout as JSON; NaN is null."""
    return figure.to_json(validate=True)


def new_figure(*, height: int) -> go.Figure:
    """Args: height: in pixels; the width is that of its place."""
    figure = go.Figure()
    figure.update_layout(
        template=None,
        height=height,
        autosize=True,
        margin={"l": 48, "r": 12, "t": 36, "b": 44},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": INK},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        hoverlabel={"bgcolor": "#ffffff", "bordercolor": EDGE, "align": "left"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
        dragmode=False,  # on a phone a finger on the figure scrolls the page
    )
    return figure.update_xaxes(**axis_style()).update_yaxes(**axis_style())


def axis_style() -> dict[str, Any]:
    """How every axis looks; a second one has to be told."""
    line = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True, "tickcolor": GRID}
    return {**line, "title": {"standoff": 10, "font": {"size": 13, "color": MUTED}}}


def tick_names(labels: Iterable[str]) -> list[str]:
    """Names as tick text, cut where they are long."""
    return [plot_text(label, max_characters=_MAX_LABEL_CHARACTERS) for label in labels]


def line_style(place: int) -> dict[str, str]:
    """Colour and dash of the line of this number."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "dash": _DASHES[place // len(COLOURS) % len(_DASHES)],
    }


def columns(frame: pd.DataFrame, *names: str) -> list[list[Any]]:
    """Columns of a frame as lists."""
    return [frame[name].tolist() for name in names]
