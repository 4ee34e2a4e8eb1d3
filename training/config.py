"""What a trial is: a frozen configuration whose hash is the trial's identity."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from storage.errors import hold_rules
from storage.identity import content_hash
from training.recipe import (
    AugmentConfig,
    InputConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
    check_types,
)

# Raised by one whenever the same configuration trains to other numbers than before.
TRAINING_VERSION = 3

GROUPS = {
    "input": InputConfig,
    "augment": AugmentConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "schedule": ScheduleConfig,
    "loop": LoopConfig,
}


@dataclass(frozen=True, kw_only=True)  # no slots, so that its id is found once: every report asks for it
class TrialConfig:
    """Everything that decides what a trial computes. Submitting the same one again is resuming it.

    Attributes:
        architecture, model: name and options of `models.create_model`.
        weights: what the model begins with: empty for random, `hub` for the ones that its library publishes, or the
            path or s3:// uri of a safetensors file or a state dict.
        weights_hash: of that file's content, so that another file is another trial; of published weights their full
            name, as `hub` alone means others now and then; empty without weights.
        freeze: what is not trained: `none`, `backbone` (all but the head), or `until(<layer>)`, that layer and all
            before it.
        dataset, fingerprint, split_hash: the data at rest that it trains on.
        quarantine_hash: which clips of the data set have no features (`FeatureStore.quarantine_hash`); empty for none.
        seeds: each trained by itself, one after the other or together; never searched over.
        epochs: of each seed, unless early stopping ends it.
        batch_size: clips a batch.
        input, augment, loss, optimizer, schedule, loop: see `recipe.py`.
        device: `cpu` or `cuda`. Part of the identity, as the two give different numbers.
    """

    architecture: str
    dataset: str
    fingerprint: str
    split_hash: str
    quarantine_hash: str = ""
    model: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    weights: str = ""
    weights_hash: str = ""
    freeze: str = "none"
    seeds: tuple[int, ...] = (42, 123, 999)
    epochs: int = 30
    batch_size: int = 32
    input: InputConfig = field(default_factory=InputConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        check_types("", self)
        is_until = self.freeze.startswith("until(") and self.freeze.endswith(")") and len(self.freeze) > len("until()")
        rules: dict[str, tuple[bool, str]] = {
            "seeds": (bool(self.seeds) and len(set(self.seeds)) == len(self.seeds), "at least one, none twice"),
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "freeze": (self.freeze in ("none", "backbone") or is_until, "none, backbone or until(<layer>)"),
        }
        hold_rules("trial", self, rules)
        fits = {
            "warmup_epochs": (self.schedule.warmup_epochs < self.epochs, "fewer than epochs"),
        }
        hold_rules("trial.schedule", self.schedule, fits)
        is_heard = self.input.scaling == "standard" or not self.augment.gain_db
        hold_rules("trial.augment", self.augment, {"gain_db": (is_heard, "0 with unit scaling, which takes it out")})
        hold_rules("trial.loop", self.loop, {"swa_epochs": (self.loop.swa_epochs <= self.epochs, "at most epochs")})

    @cached_property
    def trial_id(self) -> str:
        """The trial's identity (16 hexadecimal digits).

        What has its default value stays out, so that a field that is added later leaves the ids of old trials alone.
        """
        return content_hash({"trial": _differences(self), "training_version": TRAINING_VERSION})

    @property
    def precision_resolved(self) -> str:
        """Never by what a GPU can do, or two GPUs would train one trial to different numbers."""
        if self.loop.precision == "auto":
            return "bf16" if self.device == "cuda" else "fp32"
        return self.loop.precision

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "model": dict(self.model), "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialConfig":
        groups = {name: kind(**values[name]) for name, kind in GROUPS.items() if name in values}
        return cls(**{**values, "seeds": tuple(values["seeds"]), **groups})


def are_seeds(seeds: Sequence[int]) -> bool:
    """Whether each is one that the tables and torch's generators take, and none is there twice."""
    return len(set(seeds)) == len(seeds) and all(abs(seed) < 2**63 for seed in seeds)


def with_values(config: TrialConfig, values: Mapping[str, Any]) -> TrialConfig:
    """A configuration with other values, by their names: `epochs`, `model.width`, `optimizer.learning_rate`.

    Raises:
        KeyError: there is no such name.
        InvalidInput: a value is not allowed.
    """
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in list_names() and not name.startswith("model."):
            raise KeyError(name)
        group, _, inner = name.rpartition(".")
        if not group:
            changed[name] = value
        else:
            changed.setdefault(group, {})[inner] = value
    for group, inner_values in changed.items():
        if group == "model":
            changed[group] = {**config.model, **inner_values}
        elif group in GROUPS:
            changed[group] = dataclasses.replace(getattr(config, group), **inner_values)
    return dataclasses.replace(config, **changed)


def list_names() -> tuple[str, ...]:
    """Every name that `with_values` takes, but for `model.<option>`, whose options are the architecture's."""
    plain = [field.name for field in dataclasses.fields(TrialConfig) if field.name not in {*GROUPS, "model"}]
    grouped = [f"{group}.{field.name}" for group, kind in GROUPS.items() for field in dataclasses.fields(kind)]
    return (*plain, *grouped)


def _differences(config: Any) -> dict[str, Any]:
    """Field → value, of those fields that differ from their default; groups likewise."""
    found: dict[str, Any] = {}
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        if dataclasses.is_dataclass(value):
            value = _differences(value)
        default = spec.default if spec.default_factory is dataclasses.MISSING else {}
        if value != default:
            found[spec.name] = value
    return found
