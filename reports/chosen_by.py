"""What trials and configurations of a sweep are chosen by, in words, and how its values are told.

The rule is that of `training.metrics.Evaluation.score`: accuracy, or the macro ROC-AUC where a clip may have several
labels. Epochs are chosen by it, too, unless the recipe's `loop.select_by` says otherwise. Enters: a `SweepResults`.
Leaves: a name for every heading, caption and axis that speaks of it.
"""

import json
from dataclasses import dataclass

import pandas as pd

from reports.evidence import Interval
from reports.sweep_results import SweepResults
from reports.text import NO_VALUE, decimal, percent


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenBy:
    """A score.

    Attributes:
        name: as it stands in sentences.
        short: as it stands above a column.
        is_share: whether it is told in percent.
    """

    name: str
    short: str
    is_share: bool

    def told(self, value: float | None, deviation: float | None = None) -> str:
        """`83.4 ± 1.2 %`, or `0.834 ± 0.012`; a dash for no value."""
        return percent(value, deviation) if self.is_share else decimal(value, deviation)

    def told_interval(self, interval: Interval | None) -> str:
        """`78.1 to 88.4 %`, or `0.781 to 0.884`; a dash for none."""
        if interval is None:
            return NO_VALUE
        if self.is_share:
            return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"
        return f"{interval.low:.3f} to {interval.high:.3f}"

    def told_difference(self, value: float) -> str:
        """`+1.2` for 0.012 where shares are told in points of percent, `-0.012` otherwise."""
        # + 0.0 turns the -0.0 that rounding leaves into 0.0.
        return f"{round(100 * value, 1) + 0.0:+.1f}" if self.is_share else f"{round(value, 3) + 0.0:+.3f}"

    def told_gain(self, gain: float) -> str:
        """`+1.2 points in test accuracy`, `-0.012 in test macro ROC-AUC`."""
        return f"{self.told_difference(gain)}{self.points} in test {self.name}"

    @property
    def points(self) -> str:
        """What stands behind a difference."""
        return " points" if self.is_share else ""

    @property
    def tick_format(self) -> str:
        """Of an axis, as d3 has it."""
        return ".0%" if self.is_share else ".2f"

    @property
    def point_format(self) -> str:
        """Of a single point, as d3 has it."""
        return ".1%" if self.is_share else ".3f"


ACCURACY = ChosenBy(name="accuracy", short="accuracy", is_share=True)
MACRO_AUC = ChosenBy(name="macro ROC-AUC", short="macro AUC", is_share=False)


def chosen_by(sweep: SweepResults) -> ChosenBy:
    """What the sweep's trials are chosen by."""
    return MACRO_AUC if has_several_labels(sweep) else ACCURACY


def has_several_labels(sweep: SweepResults) -> bool:
    """Whether some clip has several labels; before there are predictions, whether a loss allows it."""
    losses = [json.loads(text).get("loss", {}) for text in sweep.suggestions["configuration"]]
    if all(loss.get("kind", "cross_entropy") == "cross_entropy" for loss in losses):
        return False
    labels = sweep.labels_of_clips
    return labels.empty or bool((labels.map(len) > 1).any())


def epoch_scores(curve: pd.DataFrame) -> pd.Series:
    """The validation score, for rows of the epochs table; those of earlier versions have an accuracy alone."""
    return curve["validation_score"].astype(float).fillna(curve["validation_accuracy"])
