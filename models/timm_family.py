"""Any architecture of timm as a classifier: `timm/<name>`. The one file that knows timm.

`resnet.py` and `efficientnet.py` build their named architectures through here.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from models.classifier import Classifier
from models.heads import HeadSpec
from models.hub import register_published
from models.options import OptionValue, check_choice
from models.registry import Builder, register_family

POOLINGS = ("avg", "max", "avgmax")
ATTENTIONS = ("none", "se", "cbam")

# The published weights of our names: timm's first tag of these.
_TIMM_NAMES = {"resnet50": "resnet50", "resnet50_se": "seresnet50", "efficientnet_b0": "efficientnet_b0"}


@register_family("timm")
def timm_builder(name: str) -> Builder:
    """Find the builder of `timm/<name>`, where name is one of `timm.list_models()`, with or without a weights tag.

    Raises:
        ValueError: if timm has no such model or the model no such tag; names the nearest ones.
    """
    _check_name(name)

    def build(
        num_classes: int,
        in_channels: int,
        *,
        pooling: str = "own",
        attention: str = "none",
        head: str = "linear",
        head_hidden: int = 512,
        dropout: float | None = None,
    ) -> Classifier:
        check_choice(f"timm/{name}: pooling", pooling, ("own", *POOLINGS))
        spec = HeadSpec(kind=head, hidden=head_hidden, dropout=dropout)
        return timm_classifier(name, num_classes, in_channels, pooling=pooling, attention=attention, head=spec)

    return build


def timm_classifier(
    name: str, num_classes: int, in_channels: int, *, pooling: str, attention: str, head: HeadSpec
) -> Classifier:
    """Build a model of timm, randomly initialised, with a head of ours.

    Source: timm (PyTorch Image Models, Wightman 2019, doi:10.5281/zenodo.4414861); the papers are in its model pages.
    Vision transformers that can take any size, do: the position embedding is interpolated and the input is padded to
    whole patches. Deviations: the head, and dropout before it, are ours.

    Args:
        name: timm's, with or without a weights tag.
        num_classes: number of logits.
        in_channels: 1 or 3.
        pooling: of the last feature map: `avg`, `max`, `avgmax` (the mean of both; it adds no features), or `own`, the
            model's own choice, which for a transformer is often its class token.
        attention: `se` (arXiv:1709.01507) or `cbam` (arXiv:1807.06521) at the end of each block of models that accept
            an attention layer, in place of one that they may have; `none` leaves the model as it is.
        head: what follows the backbone.

    Raises:
        ValueError: if timm cannot build the model with this pooling or attention.
    """
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": in_channels} | _attention_arguments(name, attention)
    if pooling != "own":
        arguments["global_pool"] = pooling
    backbone, takes_any_size = _build(name, arguments)
    _pool_deterministically(backbone)
    published: Mapping[str, Any] = backbone.pretrained_cfg
    published_head = published.get("classifier") or ()
    embedding_size = int(backbone.head_hidden_size)  # of what leaves the pooling; num_features is before it
    return Classifier(
        backbone,
        head.build(embedding_size, num_classes),
        embedding_size=embedding_size,
        published_head=(published_head,) if isinstance(published_head, str) else tuple(published_head),
        input_size=None if takes_any_size else tuple(published["input_size"][-2:]),
    )


def published_timm_name(architecture: str, options: Mapping[str, OptionValue]) -> str:
    """`timm/resnet50.a1_in1k`: timm's own name with the tag that it takes where none is given.

    Raises:
        ValueError: if timm publishes none, or attention layers were added, which published weights lack.
    """
    import timm

    name = _timm_name(architecture)
    if options.get("attention", "none") != "none":
        raise ValueError(
            f"{architecture}: no published weights have the added attention {options['attention']!r}; allowed: none"
        )
    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise ValueError(
            f"{architecture}: timm publishes no weights for it; give a file of your own: "
            "weights=<path or s3:// uri of a safetensors or state-dict file>"
        )
    tag = f".{published.tag}" if published.tag else ""
    return f"timm/{name.partition('.')[0]}{tag}"


@register_published("timm/", *_TIMM_NAMES, name=published_timm_name)
def published_timm(architecture: str, options: Mapping[str, OptionValue]) -> Mapping[str, torch.Tensor]:
    """The weights of timm's own model of that name; downloaded once and kept in huggingface_hub's cache.

    Raises:
        ValueError: as `published_timm_name`.
    """
    import timm

    published_timm_name(architecture, options)
    published: dict[str, torch.Tensor] = timm.create_model(_timm_name(architecture), pretrained=True).state_dict()
    return published


def _timm_name(architecture: str) -> str:
    return _TIMM_NAMES.get(architecture, architecture.removeprefix("timm/"))


def parameter_groups(backbone: nn.Module) -> dict[str, int] | None:
    """Map each parameter's name to the number of its block, from 0 at the input; None if the model has no such map."""
    matcher_of: Callable[..., Any] | None = getattr(backbone, "group_matcher", None)
    if matcher_of is None:
        return None
    from timm.models import group_parameters

    groups: dict[str, int] = group_parameters(backbone, matcher_of(coarse=False), reverse=True)
    return groups


