"""What a sweep is: settings, data and search spaces, frozen, with the hash that makes running it again a resume."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from search_spaces import SearchSpace, get_space, list_spaces
from search_spaces.values import Value
from storage.errors import InvalidInput, hold_rules
from storage.identity import content_hash
from sweeps.configurations import check_model, configuration
from sweeps.follow_ups import AuditSettings, ConfirmSettings
from sweeps.objectives import DIRECTIONS, Objective
from sweeps.points import check_points, points_for
from sweeps.sampler_settings import SamplerSettings, check_sampler
from training import TrialConfig
from training.config import TRAINING_VERSION
from training.first_weights import HUB

Parameters = Mapping[str, float | int | bool | str]

# Raised by one whenever the same plan searches otherwise than before; the sweep is then another one.
SEARCH_VERSION = 1
# Likewise of adaptive sweeps alone. 2: configurations that have finished are what others have to be better than.
ALLOCATION_VERSION = 2

# Settings that older versions did not have, with what their sweeps did.
_LATER: Mapping[str, Any] = {
    "first": {},
    "scheduler": "seed_epochs",
    "budget": 0.0,
    "sampler": {},
    "points": (),
    "warm_start": (),
    "objectives": ("score",),
}

# Settings that decide how a sweep is run, not what it searches; changing them resumes the same sweep. (The number of
# threads and the GPU's model still decide the last bits of a trial's numbers; `seeds.device` records the model.) And
# `extend`, which makes it longer.
EXECUTION = (
    *("max_concurrent_trials", "cpus_per_trial", "gpus_per_trial", "max_failures", "keep_models", "extend"),
    *("confirm", "audit"),  # what follows the search, under ids of its own
)


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
        grace_epochs: seed-epochs before the first rung.
        reduction_factor: at every rung the best 1/reduction_factor go on; rungs are this factor apart.
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
            "seeds": (len(set(self.seeds)) == len(self.seeds) > 0, "at least one, none twice"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "grace_epochs": (self.grace_epochs >= 1, "1 or more"),
            "budget": (self.budget == 0 or self.budget >= self._least_budget, f"0, or {self._least_budget} and more"),
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

    def _check_objectives(self) -> None:
        is_one, names = self.objectives == ("score",), self.objectives
        rules = {
            "objectives": (
                names[:1] == ("score",) and len(set(names)) == len(names),
                f"score first, and then any of {', '.join(name for name in DIRECTIONS if name != 'score')}, none twice",
            ),
            "scheduler": (is_one or self.scheduler != "adaptive", "seed_epochs, asha or fifo with several objectives"),
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


@dataclass(frozen=True, kw_only=True)  # no slots, so that its id is found once: every report asks for it
class SweepPlan:
    """A sweep over one split of one data set's features, on one kind of device.

    Attributes:
        quarantine_hash: of the features (`FeatureStore.quarantine_hash`): tried again, a quarantined clip makes other
            data, and so another sweep. Empty where every clip has features.
    """

    settings: SweepSettings
    dataset: str
    fingerprint: str
    split_hash: str
    device: Literal["cpu", "cuda"]
    quarantine_hash: str = ""

    @cached_property
    def sweep_id(self) -> str:
        """Name and hash of everything that decides what the sweep computes; the same plan is the same sweep."""
        return f"{self.settings.name}-{content_hash(self.identity, length=12)}"

    @property
    def identity(self) -> dict[str, Any]:
        """What the id is the hash of: settings that differ from those of older versions' sweeps, spaces, data, code."""
        searched = {name: value for name, value in dataclasses.asdict(self.settings).items() if name not in EXECUTION}
        as_ever = dataclasses.asdict(SamplerSettings())
        searched["sampler"] = {name: value for name, value in searched["sampler"].items() if value != as_ever[name]}
        for name, default in _LATER.items():
            if searched[name] == default:  # older sweeps had none, and keep their ids
                del searched[name]
        identity: dict[str, Any] = {
            "settings": searched,
            "spaces": [self.space(architecture).identity for architecture in self.settings.architectures],
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "split_hash": self.split_hash,
            "device": self.device,
            "training_version": TRAINING_VERSION,
            "search_version": SEARCH_VERSION,
        }
        if self.settings.scheduler == "adaptive":
            identity["allocation_version"] = ALLOCATION_VERSION
        if self.quarantine_hash:  # ids of sweeps over whole data sets are what they were before there was such a hash
            identity["quarantine_hash"] = self.quarantine_hash
        published = self._published()
        if published:
            identity["published"] = published
        return identity

    def _published(self) -> dict[str, str]:
        """Architecture → full name of the published weights that it begins with; those of a file have their hash."""
        plain = [name for name in self.settings.architectures if self.space(name).default.get("weights") == HUB]
        return {name: self.trial_config(name, {}).weights_hash for name in plain}

    @property
    def budget_epochs(self) -> float:
        """Seed-epochs that an adaptive sweep may train."""
        settings, num_architectures = self.settings, len(self.settings.architectures)
        of_all = num_architectures * (settings.num_trials + len(settings.seeds) - 1)
        return settings.epochs * ((settings.budget or of_all) + num_architectures * settings.extend)

    @property
    def trials_per_architecture(self) -> int:
        return self.settings.num_trials + self.settings.extend

    @property
    def num_trials(self) -> int:
        return self.trials_per_architecture * len(self.settings.architectures)

    def architecture_of(self, number: int) -> tuple[str, int]:
        """The architecture of the sweep's trial `number`, and the trial's place in that architecture's study."""
        architectures = self.settings.architectures
        return architectures[number % len(architectures)], number // len(architectures)

    def space(self, architecture: str) -> SearchSpace:
        """The architecture's search space, begun with sweep.first, less what sweep.trial fixes.

        Raises:
            InvalidInput: a value of sweep.first is outside of what is searched.
        """
        settings = self.settings
        try:
            return get_space(architecture).with_values(first=settings.first, fixed=settings.trial)
        except ValueError as e:
            raise InvalidInput(
                "sweep.first", given=settings.first, allowed="values inside of what is searched", remedy=f"{e}."
            ) from e

    def points(self, architecture: str) -> list[dict[str, Value]]:
        """Values for all searched names, of each of sweep.points that is of this architecture's space."""
        return points_for(self.settings.points, self.space(architecture))

    def trial_config(self, architecture: str, parameters: Parameters) -> TrialConfig:
        """The whole configuration: the space's default with sweep.first and sweep.trial, then what the searcher chose.

        Raises:
            InvalidInput: sweep.trial or sweep.first name an unknown field, or a value is not allowed.
        """
        plain = TrialConfig(
            architecture=architecture,
            dataset=self.dataset,
            fingerprint=self.fingerprint,
            split_hash=self.split_hash,
            quarantine_hash=self.quarantine_hash,
            seeds=self.settings.seeds,
            epochs=self.settings.epochs,
            device=self.device,
        )
        return configuration(plain, {**self.space(architecture).default, **parameters}, section="sweep.trial")

    def check(self, *, feature_shape: tuple[int, ...]) -> None:
        """Holds, before anything is computed, that every architecture's default makes a trial and takes the features.

        Raises:
            InvalidInput: sweep.trial names a field or a model option that does not exist, or gives it a bad value, or
                the features are too small for an architecture or have two channels; or sweep.sampler or sweep.points do
                not fit the spaces.
        """
        spaces = {architecture: self.space(architecture) for architecture in self.settings.architectures}
        check_sampler(self.settings.sampler, spaces)
        check_points(self.settings.points, spaces)
        for architecture in self.settings.architectures:
            config = self.trial_config(architecture, {})
            check_model(config, feature_shape=feature_shape, field="sweep.architectures")
            for point in self.points(architecture):
                self.trial_config(architecture, point)
