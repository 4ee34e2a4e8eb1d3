"""What a trial is: a frozen configuration whose hash is the trial's identity."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from storage.errors import InvalidInput, hold_rules
from storage.identity import content_hash

# Raised by one whenever the same configuration trains to other numbers than before.
TRAINING_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig:
    """Everything that decides what a trial computes. Submitting the same one again is resuming it.

    Attributes:
        architecture, model: name and options of `models.create_model`.
        dataset, fingerprint, split_hash: the data at rest that it trains on.
        seeds: trained one after the other; never searched over.
        epochs: of each seed, unless early stopping ends it.
        batch_size: clips a step.
        learning_rate: peak, for AdamW.
        schedule: `cosine` to zero over `epochs` after `warmup_epochs` of linear rise, `plateau` (halved after
            `plateau_patience` epochs without a better validation loss) or `constant`.
        early_stopping_patience: epochs without a better validation accuracy (at equal accuracy: loss) after which a
            seed ends; 0 for never.
        label_smoothing: in [0, 1).
        mixup_alpha: Beta(a, a) of mixup (arXiv:1710.09412); 0 switches it off.
        time_mask_frames, frequency_mask_bands: largest width of a SpecAugment mask (arXiv:1904.08779); 0 for none.
        num_masks: masks of each kind a clip.
        roll: whether a clip is rotated in time by a random number of frames.
        device: `cpu` or `cuda`. Part of the identity, as the two give different numbers.
        precision: `fp32`, `bf16` (autocast), or `auto`: bf16 on a GPU, else fp32.
    """

    architecture: str
    dataset: str
    fingerprint: str
    split_hash: str
    model: Mapping[str, float | int | bool | str] = field(default_factory=dict)
    seeds: tuple[int, ...] = (42, 123, 999)
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warmup_epochs: int = 0
    plateau_patience: int = 3
    early_stopping_patience: int = 0
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    time_mask_frames: int = 0
    frequency_mask_bands: int = 0
    num_masks: int = 2
    roll: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        self._check_types()
        rules: dict[str, tuple[bool, str]] = {
            "num_masks": (self.num_masks >= 0, "0 or more"),
            "seeds": (bool(self.seeds) and len(set(self.seeds)) == len(self.seeds), "at least one, none twice"),
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "schedule": (self.schedule in ("cosine", "plateau", "constant"), "cosine, plateau or constant"),
            "warmup_epochs": (0 <= self.warmup_epochs < self.epochs, "0 or more, fewer than epochs"),
            "early_stopping_patience": (self.early_stopping_patience >= 0, "0 or more"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "mixup_alpha": (self.mixup_alpha >= 0, "0 or more"),
            "time_mask_frames": (self.time_mask_frames >= 0, "0 or more"),
            "frequency_mask_bands": (self.frequency_mask_bands >= 0, "0 or more"),
            "device": (self.device in ("cpu", "cuda"), "cpu or cuda"),
            "precision": (self.precision in ("auto", "fp32", "bf16"), "auto, fp32 or bf16"),
        }
        hold_rules("trial", self, rules)

    def _check_types(self) -> None:
        hints = typing.get_type_hints(type(self))
        for name in (name for name, hint in hints.items() if hint in (int, float, bool)):
            value, hint = getattr(self, name), hints[name]
            if hint is float and type(value) is int:
                object.__setattr__(self, name, float(value))  # 0 and 0.0 are one configuration with one id
            elif type(value) is not hint:
                allowed = {int: "a whole number", float: "a number", bool: "true or false"}[hint]
                raise InvalidInput(f"trial.{name}", given=value, allowed=allowed, remedy="Correct it.")

    @property
    def trial_id(self) -> str:
        """The trial's identity (16 hexadecimal digits)."""
        return content_hash({"trial": self, "training_version": TRAINING_VERSION})

    @property
    def precision_resolved(self) -> str:
        """`fp32` or `bf16`; never by what a GPU can do, or two GPUs would train one trial to different numbers."""
        if self.precision == "auto":
            return "bf16" if self.device == "cuda" else "fp32"
        return self.precision

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "model": dict(self.model), "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialConfig":
        return cls(**{**values, "seeds": tuple(values["seeds"])})