def _check_name(name: str) -> None:
    import timm  # seconds to import; every trial is a fresh process, and some need no timm

    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=5, cutoff=0.5)
        offer = f"; near names: {', '.join(near)}" if near else ""
        raise ValueError(f"architecture 'timm/{name}' is unknown to timm {timm.__version__}{offer}")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ValueError(f"timm/{name}: no weights have the tag {tag!r}; allowed: {', '.join(tags) or 'none'}")


def _build(name: str, arguments: Mapping[str, Any]) -> tuple[Any, bool]:
    """The model, and whether it takes images of any size."""
    import timm

    any_size: dict[str, Any] = {}
    is_fixed = timm.get_pretrained_cfg(name).fixed_input_size
    if is_fixed and _takes_any_size(name, arguments):
        any_size, is_fixed = {"dynamic_img_size": True, "dynamic_img_pad": True}, False
    try:
        return timm.create_model(name, **arguments, **any_size), not is_fixed
    except (TypeError, ValueError, AssertionError, RuntimeError) as e:
        chosen = ", ".join(f"{key}={value!r}" for key, value in arguments.items() if key != "num_classes")
        reason = " ".join(str(e).split()) or type(e).__name__
        raise ValueError(f"timm/{name}: timm cannot build it with {chosen}: {reason}") from e


def _pool_deterministically(backbone: nn.Module) -> None:
    """Gives global max-pooling timm's other form, by `amax`: the backward pass of torch's adaptive one is not
    deterministic on CUDA. Outputs are equal; equal largest cells then share the gradient that the first one had."""
    from timm.layers import SelectAdaptivePool2d

    for module in backbone.modules():
        if isinstance(module, SelectAdaptivePool2d) and module.pool_type in ("max", "avgmax", "catavgmax"):
            fast = SelectAdaptivePool2d(
                pool_type=f"fast{module.pool_type}", flatten=isinstance(module.flatten, nn.Flatten)
            )
            module.pool_type, module.pool, module.flatten = fast.pool_type, fast.pool, fast.flatten


def _takes_any_size(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a model's position embedding can be interpolated; timm says so by accepting the argument."""
    import timm

    try:
        with torch.device("meta"):
            timm.create_model(name, **arguments, dynamic_img_size=True, dynamic_img_pad=True)
    except (TypeError, ValueError, AssertionError, RuntimeError):
        return False
    return True


def _attention_arguments(name: str, attention: str) -> dict[str, Any]:
    """What makes timm's constructor put attention layers into the blocks, found out by trying, without memory."""
    check_choice(f"timm/{name}: attention", attention, ATTENTIONS)
    if attention == "none":
        return {}
    from timm.models import model_entrypoint
    from timm.models._efficientnet_blocks import SqueezeExcite  # of EfficientNets, another module than ResNets'

    plain = _outline(name, {})
    if attention == "se" and plain is not None and any(isinstance(module, SqueezeExcite) for module in plain.modules()):
        others = ", cbam" if _fitting(name, "cbam", plain)[0] else ""
        raise ValueError(f"timm/{name}: attention is 'se', which its blocks have by themselves; allowed: none{others}")
    fitting, is_known = _fitting(name, attention, plain)
    if not fitting:
        family = model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]
        reason = (
            "the model has no place for it beside what it has"
            if is_known
            else f"timm's {family} models take no attention layer"
        )
        raise ValueError(f"timm/{name}: attention is {attention!r}, and {reason}; allowed: none")
    return fitting


def _fitting(name: str, attention: str, plain: nn.Module | None) -> tuple[dict[str, Any], bool]:
    """The arguments that add attention and change nothing else, if any do, and whether timm knows any of them."""
    layer = _attention_layer(attention)
    by_block: tuple[dict[str, Any], ...] = (
        {"block_args": {"attn_layer": attention}},  # resnet, sknet …
        {"block_args": {"attn_layer": layer}},  # res2net
        {"attn_layer": attention},  # byobnet, nfnet …
        {"se_layer": attention},  # efficientnet
    )
    built = [(arguments, model) for arguments in by_block if (model := _outline(name, arguments)) is not None]
    fits = (arguments for arguments, model in built if plain is not None and _adds(layer, model, plain))
    return next(fits, {}), bool(built)


def _outline(name: str, arguments: Mapping[str, Any]) -> nn.Module | None:
    """The model without memory for its weights; None where timm does not build it with these arguments."""
    import timm

    try:
        with torch.device("meta"):
            model: nn.Module = timm.create_model(name, num_classes=0, **arguments)
    except Exception:  # constructors answer arguments that they do not know with whatever they stumble over
        return None
    return model


def _adds(layer: type[nn.Module], model: nn.Module, plain: nn.Module) -> bool:
    """Whether a model is the plain one with these layers, in place of others or in addition.

    A `block_args` of ours replaces those that a variant has by itself (Res2Net's scale), which must not go unnoticed.
    """
    places = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, layer))
    shapes, wanted = (
        {name: tensor.shape for name, tensor in of.state_dict().items() if not name.startswith(places)}
        for of in (model, plain)
    )
    return bool(places) and shapes == wanted


def _attention_layer(attention: str) -> type[nn.Module]:
    from timm.layers import SEModule
    from timm.layers.cbam import CbamModule

    layers: dict[str, type[nn.Module]] = {"se": SEModule, "cbam": CbamModule}
    return layers[attention]
