"""Recall of every class by every seed's model, the best of each architecture side by side."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from reports.class_scores import ClassScores
from reports.markup import plot_text
from reports.plots.frame import SHARE_SCALE, new_figure, tick_names

_LINE_PIXELS, _MARGIN_PIXELS = 30, 200
_LEAST_CELL_PIXELS, _LEAST_GROUP_PIXELS = 46, 150
_GAP = 0.4  # between configurations, in cells
_MAX_NAME_CHARACTERS = 20


def recall_map(scores: Mapping[str, Sequence[ClassScores]]) -> go.Figure:
    """Args: scores: name of a configuration → its classes, the same in each and in the order of the lines."""
    names, begin = tick_names([of_class.label for of_class in next(iter(scores.values()))]), 0.0
    figure = new_figure(height=130 + _LINE_PIXELS * len(names)).update_layout(margin_t=34)
    places, ticks = [], []
    for configuration, classes in scores.items():
        seeds = list(classes[0].recall)
        columns = [begin + index for index in range(len(seeds))]
        _add_group(figure, configuration, classes, columns)
        places += columns
        ticks += [str(seed) for seed in seeds]
        begin = columns[-1] + 1 + _GAP
    figure.update_xaxes(tickvals=places, ticktext=ticks, title_text="seed", showgrid=False, zeroline=False)
    lines = list(range(len(names)))
    return figure.update_yaxes(
        tickvals=lines, ticktext=names, autorange="reversed", showgrid=False, zeroline=False, title_text=""
    )


def recall_map_width_pixels(scores: Mapping[str, Sequence[ClassScores]]) -> int:
    """What the map needs to be readable."""
    groups = [len(classes[0].recall) for classes in scores.values()]
    return _MARGIN_PIXELS + sum(max(_LEAST_GROUP_PIXELS, _LEAST_CELL_PIXELS * num_seeds) for num_seeds in groups)


def _add_group(figure: go.Figure, configuration: str, classes: Sequence[ClassScores], columns: Sequence[float]) -> None:
    recalls = [list(of_class.recall.values()) for of_class in classes]
    seeds, name = list(classes[0].recall), plot_text(configuration)
    figure.add_heatmap(
        x=list(columns),
        y=list(range(len(classes))),
        z=recalls,
        text=[["–" if share is None else f"{100 * share:.0f}" for share in line] for line in recalls],
        texttemplate="%{text}",
        customdata=[[[plot_text(of_class.label), seed] for seed in seeds] for of_class in classes],
        hovertemplate=f"%{{customdata[0]}}<br>{name}, seed %{{customdata[1]}}<br>recall %{{z:.1%}}<extra></extra>",
        colorscale=SHARE_SCALE,
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        showscale=False,
    )
    figure.add_annotation(
        x=(columns[0] + columns[-1]) / 2,
        y=1,
        yref="paper",
        yanchor="bottom",
        text=plot_text(configuration, max_characters=_MAX_NAME_CHARACTERS),
        showarrow=False,
    )
