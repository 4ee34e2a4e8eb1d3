"""Figures with a line per class: recall and precision by seed, and, of several labels a clip, AUC and precision."""

from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from reports.class_scores import ClassScores
from reports.label_scores import LabelScores
from reports.markup import plot_text
from reports.plots.frame import COLOURS, INK, SYMBOLS, new_figure, tick_names

Measure = Literal["recall", "precision"]


def class_marks(scores: Sequence[ClassScores], measure: Measure) -> go.Figure:
    """Recall or precision of each class, a mark per seed and a bar at the mean; the lowest mean recall on top."""
    ordered = sorted(scores, key=lambda of_class: (of_class.recall_mean is None, of_class.recall_mean or 0.0))
    values = [getattr(of_class, measure) for of_class in ordered]
    seeds = list(values[0])
    places = [float(place) for place in range(len(ordered))]
    names = [plot_text(of_class.label) for of_class in ordered]
    figure = new_figure(height=110 + 28 * len(ordered))
    _add_ranges(figure, [list(of_class.values()) for of_class in values])
    step = min(0.22, 0.6 / len(seeds))  # seeds of one class lie a little apart, so that equal ones stay visible
    for index, seed in enumerate(seeds):
        lanes = [place + step * (index - (len(seeds) - 1) / 2) for place in places]
        marker = {"color": COLOURS[index % len(COLOURS)], "symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8}
        marks = _marks([of_class[seed] for of_class in values], lanes, names, name=f"seed {seed}", number=".1%")
        figure.add_scatter(**marks, marker={**marker, "opacity": 0.85})
    bar = {"color": INK, "symbol": "line-ns", "size": 18, "line": {"width": 2, "color": INK}}
    means = [getattr(of_class, f"{measure}_mean") for of_class in ordered]
    figure.add_scatter(**_marks(means, places, names, name="mean", number=".1%"), marker=bar)
    _name_lines(figure, [(of_class.label, of_class.num_clips) for of_class in ordered])
    return figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02], title_text=measure)


def label_marks(scores: Sequence[LabelScores]) -> go.Figure:
    """ROC-AUC and average precision of each label on test: a mark per seed, a bar at the mean; the weakest on top."""
    ordered = sorted(scores, key=lambda label: (label.auc_mean is not None, label.auc_mean or 0.0))
    names = [plot_text(label.label) for label in ordered]
    figure = new_figure(height=110 + 34 * len(ordered))
    kinds = (("ROC-AUC", "auc", -0.16, COLOURS[0]), ("average precision", "average_precision", 0.16, COLOURS[1]))
    for name, field, shift, colour in kinds:
        of_seeds = [(value, place) for place, label in enumerate(ordered) for value in getattr(label, field)]
        marks = _marks(
            [value for value, _ in of_seeds],
            [place + shift for _, place in of_seeds],
            [names[place] for _, place in of_seeds],
            name=f"{name}, seed",
            number=".3f",
        )
        figure.add_scatter(**marks, marker={"color": colour, "size": 7, "opacity": 0.5}, showlegend=False)
        means = [getattr(label, f"{field}_mean") for label in ordered]
        lanes = [place + shift for place in range(len(ordered))]
        bar = {"color": colour, "symbol": "line-ns", "size": 14, "line": {"width": 3, "color": colour}}
        figure.add_scatter(**_marks(means, lanes, names, name=name, number=".3f"), marker=bar)
    _name_lines(figure, [(label.label, label.num_clips) for label in ordered])
    return figure.update_xaxes(range=[-0.02, 1.02], title_text="label scores")


def _marks(
    values: Sequence[float | None], lanes: Sequence[float], names: Sequence[str], *, name: str, number: str
) -> dict[str, Any]:
    return {
        "x": list(values),
        "y": list(lanes),
        "customdata": list(names),
        "mode": "markers",
        "name": name,
        "hovertemplate": f"%{{customdata}}<br>{name}: %{{x:{number}}}<extra></extra>",
    }


def _add_ranges(figure: go.Figure, values: Sequence[Sequence[float | None]]) -> None:
    x: list[float | None] = []
    y: list[int | None] = []
    for place, of_class in enumerate(values):
        defined = [value for value in of_class if value is not None]
        x += [min(defined, default=None), max(defined, default=None), None]
        y += [place, place, None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": "#cbd2d9", "width": 4}, name="range", showlegend=False, hoverinfo="skip"
    )


def _name_lines(figure: go.Figure, classes: Sequence[tuple[str, int]]) -> None:
    """Names each line, with its number of clips behind it; the first line is the topmost."""
    names = tick_names(label for label, _ in classes)
    ticks = [f"{name} ({num_clips})" for name, (_, num_clips) in zip(names, classes, strict=True)]
    places = list(range(len(classes)))
    figure.update_yaxes(tickvals=places, ticktext=ticks, range=[len(classes) - 0.4, -0.6], zeroline=False)
