"""The list of architectures and the one door to them.

A name, the number of classes and channels, a seed and the architecture's own options enter; an initialised `nn.Module`
on the CPU, in training mode and float32, leaves. Each architecture is a builder function in its own file, registered
under the function's name; the function's keyword-only parameters are the options that a configuration may set.
"""

import difflib
import inspect
import math
from collections.abc import Collection, Mapping
from typing import Protocol, TypeVar

import torch
from torch import nn

OptionValue = float | int | bool | str


class Builder(Protocol):
    """What a registered function owes.

    Its positional parameters are `(num_classes, in_channels)`. Every keyword-only parameter is an option and has a
    default, whose type is the type that a configuration must give. It returns a module that maps float
    `(B, in_channels, mels, frames)` to logits `(B, num_classes)`, draws randomness from torch's default CPU generator
    alone, and raises ValueError for an option out of range. Calls are independent of one another.
    """

    __name__: str

    def __call__(self, num_classes: int, in_channels: int) -> nn.Module: ...


BuilderT = TypeVar("BuilderT", bound=Builder)

_BUILDERS: dict[str, Builder] = {}


def register_architecture(builder: BuilderT) -> BuilderT:
    """Add a builder function under its own name; use as a decorator.

    Raises:
        ValueError: if the name is taken, or an option has no default.
    """
    name = builder.__name__
    if name in _BUILDERS:
        raise ValueError(f"architecture {name!r} is registered twice; give one of the functions another name")
    defaults = _option_defaults(builder)
    if missing := [option for option, default in defaults.items() if default is inspect.Parameter.empty]:
        raise ValueError(f"architecture {name!r}: options without a default: {', '.join(missing)}; give each a default")
    _BUILDERS[name] = builder
    return builder


def list_architectures() -> tuple[str, ...]:
    """Return the registered names in alphabetical order."""
    return tuple(sorted(_BUILDERS))


def create_model(
    architecture: str,
    *,
    num_classes: int,
    in_channels: int = 1,
    seed: int,
    options: Mapping[str, OptionValue] | None = None,
) -> nn.Module:
    """Build a model whose initial parameters are a function of the arguments alone.

    The global random state of every device is the same before and after.

    Args:
        architecture: a name from `list_architectures()`.
        num_classes: number of logits per clip, at least 1.
        in_channels: channels of the input: 1 for a log-mel, 3 for one that is repeated or stacked with deltas.
        seed: seeds the initialisation.
        options: the architecture's own options by name; what is left out keeps the builder's default.

    Returns:
        A float32 module on the CPU in training mode. Input: float `(B, in_channels, mels, frames)`; output: logits
        `(B, num_classes)`. Sizes from 64x108 to 224x224 suit every architecture; each one's docstring has its minimum,
        below which its forward raises ValueError.

    Raises:
        ValueError: for an unknown architecture or option, an option of the wrong type or range, `num_classes` below 1
            or `in_channels` other than 1 and 3.
    """
    if architecture not in _BUILDERS:
        raise ValueError(
            f"architecture {architecture!r} is unknown; known: {', '.join(list_architectures())}"
            f"{_suggestion(architecture, _BUILDERS)}"
        )
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; allowed: 1 or more")
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels is {in_channels}; allowed: 1 or 3; reduce or repeat the feature's channels")
    builder = _BUILDERS[architecture]
    chosen = dict(options or {})
    _check_options(architecture, chosen, _option_defaults(builder))
    # torch.manual_seed would also reseed every CUDA device, which fork_rng(devices=[]) does not restore. The builder
    # runs on the CPU, whatever the default device is, so the CPU generator is the only one to seed and to restore.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return builder(num_classes, in_channels, **chosen)


def check_min_side(architecture: str, x: torch.Tensor, min_side: int) -> None:
    """Refuses an input `(B, channels, mels, frames)` that an architecture's strides and pools would shrink to nothing.

    Raises:
        ValueError: if mels or frames are below `min_side`.
    """
    mels, frames = x.shape[-2:]
    if min(mels, frames) < min_side:
        raise ValueError(
            f"{architecture}: the input has {mels} mels x {frames} frames; allowed: {min_side} x {min_side} or more; "
            "use more mels, a smaller hop or a longer window, or resize the features"
        )


def _option_defaults(builder: Builder) -> dict[str, object]:
    """Map each keyword-only parameter of a builder to its default."""
    parameters = inspect.signature(builder).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _check_options(architecture: str, chosen: Mapping[str, OptionValue], defaults: Mapping[str, object]) -> None:
    for name, value in chosen.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"architecture {architecture!r}: option {name!r} is {value}; allowed: a finite number")
        if name not in defaults:
            raise ValueError(
                f"architecture {architecture!r} has no option {name!r}; "
                f"allowed: {', '.join(sorted(defaults)) or 'none'}{_suggestion(name, defaults)}"
            )
        wanted = type(defaults[name])
        # An int is a fine float; a bool is an int to Python, but never a width or a dropout.
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(
                f"architecture {architecture!r}: option {name!r} is {value!r} ({type(value).__name__}); "
                f"allowed: {wanted.__name__}"
            )


def _suggestion(given: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(given, known, n=1, cutoff=0.4)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
