"""Figures of a sweep. Enters: a `SweepResults` and leaderboard rows. Leaves: plotly figures, and plotly.js itself.

The only file that imports plotly. All numbers go in as lists, so that the page holds them as readable JSON; all names
go in through `plot_text`. Classes are placed by index and named by tick text, so no label is ever taken for a number.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from reports.leaderboard import LeaderboardRow, SweepResults, summed_confusion
from reports.markup import plot_text
from reports.trials import TrialSummary

# Okabe & Ito, "Color Universal Design" (2008), without yellow and black: told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("solid", "dash", "dot")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star")
_STATE_SYMBOLS = {"finished": "circle", "stopped": "x", "failed": "triangle-down", "open": "circle-open"}
_INK, _MUTED, _GRID = "#1f2933", "#52606d", "#e4e7eb"
# One hue from near white to dark: order survives in grey and for every kind of colour vision.
_SHARE_SCALE = [[0.0, "#f7fafc"], [0.25, "#c6dbef"], [0.5, "#6baed6"], [0.75, "#2171b5"], [1.0, "#08306b"]]
_MAX_LABEL_CHARACTERS = 22
MAX_LABELS_WITH_COUNTS = 20
_MAX_RUNG_LINES = 12
_CELL_PIXELS, _SMALL_CELL_PIXELS, _MATRIX_MARGIN_PIXELS = 36, 15, 190


def plotly_javascript() -> str:
    """plotly.js as text, to be inlined once."""
    return get_plotlyjs()


def figure_json(figure: go.Figure) -> str:
    """Data and layout as JSON; NaN is null."""
    return figure.to_json(validate=True)


def accuracy_curves(sweep: SweepResults, best: Mapping[str, LeaderboardRow]) -> go.Figure:
    """Validation accuracy per epoch: a colour per name, a line per seed, a ring at the epoch that was kept.

    Args:
        best: what is compared: architectures, or the folds of an experiment.
    """
    figure = _figure(height=360)
    names = architecture_names(sweep)
    for architecture, row in best.items():
        style = _style(names.index(architecture) if architecture in names else list(best).index(architecture))
        kept = dict(zip(*_columns(sweep.seeds_of(row.trial_id, row.seeds), "seed", "best_epoch"), strict=True))
        for index, seed in enumerate(row.seeds):
            curve = _curve(sweep, row.trial_id, seed)
            epochs, accuracies = _columns(curve, "epoch", "validation_accuracy")
            figure.add_scatter(
                x=epochs,
                y=accuracies,
                mode="lines+markers",
                line={**style, "width": 1.8},
                marker={"symbol": "circle-open", "size": [10 if epoch == kept[seed] else 0 for epoch in epochs]},
                name=plot_text(architecture),
                legendgroup=plot_text(architecture),
                showlegend=index == 0,
                meta=[plot_text(f"{architecture}, seed {seed}")],
                hovertemplate="%{meta[0]}<br>epoch %{x}: %{y:.1%}<extra></extra>",
            )
    return _epoch_axis(figure).update_yaxes(tickformat=".0%")


def loss_curves(sweep: SweepResults, row: LeaderboardRow, *, highest: float | None = None) -> go.Figure:
    """Loss per epoch of one configuration, a line per seed: validation solid, train dotted.

    Args:
        highest: upper end of the axis, so that figures of several architectures can be compared; None: by its own data.
    """
    figure = _figure(height=280)
    colour = _architecture_style(sweep, row.architecture)["color"]
    for column, name, dash in (("validation_loss", "validation", "solid"), ("train_loss", "train", "dot")):
        for index, seed in enumerate(row.seeds):
            epochs, losses = _columns(_curve(sweep, row.trial_id, seed), "epoch", column)
            figure.add_scatter(
                x=epochs,
                y=losses,
                mode="lines+markers" if len(epochs) == 1 else "lines",
                line={"color": colour, "dash": dash, "width": 1.8},
                name=name,
                legendgroup=name,
                showlegend=index == 0,
                meta=[plot_text(f"{name} loss, seed {seed}")],
                hovertemplate="%{meta[0]}<br>epoch %{x}: %{y:.3f}<extra></extra>",
            )
    return _epoch_axis(figure).update_yaxes(range=[0, highest] if highest else None, rangemode="tozero")


def rung_picture(sweep: SweepResults, trials: Iterable[TrialSummary]) -> go.Figure:
    """Every trial as a faint line over its seed-epochs, with a mark at its end that says what became of it."""
    figure = _figure(height=400)
    trials = [trial for trial in trials if trial.seed_epochs]
    for architecture in architecture_names(sweep):
        figure.add_scatter(
            **_joined_curves(sweep, [trial for trial in trials if trial.architecture == architecture]),
            mode="lines",
            line={**_architecture_style(sweep, architecture), "width": 1.4},
            opacity=0.4,
            name=plot_text(architecture),
            hovertemplate="%{customdata}<br>%{x} seed-epochs: %{y:.1%}<extra></extra>",
        )
    for state, symbol in _STATE_SYMBOLS.items():
        ended = [trial for trial in trials if trial.state == state]
        if ended:
            figure.add_scatter(**_end_marks(sweep, ended, state=state, symbol=symbol))
    rungs = sorted({trial.seed_epochs for trial in trials if trial.state == "stopped"})
    for rung in rungs if len(rungs) <= _MAX_RUNG_LINES else []:
        figure.add_vline(x=rung, line={"color": "#9aa5b1", "width": 1, "dash": "dot"}, layer="below")
    return figure.update_xaxes(title_text="seed-epochs", rangemode="tozero").update_yaxes(tickformat=".0%")


def confusion_matrix(sweep: SweepResults, row: LeaderboardRow) -> go.Figure:
    """Test clips by true and predicted label, summed over the seeds of a row."""
    return confusion_of(sweep, sweep.seeds_of(row.trial_id, row.seeds))


def confusion_of(sweep: SweepResults, seeds: pd.DataFrame) -> go.Figure:
    """The same summed over rows of the seeds table; colour is the share of the line, text the count."""
    counts = summed_confusion(seeds).tolist()
    shares = [[count / sum(line) if sum(line) else None for count in line] for line in counts]
    names = [plot_text(label) for label in sweep.labels]
    positions = list(range(len(names)))
    figure = _figure(height=130 + len(names) * (34 if shows_counts(sweep) else 15)).update_layout(margin_t=8)
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
        colorscale=_SHARE_SCALE,
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        colorbar={"tickformat": ".0%", "thickness": 10, "outlinewidth": 0, "len": 1},
    )
    ticks = {"tickvals": positions, "ticktext": _tick_names(sweep.labels), "showgrid": False, "zeroline": False}
    figure.update_xaxes(**ticks, title_text="predicted", tickangle=-45 if shows_counts(sweep) else -90)
    return figure.update_yaxes(**ticks, title_text="true", autorange="reversed")


def confusion_width_pixels(sweep: SweepResults) -> int:
    """What the matrix needs to be readable."""
    cell = _CELL_PIXELS if shows_counts(sweep) else _SMALL_CELL_PIXELS
    return _MATRIX_MARGIN_PIXELS + cell * len(sweep.labels)


def shows_counts(sweep: SweepResults) -> bool:
    """Whether the cells of the confusion matrix are large enough to hold their counts."""
    return len(sweep.labels) <= MAX_LABELS_WITH_COUNTS


def recall_by_seed(sweep: SweepResults, row: LeaderboardRow) -> go.Figure:
    """Test recall of each class, a mark per seed and a bar at the mean; the weakest class on top."""
    seeds = sweep.seeds_of(row.trial_id, row.seeds)
    num_clips = summed_confusion(seeds.head(1)).sum(axis=1)
    means = [row.test_recall_mean[label] for label in sweep.labels]
    order = sorted(range(len(means)), key=lambda label: (means[label] is None, means[label] or 0.0))
    recalls = [[float(values[label]) for label in order] for values in seeds["test_recall"]]
    positions = [float(position) for position in range(len(order))]
    names = [plot_text(sweep.labels[label]) for label in order]
    figure = _figure(height=110 + 28 * len(order))
    _add_recall_ranges(figure, recalls)
    step = min(0.22, 0.6 / len(recalls))  # seeds of one class lie a little apart, so that equal ones stay visible
    for index, (seed, values) in enumerate(zip(row.seeds, recalls, strict=True)):
        lanes = [position + step * (index - (len(recalls) - 1) / 2) for position in positions]
        marker = {"color": COLOURS[index % len(COLOURS)], "symbol": _SYMBOLS[index % len(_SYMBOLS)], "size": 8}
        figure.add_scatter(
            **_recall_marks(values, lanes, names, name=f"seed {seed}"), marker={**marker, "opacity": 0.85}
        )
    bar = {"color": _INK, "symbol": "line-ns", "size": 18, "line": {"width": 2, "color": _INK}}
    figure.add_scatter(**_recall_marks([means[label] for label in order], positions, names, name="mean"), marker=bar)
    ticks = [
        f"{name} ({num_clips[label]})"
        for name, label in zip(_tick_names(sweep.labels[label] for label in order), order, strict=True)
    ]
    figure.update_yaxes(tickvals=positions, ticktext=ticks, range=[len(order) - 0.4, -0.6], zeroline=False)
    return figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02], title_text="recall")


def _figure(*, height: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template=None,
        height=height,
        autosize=True,
        margin={"l": 48, "r": 12, "t": 36, "b": 44},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": _INK},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        hoverlabel={"bgcolor": "#ffffff", "bordercolor": "#9aa5b1", "align": "left"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
        dragmode=False,  # on a phone a finger on the figure scrolls the page
    )
    axis = {"gridcolor": _GRID, "linecolor": _GRID, "zeroline": False, "automargin": True, "tickcolor": _GRID}
    axis |= {"title": {"standoff": 10, "font": {"size": 13, "color": _MUTED}}}
    return figure.update_xaxes(**axis).update_yaxes(**axis)


def _epoch_axis(figure: go.Figure) -> go.Figure:
    longest = max((max(trace.x, default=1) for trace in figure.data), default=1)
    room = max(0.3, 0.03 * longest)
    dtick = 1 if longest <= 10 else None
    return figure.update_xaxes(title_text="epoch", dtick=dtick, tickformat="d", range=[1 - room, longest + room])


def _joined_curves(sweep: SweepResults, trials: list[TrialSummary]) -> dict[str, list[Any]]:
    """The objective curves of many trials as one trace: a null between two of them lifts the pen."""
    joined: dict[str, list[Any]] = {"x": [], "y": [], "customdata": []}
    for trial in trials:
        seed_epochs, objectives = _columns(
            sweep.epochs[sweep.epochs["trial_id"] == trial.trial_id], "seed_epoch", "objective"
        )
        joined["x"] += [*seed_epochs, None]
        joined["y"] += [*objectives, None]
        joined["customdata"] += [_trial_name(trial)] * len(seed_epochs) + [""]
    return joined


def _end_marks(sweep: SweepResults, trials: list[TrialSummary], *, state: str, symbol: str) -> dict[str, Any]:
    """A mark where each line ends: at the trial's last epoch and what the scheduler compared there."""
    last_epochs = sweep.epochs.drop_duplicates("trial_id", keep="last").set_index("trial_id")
    shown = [trial for trial in trials if trial.trial_id in last_epochs.index]
    seed_epochs, objectives = _columns(last_epochs.loc[[trial.trial_id for trial in shown]], "seed_epoch", "objective")
    return {
        "x": seed_epochs,
        "y": objectives,
        "customdata": [_trial_name(trial) for trial in shown],
        "mode": "markers",
        "marker": {"symbol": symbol, "color": _INK, "size": 8},
        "name": state,
        "hovertemplate": f"%{{customdata}}<br>{state} at %{{x}} seed-epochs: %{{y:.1%}}<extra></extra>",
    }


