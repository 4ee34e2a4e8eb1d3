"""How a trial trains, in groups: what the model sees, how it is disturbed, what is minimised, and by what steps.

Each group is a frozen dataclass that refuses what cannot be. Command lines and search spaces name a value by its
group: `optimizer.learning_rate`.
"""

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from storage.errors import InvalidInput, hold_rules

Activation = Literal["softmax", "sigmoid"]  # what makes probabilities of logits
SelectBy = Literal["score", "loss", "kl"]
UnseenLabels = Literal["refuse", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """From a stored log-mel to what the model sees; all of it happens on the device, batch by batch.

    Attributes:
        scaling: `standard` subtracts the train part's mean and divides by its deviation; `unit` maps each window's own
            range to 0 … 1 (S1).
        channels: 3 repeats the log-mel, for weights that were trained on images.
        height, width: resized to this many bands and frames (bilinear); 0 for both keeps the stored size.
        train_windows: of a clip that was cut into several, an epoch sees `all`, or one drawn at `random`.
    """

    scaling: Literal["standard", "unit"] = "standard"
    channels: Literal[1, 3] = 1
    height: int = 0
    width: int = 0
    train_windows: Literal["all", "random"] = "all"

    def __post_init__(self) -> None:
        check_types("input", self)
        size = "0 for the stored size, or both 1 or more"
        hold_rules(
            "trial.input",
            self,
            {
                "height": (self.height >= 0 and (self.height == 0) == (self.width == 0), size),
                "width": (self.width >= 0, size),
            },
        )

    def shape_of(self, feature_shape: Sequence[int]) -> tuple[int, int, int]:
        """Channels, height and width of what the model sees of a log-mel of (bands, frames)."""
        bands, frames = feature_shape
        return (self.channels, self.height or bands, self.width or frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """What is done to a training batch, in this order; zero switches a thing off.

    Attributes:
        roll: rotate each log-mel in time by a random number of frames.
        flip_probability: of turning a log-mel's time around.
        frequency_flip_probability: of turning its bands around (Albumentations' VerticalFlip), drawn by itself.
        shift_frames, shift_bands: largest number of frames and bands by which a log-mel is moved, either way, both at
            once (Albumentations' ShiftScaleRotate without scale and rotation); what is emptied is 0, the mean of
            `standard` scaling and the floor of `unit`; 0 for none.
        shift_probability: of moving a log-mel at all.
        gain_db: a random gain, uniform in ± gain_db, added to the dB before `standard` scaling; `unit` scaling would
            take it out again.
        inaugment_probability: of pasting a random crop of a log-mel, resized, into another place of it (InAugment, as
            S2 has it after arXiv:2104.03843).
        time_masks, frequency_masks: masks a log-mel (SpecAugment, arXiv:1904.08779; Albumentations' XYMasking).
        time_mask_frames, frequency_mask_bands: largest width of one; 0 for none.
        mask_probability: of masking a log-mel at all.
        mix: what mixes two clips: `mixup` (arXiv:1710.09412), `cutmix` (arXiv:1905.04899) or `resizemix`
            (arXiv:2012.11101).
        mix_alpha: Beta(a, a) of mixup and CutMix; ResizeMix's scale is uniform, and any value above 0 switches it on.
        mix_probability: of mixing a batch.
    """

    roll: bool = False
    flip_probability: float = 0.0
    frequency_flip_probability: float = 0.0
    shift_frames: int = 0
    shift_bands: int = 0
    shift_probability: float = 1.0
    gain_db: float = 0.0
    inaugment_probability: float = 0.0
    time_masks: int = 2
    frequency_masks: int = 2
    time_mask_frames: int = 0
    frequency_mask_bands: int = 0
    mask_probability: float = 1.0
    mix: Literal["mixup", "cutmix", "resizemix"] = "mixup"
    mix_alpha: float = 0.0
    mix_probability: float = 1.0

    def __post_init__(self) -> None:
        check_types("augment", self)
        counts = (
            *("shift_frames", "shift_bands", "gain_db", "mix_alpha"),
            *("time_masks", "frequency_masks", "time_mask_frames", "frequency_mask_bands"),
        )
        shares = (
            *("flip_probability", "frequency_flip_probability", "shift_probability"),
            *("inaugment_probability", "mask_probability", "mix_probability"),
        )
        rules = {name: (getattr(self, name) >= 0, "0 or more") for name in counts}
        rules |= {name: (0 <= getattr(self, name) <= 1, "in [0, 1]") for name in shares}
        hold_rules("trial.augment", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What is minimised.

    Attributes:
        kind: `cross_entropy` over one label a clip; `bce`, binary cross-entropy over any number of labels, of one label
            a clip too ("ResNet strikes back", arXiv:2110.00476); `focal`, in which easy answers count less
            (arXiv:1708.02002): of cross-entropy where every clip has one label, of binary cross-entropy elsewhere.
        label_smoothing: in [0, 1).
        class_weights: `balanced` weighs a label by the inverse of its share of the train part; see `losses.Loss`.
        focal_gamma: of `focal`.
        secondary_target: of labels after a clip's first one, where there may be several.
        unseen_labels: labels of validation and test clips that no training clip has: `refuse`, or `drop` them there, as
            nothing could be learnt about them. Models keep an output for them, so that all folds have the same ones;
            clips that have no other label are left out, and the result says how many.
    """

    kind: Literal["cross_entropy", "bce", "focal"] = "cross_entropy"
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    focal_gamma: float = 2.0
    secondary_target: float = 1.0
    unseen_labels: UnseenLabels = "refuse"

    def __post_init__(self) -> None:
        check_types("loss", self)
        rules = {
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "focal_gamma": (self.focal_gamma >= 0, "0 or more"),
            "secondary_target": (0 < self.secondary_target <= 1, "above 0, at most 1"),
        }
        hold_rules("trial.loss", self, rules)

    @property
    def takes_several_labels(self) -> bool:
        """Whether clips may have several labels; whether they have is the data's."""
        return self.kind != "cross_entropy"

    def activation(self, *, is_multi_label: bool) -> Activation:
        """What makes probabilities of logits that were trained by this loss.

        Args:
            is_multi_label: whether any clip of the data has several labels; the loss has no say in that.
        """
        is_softmax = self.kind == "cross_entropy" or (self.kind == "focal" and not is_multi_label)
        return "softmax" if is_softmax else "sigmoid"


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """By what steps.

    Attributes:
        kind: `adamw` (arXiv:1711.05101), `adam` with L2 regularisation, or `sgd` with Nesterov momentum.
        learning_rate: peak.
        weight_decay: of all parameters, as torch's optimizers have it; see decay_norms.
        decay_norms: False spares norms, biases and a transformer's tokens and positions, as timm's recipes do.
        momentum: of `sgd`.
        layer_decay: factor on the learning rate from each block of the backbone to the one before it; 1 for none.
        accumulate: batches whose gradients make one step.
        clip_norm: largest norm of the gradient; 0 for any.
    """

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    decay_norms: bool = True
    momentum: float = 0.9
    layer_decay: float = 1.0
    accumulate: int = 1
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        check_types("optimizer", self)
        rules = {
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "layer_decay": (0 < self.layer_decay <= 1, "above 0, at most 1"),
            "accumulate": (self.accumulate >= 1, "1 or more"),
            "clip_norm": (self.clip_norm >= 0, "0 or more"),
        }
        hold_rules("trial.optimizer", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """The learning rate over time.

    Attributes:
        kind: `cosine` to zero over all epochs after the warm-up; `one_cycle` (arXiv:1708.07120), which cycles the
            momentum too, against the rate, whatever `optimizer.momentum` says; `plateau`, lowered when the validation
            loss has not improved; `constant`.
        warmup_epochs: of linear rise; a part of an epoch is fine. None with `one_cycle`, which has its own.
        plateau_patience: epochs without a better validation loss before `plateau` lowers the rate.
        plateau_factor: by what.
    """

    kind: Literal["cosine", "one_cycle", "plateau", "constant"] = "cosine"
    warmup_epochs: float = 0.0
    plateau_patience: int = 3
    plateau_factor: float = 0.5

    def __post_init__(self) -> None:
        check_types("schedule", self)
        may_warm_up = self.kind != "one_cycle" or not self.warmup_epochs
        rules = {
            "warmup_epochs": (
                self.warmup_epochs >= 0 and may_warm_up,
                "0 or more; 0 with one_cycle, as it rises itself",
            ),
            "plateau_patience": (self.plateau_patience >= 0, "0 or more"),
            "plateau_factor": (0 < self.plateau_factor < 1, "between 0 and 1"),
        }
        hold_rules("trial.schedule", self, rules)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """How the loop runs.

    Attributes:
        sampling: an epoch is every clip once (`shuffled`), or as many draws in which all labels are equally likely
            (`balanced`).
        select_by: what decides the best epoch and when to stop early: `score` (accuracy; macro ROC-AUC of several
            labels) with ties decided by the loss, `loss`, or `kl`, the Kullback-Leibler divergence from the labels'
            distribution; ties of these two are decided by the score. The later two are better when lower.
        early_stopping_patience: epochs without a better one after which a seed ends; 0 for never.
        ema_decay: of an exponential moving average of the weights, which is then what is scored; 0 for none. In the
            first steps it is less (`averaging.WeightAverage`).
        swa_epochs: last epochs whose weights are averaged (SWA, arXiv:1803.05407); 0 for none.
        swa_learning_rate: constant from the first step of those epochs, as torch's SWALR without annealing has it, and
            with layer_decay's factors; 0 for the schedule's own rates.
        precision: `fp32`, `bf16`, `fp16` (autocast, with loss scaling), or `auto`: bf16 on a GPU, else fp32.
        compile: torch.compile. Its dropout draws other masks than the plain model's.
        channels_last: memory order of the inputs and of the convolutions.
        deterministic: only operations that give the same bits every time; slower on a GPU. One that has no such form
            there ends the trial with torch's error: transformers of timm that interpolate their position embedding,
            and models of timm that pool to several cells or pad by reflection inside, have some.
        detect_anomaly: name the operation behind a gradient that is NaN; much slower.
    """

    sampling: Literal["shuffled", "balanced"] = "shuffled"
    select_by: SelectBy = "score"
    early_stopping_patience: int = 0
    ema_decay: float = 0.0
    swa_epochs: int = 0
    swa_learning_rate: float = 0.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    channels_last: bool = False
    deterministic: bool = False
    detect_anomaly: bool = False

    def __post_init__(self) -> None:
        check_types("loop", self)
        one_average = "0 or more, and 0 where the other average of weights is on"
        rules = {
            "early_stopping_patience": (self.early_stopping_patience >= 0, "0 or more"),
            "ema_decay": (0 <= self.ema_decay < 1, "in [0, 1)"),
            "swa_epochs": (self.swa_epochs >= 0 and not (self.swa_epochs and self.ema_decay), one_average),
            "swa_learning_rate": (
                self.swa_learning_rate == 0 or (self.swa_learning_rate > 0 and self.swa_epochs > 0),
                "0, or above 0 where swa_epochs is above 0",
            ),
        }
        hold_rules("trial.loop", self, rules)


def check_types(group: str, config: Any) -> None:
    """Refuses values that are not of their field's type, and makes whole numbers floats where floats belong.

    0 and 0.0 would otherwise be two configurations with two ids.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        if typing.get_origin(hint) is Literal:
            choices = typing.get_args(hint)
            if not any(value == choice and type(value) is type(choice) for choice in choices):
                allowed = ", ".join(map(str, choices))
                raise InvalidInput(
                    _name(group, field.name), given=value, allowed=allowed, remedy="Choose one of these."
                )
        elif hint is float and type(value) is int:
            object.__setattr__(config, field.name, float(value))
        elif hint in _IN_WORDS and type(value) is not hint:
            raise InvalidInput(_name(group, field.name), given=value, allowed=_IN_WORDS[hint], remedy="Correct it.")


_IN_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _name(group: str, field: str) -> str:
    return f"trial.{group}.{field}" if group else f"trial.{field}"
