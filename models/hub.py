"""Published weights by architecture: a name goes in, the tensors leave that timm or torchvision publish for it.

Each architecture that has some registers a function that fetches them; `weights.load_weights` fits them into a model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from models.options import OptionValue

# (architecture, its options) → name → tensor, as the library publishes them. Downloads on the first call on a machine.
Published = Callable[[str, Mapping[str, OptionValue]], Mapping[str, torch.Tensor]]
# (architecture, its options) → the full name of those weights, version included. ValueError where there are none. Asks
# nobody but the library as it is installed.
Named = Callable[[str, Mapping[str, OptionValue]], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """Where the published weights of some architectures come from."""

    fetch: Published
    name: Named


_PUBLISHED: dict[str, _Source] = {}


def register_published(*architectures: str, name: Named) -> Callable[[Published], Published]:
    """Name the architectures, or the prefix of a family (`timm/`), whose published weights a function fetches."""

    def register(fetch: Published) -> Published:
        _PUBLISHED.update(dict.fromkeys(architectures, _Source(fetch=fetch, name=name)))
        return fetch

    return register


def hub_weights_name(architecture: str, options: Mapping[str, OptionValue] | None = None) -> str:
    """The full name of an architecture's published weights, `timm/resnet50.a1_in1k`; needs no network.

    The libraries change now and then which weights a plain name means; this name stays with the weights.

    Raises:
        ValueError: if nobody publishes weights for it.
    """
    return _source(architecture).name(architecture, dict(options or {}))


def hub_weights(architecture: str, options: Mapping[str, OptionValue] | None = None) -> Mapping[str, torch.Tensor]:
    """Fetch an architecture's published weights; the library keeps them on this machine.

    Args:
        architecture: a name that `create_model` takes.
        options: the options that the model is built with; some change what weights fit it.

    Returns:
        Name → tensor on the CPU, three input channels, with the published head.

    Raises:
        ValueError: if nobody publishes weights for it, or they cannot be fetched.
    """
    source = _source(architecture)
    try:
        return source.fetch(architecture, dict(options or {}))
    except ValueError:
        raise
    except Exception as e:  # each library raises errors of its own and of the three HTTP clients below it
        reason = " ".join(str(e).split())[:200]
        raise ValueError(
            f"the published weights of {architecture!r} cannot be fetched ({type(e).__name__}: {reason}); either run "
            "once on this machine with network access, or give a local copy: "
            "weights=<path or s3:// uri of a safetensors or state-dict file>"
        ) from e


def _source(architecture: str) -> _Source:
    family = architecture.partition("/")[0] + "/"
    source = _PUBLISHED.get(architecture) or (_PUBLISHED.get(family) if architecture.startswith(family) else None)
    if source is None:
        raise ValueError(
            f"architecture {architecture!r} has no published weights; those with some: "
            f"{', '.join(sorted(name.replace('timm/', 'timm/<name>') for name in _PUBLISHED))}; or give a file of your "
            "own: weights=<path or s3:// uri of a safetensors or state-dict file>"
        )
    return source
