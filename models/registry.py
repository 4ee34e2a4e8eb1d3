"""The list of architectures and the one door to them.

A name, the number of classes and channels, a seed and the architecture's own options enter; an initialised `Classifier`
on the CPU, in training mode and float32, leaves. Each architecture is a builder function in its own file, registered
under the function's name; the function's keyword-only parameters are the options that a configuration may set. A family
(`timm/<name>`) registers one function that finds the builder of each of its names.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from models.classifier import Classifier
from models.hub import hub_weights
from models.options import OptionValue, check_options, option_parameters, suggestion
from models.weights import load_weights


class Builder(Protocol):
    """What a registered function owes.

    Its positional parameters are `(num_classes, in_channels)`. Every keyword-only parameter is an option and has a
    default, whose type is the type that a configuration must give; where the default is None, the annotation
    `<type> | None` says the type. It returns a `Classifier` of float `(B, in_channels, mels, frames)`, draws randomness
    from torch's default CPU generator alone, and raises ValueError for an option out of range. Calls are independent of
    one another.
    """

    __name__: str

    def __call__(self, num_classes: int, in_channels: int) -> Classifier: ...


BuilderT = TypeVar("BuilderT", bound=Builder)

# The part of a name behind the family's prefix → its builder; ValueError, with near names, where there is none.
Resolver = Callable[[str], Builder]

# Methods of tensors by which timm's layers initialise theirs.
_INITIALISERS = {"normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_", "copy_"}
_BUILDERS: dict[str, Builder] = {}
_FAMILIES: dict[str, Resolver] = {}


def register_architecture(builder: BuilderT) -> BuilderT:
    """Add a builder function under its own name; use as a decorator.

    Raises:
        ValueError: if the name is taken, or an option has no default.
    """
    name = builder.__name__
    if name in _BUILDERS:
        raise ValueError(f"architecture {name!r} is registered twice; give one of the functions another name")
    options = option_parameters(builder)
    if missing := [option for option, p in options.items() if p.default is inspect.Parameter.empty]:
        raise ValueError(f"architecture {name!r}: options without a default: {', '.join(missing)}; give each a default")
    _BUILDERS[name] = builder
    return builder


def register_family(family: str) -> Callable[[Resolver], Resolver]:
    """Add a function that finds the builders of all names `<family>/<any name>`; use as a decorator.

    Raises:
        ValueError: if the family's name is taken.
    """
    if family in _FAMILIES:
        raise ValueError(f"family {family!r} is registered twice; give one of them another name")

    def register(resolver: Resolver) -> Resolver:
        _FAMILIES[family] = resolver
        return resolver

    return register


def list_architectures() -> tuple[str, ...]:
    """Return the registered names in alphabetical order; those of families, which are many, are not among them."""
    return tuple(sorted(_BUILDERS))


def check_architecture(architecture: str) -> None:
    """Hold that `create_model` knows an architecture.

    Raises:
        ValueError: for an unknown one; the message offers near names.
    """
    _find_builder(architecture)


def create_model(
    architecture: str,
    *,
    num_classes: int,
    in_channels: int = 1,
    seed: int,
    options: Mapping[str, OptionValue] | None = None,
    pretrained: bool = False,
) -> Classifier:
    """Build a model whose initial parameters are a function of the arguments alone.

    The global random state of every device is the same before and after.

    Args:
        architecture: a name from `list_architectures()`, or `timm/<any name of timm>`.
        num_classes: number of logits per clip, at least 1.
        in_channels: channels of the input: 1 for a log-mel, 3 for one that is repeated or stacked with deltas.
        seed: seeds the initialisation.
        options: the architecture's own options by name; what is left out keeps the builder's default.
        pretrained: fill the backbone with the published weights, which timm or torchvision downloads once. A linear
            head of the same number of classes takes theirs too.

    Returns:
        A float32 classifier on the CPU in training mode. Input: float `(B, in_channels, mels, frames)`; output: logits
        `(B, num_classes)`. Sizes from 64x108 to 224x224 suit every registered architecture; each one's docstring has
        its minimum, below which its forward raises ValueError.

    Raises:
        ValueError: for an unknown architecture or option, an option of the wrong type or range, `num_classes` below 1,
            `in_channels` other than 1 and 3, or published weights that do not exist or cannot be fetched.
    """
    builder, chosen = _checked(architecture, num_classes, in_channels, options)
    # torch.manual_seed would also reseed every CUDA device, which fork_rng(devices=[]) does not restore. The builder
    # runs on the CPU, whatever the default device is, so the CPU generator is the only one to seed and to restore.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        model = builder(num_classes, in_channels, **chosen)
        if pretrained:
            load_weights(model, hub_weights(architecture, chosen))
        return model


def check_shapes(
    architecture: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    num_classes: int,
    in_channels: int = 1,
    options: Mapping[str, OptionValue] | None = None,
) -> None:
    """Hold that tensors have the names and shapes of a model's, before any memory is spent on the model.

    Options from a file may ask for layers of any size. Of the few models of timm that are not built without memory
    nothing is held; their sizes are timm's.

    Args:
        architecture, num_classes, in_channels, options: as `create_model` takes them.

    Raises:
        ValueError: as `create_model`, or naming the first tensor that is missing, unknown or of another shape.
    """
    builder, chosen = _checked(architecture, num_classes, in_channels, options)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), _NoValues():
            state = builder(num_classes, in_channels, **chosen).state_dict()
    except RuntimeError as e:
        if "/" in architecture:
            return
        raise ValueError(f"architecture {architecture!r} cannot be built with {chosen}: {e}") from e
    wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise ValueError(f"{name} has the shape {found.get(name)} in the file and {wanted.get(name)} in the model")


class _NoValues(TorchFunctionMode):
    """Leaves tensors without values: on the device meta, initialising one for the first time imports 900 modules."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init" or getattr(func, "__name__", "") in _INITIALISERS:
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        return func(*args, **(kwargs or {}))


def _checked(
    architecture: str, num_classes: int, in_channels: int, options: Mapping[str, OptionValue] | None
) -> tuple[Builder, dict[str, OptionValue]]:
    """The builder and its options, all of which it knows."""
    builder = _find_builder(architecture)
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; allowed: 1 or more")
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels is {in_channels}; allowed: 1 or 3; reduce or repeat the feature's channels")
    chosen = dict(options or {})
    check_options(architecture, chosen, option_parameters(builder))
    return builder, chosen


def _find_builder(architecture: str) -> Builder:
    family, slash, name = architecture.partition("/")
    if slash and family in _FAMILIES:
        return _FAMILIES[family](name)
    if architecture not in _BUILDERS:
        families = "".join(f", {family}/<name>" for family in sorted(_FAMILIES))
        raise ValueError(
            f"architecture {architecture!r} is unknown; known: {', '.join(list_architectures())}{families}"
            f"{suggestion(architecture, _BUILDERS)}"
        )
    return _BUILDERS[architecture]
