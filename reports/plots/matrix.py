"""The confusion matrix as a figure: who is taken for whom."""

import pandas as pd
import plotly.graph_objects as go

from reports.markup import plot_text
from reports.plots.frame import SHARE_SCALE, new_figure, tick_names
from reports.sweep_results import SweepResults, summed_confusion

_MAX_LABELS_WITH_COUNTS = 20
_CELL_PIXELS, _SMALL_CELL_PIXELS, _MARGIN_PIXELS = 36, 15, 190


def confusion_matrix(sweep: SweepResults, seeds: pd.DataFrame) -> go.Figure:
    """Test clips by true and predicted label, summed over rows of the seeds table; colour is the share of the line,
    text the count."""
    counts = summed_confusion(seeds).tolist()
    shares = [[count / sum(line) if sum(line) else None for count in line] for line in counts]
    names = [plot_text(label) for label in sweep.labels]
    positions = list(range(len(names)))
    figure = new_figure(height=130 + len(names) * (34 if shows_counts(sweep) else 15)).update_layout(margin_t=8)
    figure.add_heatmap(
        x=positions,
        y=positions,
        z=shares,
        text=[[str(count) if count else "" for count in line] for line in counts],
        texttemplate="%{text}" if shows_counts(sweep) else None,
        customdata=[
            [[true, predicted, counts[i][j]] for j, predicted in enumerate(names)] for i, true in enumerate(names)
        ],
        hovertemplate="true %{customdata[0]}<br>predicted %{customdata[1]}<br>"
        "%{customdata[2]} clips, %{z:.1%} of the row<extra></extra>",
        colorscale=SHARE_SCALE,
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        colorbar={"tickformat": ".0%", "thickness": 10, "outlinewidth": 0, "len": 1},
    )
    ticks = {"tickvals": positions, "ticktext": tick_names(sweep.labels), "showgrid": False, "zeroline": False}
    figure.update_xaxes(**ticks, title_text="predicted", tickangle=-45 if shows_counts(sweep) else -90)
    return figure.update_yaxes(**ticks, title_text="true", autorange="reversed")


def confusion_width_pixels(sweep: SweepResults) -> int:
    """What the matrix needs to be readable."""
    cell = _CELL_PIXELS if shows_counts(sweep) else _SMALL_CELL_PIXELS
    return _MARGIN_PIXELS + cell * len(sweep.labels)


def shows_counts(sweep: SweepResults) -> bool:
    """Whether the cells of the confusion matrix are large enough to hold their counts."""
    return len(sweep.labels) <= _MAX_LABELS_WITH_COUNTS
