"""Weights from elsewhere: the bytes of a file become tensors, and tensors are fitted into a model.

Files come from timm, torchvision, ourselves or anyone: nothing in them is run, and what does not fit is refused.
"""

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch

from models.classifier import Classifier

# What DataParallel and averaging, training frameworks, and torch.compile put before each name.
_WRAPPERS = ("module.", "model.", "_orig_mod.")
_AVERAGED_MODELS_COUNT = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
_BACKBONE, _HEAD = "backbone.", "head."
# Where training scripts keep the weights in a file that holds more; averaged ones first, as those were scored.
_WEIGHTS_INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
_NAMED_KEYS = 4
_ZIP_HEADER = b"PK\x03\x04"


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsReport:
    """What became of a file's tensors.

    Attributes:
        num_loaded: tensors that the model took over, head included.
        adapted: convolutions that were adapted to another number of input channels.
        ignored: tensors that the model has no use for: another head, what stood beside the backbone.
        head_loaded: whether the head took the file's values too; otherwise it keeps its random ones.
    """

    num_loaded: int
    adapted: tuple[str, ...]
    ignored: tuple[str, ...]
    head_loaded: bool


def read_weights(data: bytes) -> dict[str, torch.Tensor]:
    """Parse a safetensors file or what `torch.save` wrote of a state dict, without running anything in it.

    Args:
        data: the whole file.

    Returns:
        Name → tensor on the CPU. Of a training checkpoint, the state dict inside it.

    Raises:
        ValueError: if the bytes are anything else: a pickle with code in it, a truncated file, a web page.
    """
    try:
        found = _parse_safetensors(data) if data[8:9] == b"{" else _parse_torch(data)
    except Exception as e:  # both parsers answer broken bytes with whatever they stumble over
        reason = str(e).partition("\n")[0][:160]
        raise ValueError(
            f"the weights file ({len(data)} bytes, beginning with {data[:16]!r}) is neither safetensors nor a state "
            f"dict of tensors alone ({type(e).__name__}: {reason}); download it again, or store the model's "
            "state_dict() with safetensors"
        ) from e
    inside = next((found[name] for name in _WEIGHTS_INSIDE if isinstance(found.get(name), Mapping)), found)
    strangers = [name for name, value in inside.items() if not _is_plain_tensor(name, value)]
    if strangers or not inside:
        what = f"entries that are no plain tensors: {_some(map(repr, strangers))}" if strangers else "no tensors"
        raise ValueError(f"the weights file has {what}; store the model's state_dict() alone")
    return dict(inside)


def load_weights(model: Classifier, tensors: Mapping[str, torch.Tensor]) -> WeightsReport:
    """Fill a model with the weights of a file, in place.

    The file may be a classifier's of ours, or name its tensors as timm or torchvision do. Prefixes of wrappers are
    dropped. A first convolution of 3 channels is summed over them for a model of 1, and that of 1 is spread over 3 as
    thirds, so that equal channels give the same output (timm's `adapt_input_conv`; in networks that standardise their
    weights, as NFNets do, nearly the same). A head is loaded where its shapes
    agree, and ignored where they do not. A transformer's final norm is found before or behind the pooling.

    Args:
        model: whose backbone must be filled completely.
        tensors: name → tensor, of any floating type.

    Raises:
        ValueError: if tensors of the backbone are missing, of another shape or type, or belong to no part of the model.
            The model is then as it was.
    """
    wanted, wanted_head = model.backbone.state_dict(), model.head.state_dict()
    parts = _sort(tensors, wanted, model.published_head)
    backbone, adapted = _fit_first_convolutions(parts.backbone, wanted)
    _check_backbone(backbone, wanted, parts.strangers)
    head = parts.head if _agree(parts.head, wanted_head) else {}
    # Files from before 2018 lack BatchNorm's count of batches, which nothing reads where the momentum is a number.
    model.backbone.load_state_dict({**wanted, **backbone})
    model.head.load_state_dict(head or wanted_head)
    return WeightsReport(
        num_loaded=len(backbone) + len(head),
        adapted=adapted,
        ignored=tuple(sorted([*parts.beside, *([] if head else (_HEAD + name for name in parts.head))])),
        head_loaded=bool(head),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """A file's tensors: backbone and head by the names that they have inside them, and the names of the others:
    `beside` the two, which is fine, and `strangers`, which mean that the file is of another architecture."""

    backbone: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]
    beside: list[str]
    strangers: list[str]


