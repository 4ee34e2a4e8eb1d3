"""What pages are built of: a section with its heading, a figure with its caption, a line that says what is missing."""

from typing import Any

from reports import plots
from reports.markup import Markup, element, script_json


def plotted(title: str, figure: Any, text: str, *, min_width_pixels: int = 0) -> Markup:
    """A plotly figure with its heading and caption; one wider than the screen scrolls in its own box."""
    place = element(
        "div",
        role="img",
        aria_label=title,
        style=f"height: {figure.layout.height}px; min-width: {min_width_pixels}px",
    )
    data = element("script", script_json(plots.figure_json(figure)), type="application/json")
    box = element("div", place, data, class_="plot-box")
    return element("figure", element("h3", title), box, element("figcaption", text))


def section(title: str, *content: object) -> Markup:
    """Content under a heading of the page."""
    return element("section", element("h2", title), *content)


def caption(text: str) -> Markup:
    """What a table or a figure shows: units, n, and what ± means."""
    return element("p", text, class_="caption")


def empty(text: str) -> Markup:
    """What stands where there is nothing to show yet."""
    return element("p", text, class_="empty")
