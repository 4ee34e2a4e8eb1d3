"""All pairs of configurations: by how much the one of the line is ahead of the one of the column."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from reports.chosen_by import ChosenBy
from reports.markup import plot_text
from reports.plots.frame import INK, new_figure

# Blue and orange of the palette, paled, with white between: order and sign survive every kind of colour vision.
_SIGNED_SCALE = [[0.0, "#e8935f"], [0.5, "#ffffff"], [1.0, "#6fb1d8"]]
_CELL_PIXELS, _MARGIN_PIXELS = 64, 200
_MAX_NAME_CHARACTERS = 26
_LEAST_RANGE = 0.01


def difference_matrix(
    names: Sequence[str], differences: Mapping[tuple[str, str], float], clear: set[tuple[str, str]], score: ChosenBy
) -> go.Figure:
    """Args:
    differences: (line, column) → line − column; of each pair once.
    clear: pairs of these whose difference is significant; they carry a star.
    """
    signed = {**differences, **{(second, first): -value for (first, second), value in differences.items()}}
    starred = clear | {(second, first) for first, second in clear}
    places = list(range(len(names)))
    shown = [plot_text(name) for name in names]
    widest = max([abs(value) for value in signed.values()] + [_LEAST_RANGE])
    figure = new_figure(height=120 + 44 * len(names)).update_layout(margin_t=8)
    figure.add_heatmap(
        x=places,
        y=places,
        z=[[signed.get((line, column)) for column in names] for line in names],
        text=[
            [_told(signed.get((line, column)), (line, column) in starred, score) for column in names] for line in names
        ],
        texttemplate="%{text}",
        textfont={"color": INK, "size": 13},
        customdata=[[[line, column] for column in shown] for line in shown],
        hovertemplate="%{customdata[0]}<br>less %{customdata[1]}: %{text}<extra></extra>",
        colorscale=_SIGNED_SCALE,
        zmin=-widest,
        zmax=widest,
        xgap=1,
        ygap=1,
        showscale=False,
    )
    ticks = {"tickvals": places, "ticktext": [_tick(name) for name in names], "showgrid": False, "zeroline": False}
    figure.update_xaxes(**ticks, title_text="less this one", tickangle=-45)
    return figure.update_yaxes(**ticks, title_text="this one", autorange="reversed")


def difference_width_pixels(num_names: int) -> int:
    """What the matrix needs to be readable."""
    return _MARGIN_PIXELS + _CELL_PIXELS * num_names


def _told(value: float | None, is_clear: bool, score: ChosenBy) -> str:
    return "" if value is None else f"{score.told_difference(value)}{' *' if is_clear else ''}"


def _tick(name: str) -> str:
    return plot_text(name, max_characters=_MAX_NAME_CHARACTERS)
