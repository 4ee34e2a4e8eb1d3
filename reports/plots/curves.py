"""Figures over epochs: the score that trials are chosen by, the losses, and where they were stopped."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from reports.chosen_by import chosen_by, epoch_scores
from reports.leaderboard import LeaderboardRow
from reports.markup import plot_text
from reports.plots.frame import COLOURS, EDGE, INK, columns, line_style, new_figure
from reports.sweep_results import SweepResults
from reports.trials import TrialSummary
from reports.turns import Turn

_STATE_SYMBOLS = {"finished": "circle", "stopped": "x", "failed": "triangle-down", "open": "circle-open"}
_TURN_SYMBOLS = {
    "new configuration": "diamond-open",
    "more epochs": "triangle-right-open",
    "further seed": "square-open",
}
_TURN_COLOURS = {"new configuration": COLOURS[2], "more epochs": COLOURS[4], "further seed": COLOURS[3]}
_MAX_RUNG_LINES = 12


def score_curves(sweep: SweepResults, best: Mapping[str, LeaderboardRow]) -> go.Figure:
    """The validation score that trials are chosen by: a colour per name, a line per seed, a ring at the epoch kept.

    Args:
        best: what is compared: architectures, or the folds of an experiment.
    """
    figure = new_figure(height=360)
    names = architecture_names(sweep)
    score = chosen_by(sweep)
    for architecture, row in best.items():
        style = line_style(names.index(architecture) if architecture in names else list(best).index(architecture))
        kept = dict(zip(*columns(sweep.seeds_of(row.trial_id, row.seeds), "seed", "best_epoch"), strict=True))
        for index, seed in enumerate(row.seeds):
            curve = _curve(sweep, row.trial_id, seed)
            (epochs,) = columns(curve, "epoch")
            figure.add_scatter(
                x=epochs,
                y=epoch_scores(curve).tolist(),
                mode="lines+markers",
                line={**style, "width": 1.8},
                marker={"symbol": "circle-open", "size": [10 if epoch == kept[seed] else 0 for epoch in epochs]},
                name=plot_text(architecture),
                legendgroup=plot_text(architecture),
                showlegend=index == 0,
                meta=[plot_text(f"{architecture}, seed {seed}")],
                hovertemplate=f"%{{meta[0]}}<br>epoch %{{x}}: %{{y:{score.point_format}}}<extra></extra>",
            )
    return _epoch_axis(figure).update_yaxes(tickformat=score.tick_format)


def loss_curves(sweep: SweepResults, row: LeaderboardRow, *, highest: float | None = None) -> go.Figure:
    """Loss per epoch of one configuration, a line per seed: validation solid, train dotted.

    Args:
        highest: upper end of the axis, so that figures of several architectures can be compared; None: by its own data.
    """
    figure = new_figure(height=280)
    colour = _architecture_style(sweep, row.architecture)["color"]
    for column, name, dash in (("validation_loss", "validation", "solid"), ("train_loss", "train", "dot")):
        for index, seed in enumerate(row.seeds):
            epochs, losses = columns(_curve(sweep, row.trial_id, seed), "epoch", column)
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


def rung_picture(sweep: SweepResults, trials: Iterable[TrialSummary], turns: Sequence[Turn] = ()) -> go.Figure:
    """Every trial as a faint line over its seed-epochs, with a mark at its end that says what became of it.

    Args:
        turns: of an adaptive sweep; each is marked where it began. Others have a line at every rung.
    """
    figure = new_figure(height=400)
    score = chosen_by(sweep)
    trials = [trial for trial in trials if trial.seed_epochs]
    for architecture in architecture_names(sweep):
        figure.add_scatter(
            **_joined_curves(sweep, [trial for trial in trials if trial.architecture == architecture]),
            mode="lines",
            line={**_architecture_style(sweep, architecture), "width": 1.4},
            opacity=0.4,
            name=plot_text(architecture),
            hovertemplate=f"%{{customdata}}<br>%{{x}} seed-epochs: %{{y:{score.point_format}}}<extra></extra>",
        )
    for state, symbol in _STATE_SYMBOLS.items():
        ended = [trial for trial in trials if trial.state == state]
        if ended:
            figure.add_scatter(**_end_marks(sweep, ended, state=state, symbol=symbol))
    for kind, symbol in _TURN_SYMBOLS.items():
        of_kind = [turn for turn in turns if turn.kind == kind]
        if of_kind:
            figure.add_scatter(**_turn_marks(sweep, of_kind, kind=kind, symbol=symbol))
    rungs = sorted({trial.seed_epochs for trial in trials if trial.state == "stopped"})
    for rung in rungs if len(rungs) <= _MAX_RUNG_LINES and not turns else []:
        figure.add_vline(x=rung, line={"color": EDGE, "width": 1, "dash": "dot"}, layer="below")
    figure.update_xaxes(title_text="seed-epochs", rangemode="tozero")
    return figure.update_yaxes(tickformat=score.tick_format)


def architecture_names(sweep: SweepResults) -> list[str]:
    """The sweep's architectures, in alphabetical order; their colours follow it."""
    return sorted(set(sweep.suggestions["architecture"]))


