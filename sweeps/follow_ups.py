"""What follows a search: settings of its confirmation and of the audit of its stops.

Neither has a part in the search, and so none in a sweep's id: the same command with other settings confirms or audits a
sweep that has ended otherwise, and searches nothing again.
"""

from dataclasses import dataclass

from storage.errors import hold_rules
from training.config import are_seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmSettings:
    """Which configurations of an ended search are run to their end over seeds and folds (`confirmation.py`).

    With the defaults there is nothing to do: the best configurations and the untuned defaults have all seeds of the
    sweep on its own split already. Further seeds, or folds, are what a confirmation adds.

    Attributes:
        best: so many of each architecture, by validation, beside its untuned default; 0 for no confirmation.
        seeds: of every configuration; empty for the sweep's. Further ones may be named: what is trained already is not
            trained again.
        folds: false for the sweep's own split; true for every fold that `folds.*` draws, each of which is tested on
            once. Most of these clips had a part in the search, as train or validation of the sweep's split, so that
            scores on them are too good by what the choice of configurations is worth; scores on the sweep's own test
            clips are not.
    """

    best: int = 1
    seeds: tuple[int, ...] = ()
    folds: bool = False

    def __post_init__(self) -> None:
        rules = {
            "best": (self.best >= 0, "0 or more"),
            "seeds": (are_seeds(self.seeds), "none twice, of 64 bits; empty for the sweep's"),
        }
        hold_rules("sweep.confirm", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditSettings:
    """How many of the trials that a search stopped are run to their end all the same (`stop_audit.py`).

    Attributes:
        share: chance of each stopped trial to be audited; 0 for no audit, 1 for all.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        hold_rules("sweep.audit", self, {"share": (0 <= self.share <= 1, "0 to 1")})
