"""Figures of the page, one file for each kind. The only folder that imports plotly."""

from reports.plots.calibration import reliability_diagram
from reports.plots.classes import class_marks, label_marks
from reports.plots.curves import architecture_names, loss_curves, rung_picture, score_curves
from reports.plots.differences import difference_matrix, difference_width_pixels
from reports.plots.frame import figure_json, plotly_javascript
from reports.plots.groups import group_strip
from reports.plots.matrix import confusion_matrix, confusion_width_pixels, shows_counts
from reports.plots.parameters import importance_bars, parallel_lines, parallel_width_pixels
from reports.plots.pareto import pareto_picture
from reports.plots.recalls import recall_map, recall_map_width_pixels
from reports.plots.strips import seed_strips

__all__ = [
    "plotly_javascript",
    "figure_json",
    "architecture_names",
    "score_curves",
    "loss_curves",
    "rung_picture",
    "confusion_matrix",
    "confusion_width_pixels",
    "shows_counts",
    "class_marks",
    "label_marks",
    "group_strip",
    "reliability_diagram",
    "seed_strips",
    "recall_map",
    "recall_map_width_pixels",
    "importance_bars",
    "parallel_lines",
    "parallel_width_pixels",
    "pareto_picture",
    "difference_matrix",
    "difference_width_pixels",
]