def _sort(
    tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], published_head: tuple[str, ...]
) -> _Parts:
    named = _without_wrappers(tensors, wanted)
    if any(name.startswith(_BACKBONE) for name in named):
        inside = _below(_BACKBONE, named)
        head = _below(_HEAD, named)
        beside = [name for name in named if not name.startswith((_BACKBONE, _HEAD))]
        heads_of_others: set[str] = set()
    else:
        inside, beside = dict(named), []
        head = {f"linear.{kind}": inside.pop(name) for kind, name in _published_layer(published_head, inside).items()}
        heads_of_others = {name.partition(".")[0] for name in published_head}
    inside = _with_final_norm_moved(inside, wanted)
    unknown = [name for name in inside if name not in wanted]
    of_a_head = [name for name in unknown if name.partition(".")[0] in heads_of_others]
    return _Parts(
        backbone={name: tensor for name, tensor in inside.items() if name in wanted},
        head=head,
        beside=beside + of_a_head,
        strangers=[name for name in unknown if name not in of_a_head],
    )


def _without_wrappers(
    tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Names without what wrappers put before them, in whichever order they were wrapped."""
    named = {name: tensor for name, tensor in tensors.items() if name != _AVERAGED_MODELS_COUNT}
    prefixes = [prefix for prefix in _WRAPPERS if not any(name.startswith(prefix) for name in wanted)]
    while any(name.startswith(prefix) for prefix in prefixes for name in named):
        for prefix in prefixes:
            named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def _below(prefix: str, named: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(prefix)}


def _published_layer(published_head: tuple[str, ...], named: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """`weight` and `bias` → their names in a published file; empty for models of several heads or none."""
    if len(published_head) != 1:
        return {}
    names = {kind: f"{published_head[0]}.{kind}" for kind in ("weight", "bias")}
    return {kind: name for kind, name in names.items() if name in named}


def _with_final_norm_moved(
    named: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """timm's transformers call their final norm `norm` before the pooling of a token, `fc_norm` behind an average."""
    here, there = ("norm.", "fc_norm.") if "fc_norm.weight" in wanted else ("fc_norm.", "norm.")
    if f"{there}weight" in named or f"{here}weight" in wanted or f"{there}weight" not in wanted:
        return named
    return {
        there + name.removeprefix(here) if name.startswith(here) else name: tensor for name, tensor in named.items()
    }


def _fit_first_convolutions(
    named: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Tensors whose convolutions have the wanted channels where the file's have three times or a third as many."""
    fitted, adapted = dict(named), []
    for name, tensor in named.items():
        shape = wanted[name].shape
        if tensor.ndim != 4 or len(shape) != 4 or (tensor.shape[0], *tensor.shape[2:]) != (shape[0], *shape[2:]):
            continue
        if tensor.shape[1] == 3 * shape[1]:
            # A stem that folds space into channels has several groups of three; each is summed by itself.
            fitted[name] = tensor.float().unflatten(1, (shape[1], 3)).sum(2)
        elif 3 * tensor.shape[1] == shape[1]:
            fitted[name] = tensor.float().repeat_interleave(3, dim=1) / 3
        else:
            continue
        adapted.append(name)
    return fitted, tuple(adapted)


def _check_backbone(
    named: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], strangers: Iterable[str]
) -> None:
    missing = [name for name in wanted if name not in named and not name.endswith("num_batches_tracked")]
    other = [
        f"{name} ({_describe(tensor)}, not {_describe(wanted[name])})"
        for name, tensor in named.items()
        if not _agree({name: tensor}, {name: wanted[name]})
    ]
    breaches = {"lack": missing, "have another shape or type for": other, "have, unknown to the backbone,": strangers}
    found = "; ".join(f"{what} {_some(names)}" for what, names in breaches.items() if names)
    if found:
        raise ValueError(
            f"the weights do not fit the backbone: they {found}; use a file of the same architecture and options, or "
            "change architecture and options to the file's"
        )


def _agree(named: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> bool:
    return named.keys() == wanted.keys() and all(
        tensor.shape == wanted[name].shape and tensor.is_floating_point() == wanted[name].is_floating_point()
        for name, tensor in named.items()
    )


def _describe(tensor: torch.Tensor) -> str:
    return f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {str(tensor.dtype).removeprefix('torch.')}"


def _some(names: Iterable[str]) -> str:
    """The first few of many names, and how many more there are."""
    listed = list(names)
    more = len(listed) - _NAMED_KEYS
    return ", ".join(listed[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")


def _parse_safetensors(data: bytes) -> dict[str, Any]:
    tensors: dict[str, Any] = safetensors.torch.load(data)
    return tensors


def _parse_torch(data: bytes) -> dict[str, Any]:
    if data[:4] == _ZIP_HEADER:
        _refuse_packed(data)
    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping):
        raise TypeError(f"it holds a {type(found).__name__}")
    return dict(found)


def _refuse_packed(data: bytes) -> None:
    """torch.save stores its entries as they are; ten megabytes of packed ones would be unpacked to ten gigabytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its entries are packed, which torch.save does not do")
    if sum(entry.file_size for entry in entries) > len(data):
        raise ValueError("its entries are larger than the file")


def _is_plain_tensor(name: object, value: object) -> bool:
    is_there = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return isinstance(name, str) and is_there  # on the device meta there is a tensor's shape alone
