"""The words of a search: what was suggested, how it ended, what was decided; as the ledger keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sweeps.objectives import Measured
from sweeps.plan import Parameters
from training import TrialConfig

TrialState = Literal["finished", "stopped", "failed"]
# What may be decided of a trial at a rung, or of one that was put down there.
RungDecision = Literal["go_on", "stop", "pause", "take_up"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A planned trial: its number in the sweep, what the searcher chose and from which distributions (Optuna JSON).

    Attributes:
        fold: that it is tested on, in an experiment or a confirmation over folds.
        of_trial: in a confirmation or an audit, the trial of the sweep whose configuration this is.
    """

    number: int
    config: TrialConfig
    parameters: Parameters
    distributions: Mapping[str, str]
    untuned_default: bool
    fold: int | None = None
    of_trial: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A planned trial and what became of it.

    Attributes:
        state: None while it has not ended, and again when rows of a finished trial have been lost: it is then trained
            once more to the same numbers, and every row that is still there stays.
        objective: of its end; None if it failed before the first epoch, or has not ended.
        objectives: seed-epoch → objective, of every epoch that was reported.
        measured: seed → what its row says of the model (`objectives.Measured`), of seeds trained to their end.
        known_from: the first number that was suggested with this end in mind, or in an adaptive sweep the first such
            decision; None while it has not ended, and in older rows.
    """

    suggestion: Suggestion
    state: TrialState | None
    objective: float | None
    objectives: Mapping[int, float]
    measured: Measured = field(default_factory=dict)
    known_from: int | None = None

    @property
    def told_at(self) -> tuple[int, int]:
        """Its place in the order in which ends were told; those between the same suggestions by their numbers."""
        number = self.suggestion.number
        return (number + 1 if self.known_from is None else self.known_from, number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """That a trial was sent on, by a sweep that allots its budget step by step.

    Attributes:
        number: in the sweep.
        seed: that is trained.
        until: seed-epoch to which.
        rate: by how much the best posterior mean was expected to rise per epoch; None for what every sweep begins with.
        heard: trial → seed-epoch, of those that were on their way; others stood where their turn had ended.
    """

    number: int
    trial_id: str
    seed: int
    until: int
    rate: float | None
    heard: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedScore:
    """What configurations are ranked by: validation of a seed's best epoch.

    Attributes:
        score: what epochs are chosen by: accuracy, or macro ROC-AUC of several labels.
    """

    score: float
    macro_f1: float
