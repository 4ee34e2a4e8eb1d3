"""Figures of a sweep as PNG files, for papers and messages: learning curves, and what the best one gets wrong.

Enters: a `SweepResults`. Leaves: PNG files as bytes. The only file that imports
matplotlib, by its object-oriented API alone: no figure is known to any other part of the process. Labels are other
people's text: nothing in them is taken for mathematics, and long ones are cut.
"""

import io
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from reports.calibration import NUM_BINS, Reliability, reliability
from reports.chosen_by import chosen_by, epoch_scores, has_several_labels
from reports.label_scores import LabelScores, label_scores
from reports.leaderboard import LeaderboardRow, best_of_each_architecture, leaderboard
from reports.sweep_results import SweepResults, summed_confusion
from reports.text import counted
from storage.safe_names import safe_names

_DPI = 150
_BLUE, _ORANGE, _INK, _MUTED, _GRID = "#0072B2", "#D55E00", "#1f2933", "#52606d", "#e4e7eb"
# One hue from near white to dark, as on the page.
_SHARES = LinearSegmentedColormap.from_list("shares", ["#f7fafc", "#c6dbef", "#6baed6", "#2171b5", "#08306b"])
_MAX_LABEL_CHARACTERS = 22
_MAX_LABELS_WITH_NUMBERS = 20


def draw_figures(sweep: SweepResults) -> dict[str, bytes]:
    """Draws a sweep, or an experiment, whose trials are its folds.

    Returns:
        File name → PNG: learning curves of each architecture's best configuration, and of the best one of all the
        confusion matrix, or the scores of each label where a clip may have several, and the reliability diagram. Empty
        while no configuration has all its seeds complete.
    """
    drawn = {}
    chosen = _chosen(sweep, leaderboard(sweep))
    names = safe_names(chosen)
    for architecture, rows in chosen.items():
        drawn[f"learning-curves-{names[architecture]}.png"] = learning_curves(sweep, architecture, rows)
    for rows in list(chosen.values())[:1]:
        if not has_several_labels(sweep):
            drawn["confusion-matrix.png"] = confusion_matrix(sweep, rows)
        elif scores := label_scores(sweep, rows):
            drawn["label-scores.png"] = label_bars(scores, _caption(rows))
        if found := reliability(sweep, rows):
            drawn["reliability.png"] = reliability_diagram(found, _caption(rows))
    return drawn


def learning_curves(sweep: SweepResults, architecture: str, rows: Sequence[LeaderboardRow]) -> bytes:
    """Losses, and the score that epochs are chosen by, over the epochs: a thin line a seed, a bold one for the mean.

    Args:
        rows: the best configuration, or one row for every fold.
    """
    curves = [curve for row in rows for curve in _curves(sweep, row)]
    figure, (left, right) = _panels(10.0, 4.0)
    for column, colour, name in (("train_loss", _ORANGE, "training"), ("validation_loss", _BLUE, "validation")):
        _draw_lines(left, [curve.set_index("epoch")[column] for curve in curves], colour=colour, name=name)
    left.legend(frameon=False, loc="upper right")
    left.set_title("loss", loc="left", color=_MUTED)
    _draw_lines(right, [epoch_scores(curve.set_index("epoch")) for curve in curves], colour=_BLUE, name="validation")
    score = chosen_by(sweep)
    right.set_title(f"validation {score.name}", loc="left", color=_MUTED)
    if score.is_share:
        right.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(f"{_text(architecture)}: {_caption(rows)}, bold: their mean", parse_math=False)
    return _png(figure)