def _trial_name(trial: TrialSummary) -> str:
    return plot_text(f"trial {trial.number}, {trial.architecture}")


def _recall_marks(values: list[Any], positions: list[float], names: list[str], *, name: str) -> dict[str, Any]:
    return {
        "x": values,
        "y": positions,
        "customdata": names,
        "mode": "markers",
        "name": name,
        "hovertemplate": f"%{{customdata}}<br>{name}: %{{x:.1%}}<extra></extra>",
    }


def _add_recall_ranges(figure: go.Figure, recalls: list[list[float]]) -> None:
    x: list[float | None] = []
    y: list[int | None] = []
    for position, values in enumerate(zip(*recalls, strict=True)):
        x += [min(values), max(values), None]
        y += [position, position, None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": "#cbd2d9", "width": 4}, name="range", showlegend=False, hoverinfo="skip"
    )


def _tick_names(labels: Iterable[str]) -> list[str]:
    return [plot_text(label, max_characters=_MAX_LABEL_CHARACTERS) for label in labels]


def architecture_names(sweep: SweepResults) -> list[str]:
    """The sweep's architectures, in alphabetical order; their colours follow it."""
    return sorted(set(sweep.suggestions["architecture"]))


def _architecture_style(sweep: SweepResults, architecture: str) -> dict[str, str]:
    """Colour and dash by place in the alphabet, so that an architecture looks the same in every figure."""
    return _style(architecture_names(sweep).index(architecture))


def _style(place: int) -> dict[str, str]:
    return {
        "color": COLOURS[place % len(COLOURS)],
        "dash": _DASHES[place // len(COLOURS) % len(_DASHES)],
    }


def _curve(sweep: SweepResults, trial_id: str, seed: int) -> pd.DataFrame:
    epochs = sweep.epochs
    return epochs[(epochs["trial_id"] == trial_id) & (epochs["seed"] == seed)].sort_values("epoch")


def _columns(frame: pd.DataFrame, *names: str) -> list[list[Any]]:
    return [frame[name].tolist() for name in names]
