"""How a sweep's rungs treat trials, as users set it."""

from dataclasses import dataclass
from typing import Literal

from storage.errors import hold_rules


@dataclass(frozen=True, kw_only=True, slots=True)
class RungSettings:
    """Of the schedulers with rungs, `seed_epochs` and `asha`.

    Attributes:
        kind: what becomes of a trial that comes to a rung. `stop`: it goes on if it is among the best so far, and is
            stopped otherwise. `pause`: it is put down with its checkpoint, and the best of a rung are taken up when a
            place is free: nothing goes on because it came early, and some that a `stop` would have ended go on later.
        brackets: of each architecture, as Hyperband has them: the first rung of each is reduction_factor times as far
            as that of the one before, and configurations are dealt among them by Hyperband's shares. For curves whose
            beginnings mislead.
        never_stop_first: so many first configurations of each architecture go through all rungs: the untuned default,
            then those of sweep.points, then what the sampler began with. They count at rungs as others do.
    """

    kind: Literal["stop", "pause"] = "stop"
    brackets: int = 1
    never_stop_first: int = 1

    def __post_init__(self) -> None:
        rules: dict[str, tuple[bool, str]] = {
            "brackets": (self.brackets >= 1, "1 or more"),
            "never_stop_first": (self.never_stop_first >= 0, "0 or more"),
        }
        hold_rules("sweep.rungs", self, rules)
