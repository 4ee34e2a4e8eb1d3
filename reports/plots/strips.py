"""Configurations side by side: a dot for every seed, a bar at their mean, a line for the interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from reports.chosen_by import ChosenBy
from reports.markup import plot_text
from reports.plots.frame import COLOURS, INK, SYMBOLS, new_figure

_LINE_PIXELS = 46
_LEGEND_PIXELS = 16  # a line of the legend, which takes its room from the figure where that is narrow
_LANE = 0.16  # seeds of one configuration lie a little apart, so that equal ones stay visible
_MAX_NAME_CHARACTERS = 20
_MOST_SEEDS_IN_LEGEND = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """One configuration's line.

    Attributes:
        name, detail: what stands beside the line, one below the other.
        seed_scores: seed → score over all folds.
        low, high: of the interval; None where there is none.
    """

    name: str
    detail: str
    seed_scores: Mapping[int, float]
    low: float | None
    high: float | None


def seed_strips(strips: Sequence[Strip], score: ChosenBy) -> go.Figure:
    """Args: score: what is shown."""
    seeds = sorted({seed for strip in strips for seed in strip.seed_scores})
    named = len(seeds) if len(seeds) <= _MOST_SEEDS_IN_LEGEND else 0
    figure = new_figure(height=110 + _LINE_PIXELS * len(strips) + _LEGEND_PIXELS * (named + 2))
    _add_intervals(figure, strips)
    for index, seed in enumerate(seeds):
        lane = _LANE * (index - (len(seeds) - 1) / 2) if len(seeds) <= _MOST_SEEDS_IN_LEGEND else 0.0
        places = [place for place, strip in enumerate(strips) if seed in strip.seed_scores]
        figure.add_scatter(
            x=[strips[place].seed_scores[seed] for place in places],
            y=[place + lane * min(1.0, 4 / len(seeds)) for place in places],
            customdata=[_whole_name(strips[place]) for place in places],
            mode="markers",
            marker={
                "color": COLOURS[index % len(COLOURS)],
                "symbol": SYMBOLS[index % len(SYMBOLS)],
                "size": 9,
                "opacity": 0.85,
            },
            name=f"seed {seed}",
            showlegend=len(seeds) <= _MOST_SEEDS_IN_LEGEND,
            hovertemplate=f"%{{customdata}}<br>seed {seed}: %{{x:{score.point_format}}}<extra></extra>",
        )
    _add_means(figure, strips, score)
    ticks = [_tick(strip) for strip in strips]
    figure.update_yaxes(
        tickvals=list(range(len(strips))), ticktext=ticks, range=[len(strips) - 0.4, -0.6], zeroline=False
    )
    return figure.update_xaxes(tickformat=score.tick_format, title_text=f"test {score.name}", range=_range(strips))


def _range(strips: Sequence[Strip]) -> list[float]:
    """All that is drawn, with some room."""
    ends = [end for strip in strips for end in (strip.low, strip.high) if end is not None]
    values = [*ends, *(value for strip in strips for value in strip.seed_scores.values())]
    room = max(0.01, 0.04 * (max(values) - min(values)))
    return [min(values) - room, max(values) + room]


def _add_intervals(figure: go.Figure, strips: Sequence[Strip]) -> None:
    x: list[float | None] = []
    y: list[int | None] = []
    for place, strip in enumerate(strips):
        x += [strip.low, strip.high, None]
        y += [place, place, None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": "#cbd2d9", "width": 9}, name="95 % interval", hoverinfo="skip"
    )


def _add_means(figure: go.Figure, strips: Sequence[Strip], score: ChosenBy) -> None:
    means = [sum(strip.seed_scores.values()) / len(strip.seed_scores) for strip in strips]
    figure.add_scatter(
        x=means,
        y=list(range(len(strips))),
        customdata=[[_whole_name(strip), score.told(strip.low), score.told(strip.high)] for strip in strips],
        mode="markers",
        marker={"color": INK, "symbol": "line-ns", "size": 20, "line": {"width": 2, "color": INK}},
        name="mean",
        hovertemplate=f"%{{customdata[0]}}<br>mean: %{{x:{score.point_format}}}<br>"
        "95 % interval: %{customdata[1]} to %{customdata[2]}<extra></extra>",
    )


def _whole_name(strip: Strip) -> str:
    return plot_text(f"{strip.name} {strip.detail}")


def _tick(strip: Strip) -> str:
    return f"{plot_text(strip.name, max_characters=_MAX_NAME_CHARACTERS)}<br>{plot_text(strip.detail)}"
