"""What an experiment is: one configuration, cross-validated over folds and seeds, with the hash that makes running it
again a resume.

Enters: settings and the splits of the folds. Leaves: a trial configuration for every fold.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces import get_space, list_spaces
from storage.errors import hold_rules
from storage.identity import content_hash
from storage.out_of_fold import FoldTrial
from sweeps.configurations import check_model, check_name, configuration
from sweeps.records import Suggestion
from training import TrialConfig
from training.config import TRAINING_VERSION, are_seeds
from training.fuse_choice import FuseSeeds

# Settings that decide how an experiment is run, not what it computes.
_EXECUTION = ("max_concurrent_trials", "cpus_per_trial", "gpus_per_trial", "max_failures", "keep_models", "fuse_seeds")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentSettings:
    """What is trained, and on what.

    Attributes:
        name: what people call the experiment; its id adds a hash.
        architecture: `cnn`, `resnet50`, `timm/<name>` …
        begin_with: what the values are that `trial` leaves open: the untuned default of the architecture's search
            space (`space`), or the defaults of training/recipe.py (`plain`), as of every architecture without a space.
        trial: values of the trial (`optimizer.learning_rate`, `model.<option>`; training/recipe.py lists them).
        seeds: trained one after the other on every fold.
        epochs: of each seed.
        max_concurrent_trials: folds at a time; 0 for as many as the cluster holds.
        cpus_per_trial: what Ray reserves for one fold.
        gpus_per_trial: likewise; a fraction shares a GPU, None takes a whole one where the cluster has any.
        max_failures: times a fold whose process died goes on from its checkpoint before it counts as failed.
        keep_models: `finished` keeps the model of every seed, `none` none.
        fuse_seeds: `auto` trains the seeds of a small architecture together on a GPU where 20 steps show that to be
            faster; `always`, `never`. The numbers are the same within 1e-5.
    """

    name: str = "experiment"
    architecture: str = "cnn"
    begin_with: Literal["space", "plain"] = "space"
    trial: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (42, 123, 999)
    epochs: int = 30
    max_concurrent_trials: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float | None = None
    max_failures: int = 2
    keep_models: Literal["finished", "none"] = "finished"
    fuse_seeds: FuseSeeds = "auto"

    def __post_init__(self) -> None:
        rules: dict[str, tuple[bool, str]] = {
            "seeds": (len(self.seeds) > 0 and are_seeds(self.seeds), "at least one, none twice, of 64 bits"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "max_concurrent_trials": (self.max_concurrent_trials >= 0, "0 or more"),
            "cpus_per_trial": (self.cpus_per_trial > 0, "above 0"),
            "gpus_per_trial": (self.gpus_per_trial is None or self.gpus_per_trial >= 0, "null, or 0 and more"),
            "max_failures": (self.max_failures >= 0, "0 or more"),
            "name": (
                self.name.replace("-", "").replace("_", "").isalnum() and self.name.isascii(),
                "letters, digits, - and _",
            ),
        }
        hold_rules("train", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentPlan:
    """An experiment over the folds of one data set's features, on one kind of device.

    Attributes:
        split_hashes: fold → hash of the split in which it is tested on.
        quarantine_hash: of the features (`FeatureStore.quarantine_hash`): tried again, a quarantined clip makes other
            data, and so another experiment. Empty where every clip has features.
    """

    settings: ExperimentSettings
    dataset: str
    fingerprint: str
    split_hashes: Mapping[int, str]
    device: Literal["cpu", "cuda"]
    quarantine_hash: str = ""

    @property
    def experiment_id(self) -> str:
        """Name and hash of everything that decides what is computed; the same plan is the same experiment."""
        settings = {name: value for name, value in dataclasses.asdict(self.settings).items() if name not in _EXECUTION}
        identity = {
            "settings": settings,
            "trials": [_identity(self.trial_config(fold)) for fold in self.folds],
            "training_version": TRAINING_VERSION,
        }
        return f"{self.settings.name}-{content_hash(identity, length=12)}"

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(sorted(self.split_hashes))

    @property
    def fuse_seeds(self) -> FuseSeeds:
        """On the CPU, `auto` does not even measure: together took 1.06 (alexnet) and 1.23 (cnn) times as long there."""
        return "never" if self.settings.fuse_seeds == "auto" and self.device == "cpu" else self.settings.fuse_seeds

    def suggestions(self) -> list[Suggestion]:
        """The trials, one a fold, as the results table records them; nothing of them was searched."""
        return [
            Suggestion(
                number=number,
                config=self.trial_config(fold),
                parameters={},
                distributions={},
                untuned_default=not self.settings.trial,
                fold=fold,
            )
            for number, fold in enumerate(self.folds)
        ]

    def fold_trials(self) -> list[FoldTrial]:
        """Which trial is tested on which fold."""
        seeds = self.settings.seeds
        return [FoldTrial(fold=fold, trial_id=self.trial_config(fold).trial_id, seeds=seeds) for fold in self.folds]

    def trial_config(self, fold: int) -> TrialConfig:
        """The whole configuration of a fold.

        Raises:
            InvalidInput: train.trial names an unknown field, or a value is not allowed.
        """
        plain = TrialConfig(
            architecture=self.settings.architecture,
            dataset=self.dataset,
            fingerprint=self.fingerprint,
            split_hash=self.split_hashes[fold],
            quarantine_hash=self.quarantine_hash,
            seeds=self.settings.seeds,
            epochs=self.settings.epochs,
            device=self.device,
        )
        return configuration(plain, {**self._begin(), **self.settings.trial}, section="train.trial")

    def check(self, *, feature_shape: tuple[int, ...]) -> None:
        """Holds, before anything is computed, that the configuration makes a model and the model takes the features.

        Raises:
            InvalidInput: train.trial or train.architecture name what does not exist, or a value is not allowed.
        """
        check_name(self.settings.architecture, field="train.architecture")
        check_model(self.trial_config(self.folds[0]), feature_shape=feature_shape, field="train.architecture")

    def _begin(self) -> Mapping[str, Any]:
        if self.settings.begin_with == "plain" or self.settings.architecture not in list_spaces():
            return {}
        return get_space(self.settings.architecture).default


def _identity(config: TrialConfig) -> dict[str, Any]:
    """All values; ids of experiments over whole data sets are what they were before there was a `quarantine_hash`."""
    values = config.to_dict()
    if not config.quarantine_hash:
        del values["quarantine_hash"]
    return values
