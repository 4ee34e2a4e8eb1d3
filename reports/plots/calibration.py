"""The reliability diagram: how often a model is right where it is this sure."""

import plotly.graph_objects as go

from reports.calibration import NUM_BINS, Reliability
from reports.plots.frame import COLOURS, EDGE, MUTED, axis_style, new_figure

_ACCURACY_PLACE, _COUNT_PLACE = [0.3, 1.0], [0.0, 0.2]  # shares of the height


def reliability_diagram(found: Reliability) -> go.Figure:
    """Above, accuracy by confidence: a bar per bin, a mark at the bin's mean confidence, a diagonal for a model that is
    as often right as it says. Below, how many predictions each bin holds."""
    figure = new_figure(height=420)
    centres = [(of_bin.place + 0.5) / NUM_BINS for of_bin in found.bins]
    facts = [[of_bin.num_predictions, of_bin.confidence, of_bin.accuracy] for of_bin in found.bins]
    width = [0.94 / NUM_BINS] * len(found.bins)
    told = "%{customdata[0]} predictions<br>sure to %{customdata[1]:.1%}<br>right in %{customdata[2]:.1%}"
    bars = {"x": centres, "width": width, "customdata": facts, "hovertemplate": f"{told}<extra></extra>"}
    accuracies = [of_bin.accuracy for of_bin in found.bins]
    figure.add_bar(**bars, y=accuracies, marker={"color": COLOURS[0], "opacity": 0.35}, name="share that is right")
    figure.add_scatter(
        x=[of_bin.confidence for of_bin in found.bins],
        y=accuracies,
        mode="markers",
        marker={"color": COLOURS[0], "size": 8},
        name="at its mean confidence",
        hoverinfo="skip",
    )
    diagonal = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": COLOURS[1], "dash": "dash"}}
    figure.add_scatter(**diagonal, name="as often right as it says", hoverinfo="skip")
    counts = [of_bin.num_predictions for of_bin in found.bins]
    figure.add_bar(**bars, y=counts, yaxis="y2", marker={"color": EDGE}, name="predictions", showlegend=False)
    figure.update_layout(yaxis2={**axis_style(), "domain": _COUNT_PLACE, "nticks": 3, "anchor": "x"}, bargap=0)
    figure.update_layout(barmode="overlay", yaxis={"domain": _ACCURACY_PLACE, "range": [0, 1.02], "tickformat": ".0%"})
    figure.update_layout(yaxis_title_text="right", yaxis2_title_text="predictions", yaxis2_title_font_color=MUTED)
    return figure.update_xaxes(tickformat=".0%", range=[0, 1.01], title_text="confidence", anchor="y2")