def confusion_matrix(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> bytes:
    """Test clips by true and predicted label: colour is the share of the line, the number in a cell its percent."""
    counts = summed_confusion(pd.concat([sweep.seeds_of(row.trial_id, row.seeds) for row in rows]))
    shares = np.divide(
        counts,
        counts.sum(axis=1, keepdims=True),
        where=counts.sum(axis=1, keepdims=True) > 0,
        out=np.full(counts.shape, np.nan),
    )
    num_labels, with_numbers = len(counts), len(counts) <= _MAX_LABELS_WITH_NUMBERS
    side = 2.6 + num_labels * (0.42 if with_numbers else 0.2)
    figure, (axes,) = _panels(side + 0.9, side, columns=1)
    image = axes.imshow(np.ma.masked_invalid(shares), cmap=_SHARES, vmin=0, vmax=1)
    if with_numbers:
        _write_shares(axes, shares)
    size = 9 if with_numbers else 7
    names = [_text(label) for label in sweep.labels]
    axes.set_xticks(range(num_labels), names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(num_labels), names, fontsize=size, parse_math=False)
    axes.grid(visible=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{_text(rows[0].architecture)}: {_caption(rows)}", fontsize=10, parse_math=False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, format=PercentFormatter(xmax=1, decimals=0))
    bar.set_label("share of the true label's clips")
    return _png(figure)


def label_bars(scores: Sequence[LabelScores], caption: str) -> bytes:
    """AUC and average precision of every label on test: a bar at the mean, a dot for every seed, the weakest on top."""
    ordered = sorted(scores, key=lambda label: (label.auc_mean is not None, label.auc_mean or 0.0))
    figure, (axes,) = _panels(8.0, 1.6 + 0.36 * len(ordered), columns=1)
    places = np.arange(len(ordered))[::-1]
    kinds = (("ROC-AUC", _BLUE, 0.19, "auc"), ("average precision", _ORANGE, -0.19, "average_precision"))
    for name, colour, shift, field in kinds:
        values = [getattr(label, field) for label in ordered]
        means = [getattr(label, f"{field}_mean") or 0.0 for label in ordered]
        axes.barh(places + shift, means, height=0.36, color=colour, alpha=0.75, label=name)
        dots = [(value, place + shift) for place, of_label in zip(places, values, strict=True) for value in of_label]
        axes.plot(*zip(*dots, strict=True) if dots else ((), ()), ".", color=_INK, markersize=4)
    names = [f"{_text(label.label)} ({label.num_clips})" for label in ordered]
    axes.set_yticks(places, names, parse_math=False)
    axes.set_xlim(0, 1.01)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    axes.set_xlabel(f"test; {caption}; in brackets the clips that have the label")
    return _png(figure)


def reliability_diagram(found: Reliability, caption: str) -> bytes:
    """Accuracy by confidence in bins, above how many predictions each holds; on the diagonal a model is as often right
    as it says."""
    figure, (above, below) = _panels(5.6, 5.8, rows=2, columns=1, height_ratios=(4, 1))
    centres = [(of_bin.place + 0.5) / NUM_BINS for of_bin in found.bins]
    accuracies = [of_bin.accuracy for of_bin in found.bins]
    above.bar(centres, accuracies, width=0.94 / NUM_BINS, color=_BLUE, alpha=0.35, label="share that is right")
    confidences = [of_bin.confidence for of_bin in found.bins]
    above.plot(confidences, accuracies, "o", color=_BLUE, markersize=5, label="at its mean confidence")
    above.plot([0, 1], [0, 1], "--", color=_ORANGE, label="as often right as it says")
    above.set_ylim(0, 1.02)
    above.set_ylabel("right")
    above.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    above.legend(frameon=False, loc="upper left")
    below.bar(centres, [of_bin.num_predictions for of_bin in found.bins], width=0.94 / NUM_BINS, color=_MUTED)
    below.set_ylabel("predictions")
    for axes in (above, below):
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    below.set_xlabel("confidence in the most probable label")
    error = np.mean(list(found.errors.values()))
    figure.suptitle(f"test; {caption}; calibration error {error:.3f}", fontsize=10)
    return _png(figure)


def _chosen(sweep: SweepResults, rows: Sequence[LeaderboardRow]) -> Mapping[str, Sequence[LeaderboardRow]]:
    """Architecture → its best row; of an experiment, whose trials are its folds, all of them."""
    folds = sweep.suggestions.get("fold")
    if folds is None or folds.isna().all():
        return {architecture: [row] for architecture, row in best_of_each_architecture(rows).items()}
    return {rows[0].architecture: sorted(rows, key=lambda row: row.number)} if rows else {}


def _caption(rows: Sequence[LeaderboardRow]) -> str:
    seeds = counted(max(len(row.seeds) for row in rows), "seed")
    return seeds if len(rows) == 1 else f"{counted(len(rows), 'fold')} × {seeds}"


def _curves(sweep: SweepResults, row: LeaderboardRow) -> list[pd.DataFrame]:
    of_trial = sweep.epochs[sweep.epochs["trial_id"] == row.trial_id]
    return [of_seed.sort_values("epoch") for seed, of_seed in of_trial.groupby("seed") if seed in row.seeds]


def _draw_lines(axes: Axes, lines: Sequence[pd.Series], *, colour: str, name: str) -> None:
    """The mean goes as far as all lines do: where early stopping ends one, it would jump."""
    marker = "o" if max((len(line) for line in lines), default=0) == 1 else ""
    for line in lines:
        axes.plot(line.index, line.to_numpy(), color=colour, marker=marker, markersize=3, linewidth=0.8, alpha=0.45)
    if lines:
        mean = pd.concat(lines, axis=1, join="inner").mean(axis=1, skipna=False)
        axes.plot(mean.index, mean.to_numpy(), color=colour, marker=marker, label=name, linewidth=2.2)


def _write_shares(axes: Axes, shares: NDArray[np.float64]) -> None:
    for true, predicted in zip(*np.nonzero(np.nan_to_num(shares)), strict=True):
        share = shares[true, predicted]
        colour = "white" if share > 0.55 else _INK
        axes.text(predicted, true, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)


def _panels(
    width: float, height: float, *, rows: int = 1, columns: int = 2, height_ratios: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure in inches with panels side by side, or one above the other."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False, height_ratios=height_ratios).flat)
    for axes in panels:
        axes.grid(color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure, panels


def _text(label: str) -> str:
    """A label on one line, cut where it is long; drawn with `parse_math=False`."""
    line = "".join(character if character.isprintable() else "�" for character in label)
    return line if len(line) <= _MAX_LABEL_CHARACTERS else line[: _MAX_LABEL_CHARACTERS - 1] + "…"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for a letter the font lacks
        figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()