def _architecture_style(sweep: SweepResults, architecture: str) -> dict[str, str]:
    """Colour and dash by place in the alphabet, so that an architecture looks the same in every figure."""
    return line_style(architecture_names(sweep).index(architecture))


def _epoch_axis(figure: go.Figure) -> go.Figure:
    longest = max((max(trace.x, default=1) for trace in figure.data), default=1)
    room = max(0.3, 0.03 * longest)
    dtick = 1 if longest <= 10 else None
    return figure.update_xaxes(title_text="epoch", dtick=dtick, tickformat="d", range=[1 - room, longest + room])


def _joined_curves(sweep: SweepResults, trials: list[TrialSummary]) -> dict[str, list[Any]]:
    """The objective curves of many trials as one trace: a null between two of them lifts the pen."""
    joined: dict[str, list[Any]] = {"x": [], "y": [], "customdata": []}
    epochs = {str(trial_id): rows for trial_id, rows in sweep.epochs.groupby("trial_id")}
    for trial in trials:
        of_trial = epochs.get(trial.trial_id, sweep.epochs.head(0))
        seed_epochs, objectives = columns(of_trial, "seed_epoch", "objective")
        joined["x"] += [*seed_epochs, None]
        joined["y"] += [*objectives, None]
        joined["customdata"] += [_trial_name(trial)] * len(seed_epochs) + [""]
    return joined


def _end_marks(sweep: SweepResults, trials: list[TrialSummary], *, state: str, symbol: str) -> dict[str, Any]:
    """A mark where each line ends: at the trial's last epoch and what the scheduler compared there."""
    last_epochs = sweep.epochs.drop_duplicates("trial_id", keep="last").set_index("trial_id")
    shown = [trial for trial in trials if trial.trial_id in last_epochs.index]
    seed_epochs, objectives = columns(last_epochs.loc[[trial.trial_id for trial in shown]], "seed_epoch", "objective")
    number = chosen_by(sweep).point_format
    return {
        "x": seed_epochs,
        "y": objectives,
        "customdata": [_trial_name(trial) for trial in shown],
        "mode": "markers",
        "marker": {"symbol": symbol, "color": INK, "size": 8},
        "name": state,
        "hovertemplate": f"%{{customdata}}<br>{state} at %{{x}} seed-epochs: %{{y:{number}}}<extra></extra>",
    }


def _turn_marks(sweep: SweepResults, turns: Sequence[Turn], *, kind: str, symbol: str) -> dict[str, Any]:
    """A mark where each turn began: at the trial's last epoch before it, or its first one."""
    rows = sweep.epochs
    objectives = dict(zip(zip(rows["trial_id"], rows["seed_epoch"], strict=True), rows["objective"], strict=True))
    shown = [turn for turn in turns if (turn.trial_id, max(1, turn.begins)) in objectives]
    return {
        "x": [max(1, turn.begins) for turn in shown],
        "y": [objectives[turn.trial_id, max(1, turn.begins)] for turn in shown],
        "customdata": [
            plot_text(f"decision {turn.decision}: trial {turn.number}, {turn.architecture}, to {turn.until}")
            for turn in shown
        ],
        "mode": "markers",
        "marker": {"symbol": symbol, "color": _TURN_COLOURS[kind], "size": 9, "line": {"width": 1.6}},
        "name": kind,
        "hovertemplate": f"%{{customdata}}<br>{kind} from %{{x}} seed-epochs on<extra></extra>",
    }


def _trial_name(trial: TrialSummary) -> str:
    return plot_text(f"trial {trial.number}, {trial.architecture}")


def _curve(sweep: SweepResults, trial_id: str, seed: int) -> pd.DataFrame:
    epochs = sweep.epochs
    return epochs[(epochs["trial_id"] == trial_id) & (epochs["seed"] == seed)].sort_values("epoch")
