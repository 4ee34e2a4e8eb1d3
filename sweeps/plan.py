"""What a sweep is: settings, data and search spaces, frozen, with the hash that makes running it again a resume."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from search_spaces import SearchSpace, get_space
from search_spaces.values import Value
from storage.identity import content_hash
from sweeps.configurations import check_model, check_name, check_value_names, configuration
from sweeps.points import check_first, check_points, points_for
from sweeps.rung_settings import RungSettings
from sweeps.rungs import bracket_of, milestones
from sweeps.sampler_settings import SamplerSettings, check_sampler
from sweeps.sweep_settings import SweepSettings
from training import TrialConfig
from training.config import TRAINING_VERSION
from training.first_weights import HUB

Parameters = Mapping[str, float | int | bool | str]

# Raised by one whenever the same plan searches otherwise than before; the sweep is then another one.
SEARCH_VERSION = 1
# Likewise of adaptive sweeps alone. 2: configurations that have finished are what others have to be better than. 3: the
# opening takes half of the budget at most. 4: the share of further seeds is found by likelihood, and the floor of every
# architecture is a quarter. 5: what could no longer have all of its seeds is not trained further. 6: all stages before
# a configuration are weighed, not two of them, and a step goes to the next milestone. 7: what early scores tell is
# tempered.
ALLOCATION_VERSION = 7

# Settings that older versions did not have, with what their sweeps did.
_LATER: Mapping[str, Any] = {
    "first": {},
    "scheduler": "seed_epochs",
    "budget": 0.0,
    "sampler": {},
    "rungs": {},
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
        for group, as_ever in (("sampler", SamplerSettings()), ("rungs", RungSettings())):
            plain = dataclasses.asdict(as_ever)
            searched[group] = {name: value for name, value in searched[group].items() if value != plain[name]}
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
    def takes_turns(self) -> bool:
        """Whether trials are put down and taken up again, by recorded decisions."""
        return self.settings.scheduler == "adaptive" or self.settings.rungs.kind == "pause"

    def bracket_of(self, place: int) -> int:
        """Of an architecture's configuration, by its place in the study."""
        settings = self.settings
        return bracket_of(place, num_brackets=settings.rungs.brackets, reduction_factor=settings.reduction_factor)

    def rung_places(self, bracket: int) -> tuple[int, ...]:
        """Seed-epochs at which trials of a bracket are compared, ascending; none of `fifo`."""
        settings = self.settings
        if settings.scheduler == "fifo":
            return ()
        return milestones(
            grace_epochs=settings.grace_epochs * settings.reduction_factor**bracket,
            reduction_factor=settings.reduction_factor,
            epochs=settings.epochs,
            num_seeds=1 if settings.scheduler == "asha" else len(settings.seeds),
        )

    @property
    def budget_epochs(self) -> float:
        """Seed-epochs that an adaptive sweep may train; others end with their configurations."""
        if self.settings.scheduler != "adaptive":
            return math.inf
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
        space = get_space(architecture)
        check_first(settings.first, settings.trial, space)
        return space.with_values(first=settings.first, fixed=settings.trial)

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
            InvalidInput: there is no such architecture; sweep.trial or sweep.first name a field or a model option that
                does not exist, or give it a bad value; the features are too small for an architecture or have two
                channels; or sweep.sampler or sweep.points do not fit the spaces.
        """
        for architecture in self.settings.architectures:
            check_name(architecture, field="sweep.architectures")
        check_value_names(self.settings.first, section="sweep.first")
        spaces = {architecture: self.space(architecture) for architecture in self.settings.architectures}
        check_sampler(self.settings.sampler, spaces)
        check_points(self.settings.points, spaces)
        for architecture in self.settings.architectures:
            config = self.trial_config(architecture, {})
            check_model(config, feature_shape=feature_shape, field="sweep.architectures")
            for point in self.points(architecture):
                self.trial_config(architecture, point)
