"""Who suggests configurations, and what is held about that before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces import SearchSpace
from search_spaces.values import is_numeric
from storage.errors import InvalidInput, hold_rules, nearest
from sweeps.grid import check_grid


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerSettings:
    """How the configurations after the untuned default and `sweep.points` are suggested.

    Attributes:
        kind: `tpe`, a tree-structured Parzen estimator over all names together, which takes stopped trials for worse
            than finished ones; `gp`, a Gaussian process with expected improvement, which learns from finished trials
            alone; `cmaes`, CMA-ES over the numbers from the default on, by rank, with stopped trials behind finished
            ones, and TPE for what is chosen from a list; `random`; `grid`, every combination of finitely many values,
            in random order, until there is none left.
        n_startup_trials: of `tpe` and `gp`, trials of an architecture that are drawn at random before the model is
            asked; 0 for a third of sweep.num_trials, 2 at least and 10 at most.
        grid: of `grid`, name → list of values, for names that the space leaves continuous, or to have fewer.
    """

    kind: Literal["tpe", "random", "grid", "cmaes", "gp"] = "tpe"
    n_startup_trials: int = 0
    grid: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_model = self.kind in ("tpe", "gp")
        rules = {
            "n_startup_trials": (
                self.n_startup_trials == 0 or (is_model and self.n_startup_trials > 0),
                "0, or with kind=tpe and kind=gp 1 or more",
            ),
            "grid": (not self.grid or self.kind == "grid", "nothing, but with kind=grid"),
        }
        hold_rules("sweep.sampler", self, rules)


def check_sampler(sampler: SamplerSettings, spaces: Mapping[str, SearchSpace]) -> None:
    """Holds that every architecture's space can be searched so.

    Args:
        spaces: by architecture.

    Raises:
        InvalidInput: a grid without end or with values outside of the space, or one of a name that nobody searches; or
            numbers are asked for and there are none.
    """
    searched = {name for space in spaces.values() for name in space.distributions}
    for name in sampler.grid:
        if name not in searched:
            raise InvalidInput(
                f"sweep.sampler.grid.{name}",
                given=sampler.grid[name],
                allowed="a name that is searched",
                remedy=f"{nearest(name, searched)}Known: {', '.join(sorted(searched))}.",
            )
    for architecture, space in spaces.items():
        if sampler.kind == "grid":
            check_grid(space, sampler.grid)
        if sampler.kind == "cmaes" and not any(map(is_numeric, space.distributions.values())):
            raise InvalidInput(
                "sweep.sampler.kind",
                given="cmaes",
                allowed=f"tpe, random, grid or gp, as no number is searched for {architecture}",
                remedy="Choose one of these, or search a number.",
            )
