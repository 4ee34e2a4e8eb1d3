"""What users set of a sweep, and what of it goes together."""

from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces import get_space, list_spaces
from storage.errors import InvalidInput, hold_rules
from sweeps.follow_ups import AuditSettings, ConfirmSettings
from sweeps.objectives import DIRECTIONS, Objective
from sweeps.rung_settings import RungSettings
from sweeps.rungs import seed_milestones
from sweeps.sampler_settings import SamplerSettings
from training.config import are_seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepSettings:
    """What is searched, for how long, and on what.

    Attributes:
        name: what people call the sweep; its id adds a hash.
        architectures: each is searched on its own; `timm/<name>` is any model of timm, whose head is searched.
        num_trials: configurations per architecture; the first is its untuned default. An adaptive sweep begins at most
            as many.
        scheduler: who decides which trials go on: `seed_epochs`, rungs through all seeds, a bracket per architecture;
            `asha`, rungs of the first seed alone; `fifo`, nobody; `adaptive`, expected gain per epoch, which also
            decides between new configurations, more epochs and further seeds (sweeps/allocation).
        budget: of an adaptive sweep, in whole trainings of one seed; 0 for as many as there are configurations, and the
            further seeds of the defaults.
        seeds: of every configuration that is trained to the end.
        epochs: of each seed.
        grace_epochs: seed-epochs before the first rung; with as many as `epochs`, the only rungs are between seeds.
        reduction_factor: at every rung the best 1/reduction_factor go on; rungs are this factor apart.
        rungs: how they treat trials.
        searcher_seed: of the suggestions.
        trial: values of a trial (`optimizer.learning_rate`, `model.<option>`; training/recipe.py lists them) that are
            the same in every configuration; a name that a space would search is fixed by it.
        extend: configurations per architecture that are added to a sweep, finished or not, in all: said again it adds
            nothing more, a larger one adds the rest, and without it a sweep is taken up as far as it was extended. An
            adaptive sweep gets as many whole trainings of one seed per architecture, too.
        first: likewise, but of the first configuration alone where a space searches them; it goes on from there.
        sampler: who suggests the configurations after the first.
        points: configurations that are tried right after the first, as `[{model.dropout: 0.1}, …]`, by those
            architectures that search all their names; all other names are as in the first.
        warm_start: ids of earlier sweeps over the same data, split and epochs, whose ended trials are told to the
            searcher beforehand. Which these are is fixed when the sweep begins.
        objectives: what is looked for: `score`, first, which alone decides at rungs, and with it fewer `num_parameters`
            and a lower `latency_ms`. Only trials that finish are compared in all of them.
        max_concurrent_trials: 0 for as many as the cluster holds.
        cpus_per_trial: what Ray reserves for one. `auto`: for each architecture, the number with which a node takes the
            most training steps, as a few show before the search, and memory, too; beside a GPU one CPU at most.
        gpus_per_trial: likewise; a fraction shares a GPU, None takes a whole one where the cluster has any. `auto`: for
            each architecture, the fraction with which a GPU takes the most steps and its memory suffices.
        max_failures: times a trial whose process died goes on from its checkpoint before it counts as failed.
        keep_models: `finished` stores the model of every seed and deletes those of trials that are stopped or fail, so
            that what stays is what the leaderboard ranks; `none` stores none.
        confirm: which configurations are run to their end after the search.
        audit: how many stopped trials are.
    """

    name: str = "sweep"
    architectures: tuple[str, ...] = ("cnn", "alexnet")
    num_trials: int = 6
    seeds: tuple[int, ...] = (42, 123, 999)
    epochs: int = 25
    scheduler: Literal["seed_epochs", "asha", "fifo", "adaptive"] = "seed_epochs"
    budget: float = 0.0
    grace_epochs: int = 3
    reduction_factor: int = 3
    rungs: RungSettings = field(default_factory=RungSettings)
    searcher_seed: int = 0
    trial: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    max_concurrent_trials: int = 0
    cpus_per_trial: float | Literal["auto"] = 1.0
    gpus_per_trial: float | Literal["auto"] | None = None
    max_failures: int = 2
    keep_models: Literal["finished", "none"] = "finished"
    confirm: ConfirmSettings = field(default_factory=ConfirmSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    extend: int = 0
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    points: tuple[dict[str, Any], ...] = ()
    warm_start: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ("score",)

    def __post_init__(self) -> None:
        for name in self.architectures:
            try:
                get_space(name)
            except ValueError as e:
                raise InvalidInput(
                    "sweep.architectures", given=name, allowed=f"{', '.join(list_spaces())}, timm/<name>", remedy=str(e)
                ) from e
        gpus = self.gpus_per_trial
        rules: dict[str, tuple[bool, str]] = {
            "architectures": (len(set(self.architectures)) == len(self.architectures) > 0, "at least one, none twice"),
            "num_trials": (self.num_trials >= 1, "1 or more"),
            "extend": (self.extend >= 0, "0 or more"),
            "warm_start": (
                not self.warm_start
                or (self.sampler.kind in ("tpe", "gp") and len(set(self.warm_start)) == len(self.warm_start)),
                "ids of sweeps, none twice, with sweep.sampler.kind=tpe or gp, which learn from them",
            ),
            "seeds": (len(self.seeds) > 0 and are_seeds(self.seeds), "at least one, none twice, of 64 bits"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "grace_epochs": (self.grace_epochs >= 1, "1 or more"),
            "budget": (
                self.budget == 0 or (self.scheduler == "adaptive" and self.budget >= self._least_budget),
                f"0, or with sweep.scheduler=adaptive {self._least_budget} and more",
            ),
            "reduction_factor": (self.reduction_factor >= 2, "2 or more"),
            "cpus_per_trial": (self.cpus_per_trial == "auto" or self.cpus_per_trial > 0, "auto, or above 0"),
            "gpus_per_trial": (gpus is None or gpus == "auto" or gpus >= 0, "auto, null, or 0 and more"),
            "max_concurrent_trials": (self.max_concurrent_trials >= 0, "0 or more"),
            "max_failures": (self.max_failures >= 0, "0 or more"),
            "name": (
                self.name.replace("-", "").replace("_", "").isalnum() and self.name.isascii(),
                "letters, digits, - and _",
            ),
        }
        hold_rules("sweep", self, rules)
        self._check_objectives()
        self._check_rungs()

    def _check_rungs(self) -> None:
        places = seed_milestones(
            grace_epochs=self.grace_epochs, reduction_factor=self.reduction_factor, epochs=self.epochs
        )
        has_rungs, plain = self.scheduler in ("seed_epochs", "asha"), RungSettings()
        if has_rungs and self.grace_epochs > self.epochs:
            raise InvalidInput(
                "sweep.grace_epochs",
                given=self.grace_epochs,
                allowed=f"at most sweep.epochs={self.epochs}: no seed would come to its first rung",
                remedy="Lower it, or set sweep.scheduler=fifo, where no trial is compared with others.",
            )
        is_plain = {name: getattr(self.rungs, name) == getattr(plain, name) for name in ("kind", "never_stop_first")}
        without = f"{{}} with sweep.scheduler={self.scheduler}, which has no rungs"
        rules = {
            "kind": (has_rungs or is_plain["kind"], without.format("stop")),
            "never_stop_first": (has_rungs or is_plain["never_stop_first"], without.format("1")),
            "brackets": (
                self.rungs.brackets <= (len(places) if has_rungs else 1),
                f"at most {len(places)}: with grace_epochs={self.grace_epochs} there are {len(places) - 1} rungs below "
                f"{self.epochs} epochs"
                if has_rungs
                else without.format("1"),
            ),
        }
        hold_rules("sweep.rungs", self.rungs, rules)

    def _check_objectives(self) -> None:
        is_one, names = self.objectives == ("score",), self.objectives
        rules = {
            "objectives": (
                names[:1] == ("score",) and len(set(names)) == len(names),
                f"score first, and then any of {', '.join(name for name in DIRECTIONS if name != 'score')}, none twice",
            ),
            "warm_start": (is_one or not self.warm_start, "nothing with several objectives"),
        }
        hold_rules("sweep", self, rules)
        of_sampler = {
            "kind": (is_one or self.sampler.kind != "cmaes", "tpe, gp, random or grid with several objectives")
        }
        hold_rules("sweep.sampler", self.sampler, of_sampler)

    @property
    def _least_budget(self) -> int:
        """All seeds of the untuned defaults."""
        return len(self.architectures) * len(self.seeds)
