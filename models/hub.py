"""Published weights by architecture: a name goes in, the tensors leave that timm or torchvision publish for it.

Each architecture that has some registers a function that fetches them; `weights.load_weights` fits them into a model.
"""

from collections.abc import Callable, Mapping

import torch

from models.options import OptionValue

# (architecture, its options) → name → tensor, as the library publishes them. Downloads on the first call on a machine.
Published = Callable[[str, Mapping[str, OptionValue]], Mapping[str, torch.Tensor]]

_PUBLISHED: dict[str, Published] = {}


def register_published(*architectures: str) -> Callable[[Published], Published]:
    """Name the architectures, or the prefix of a family (`timm/`), whose published weights a function fetches."""

    def register(fetch: Published) -> Published:
        _PUBLISHED.update(dict.fromkeys(architectures, fetch))
        return fetch

    return register


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
    family = architecture.partition("/")[0] + "/"
    fetch = _PUBLISHED.get(architecture) or (_PUBLISHED.get(family) if architecture.startswith(family) else None)
    if fetch is None:
        raise ValueError(
            f"architecture {architecture!r} has no published weights; those with some: "
            f"{', '.join(sorted(name.replace('timm/', 'timm/<name>') for name in _PUBLISHED))}; or give a file of your "
            "own: weights=<path or s3:// uri of a safetensors or state-dict file>"
        )
    try:
        return fetch(architecture, dict(options or {}))
    except ValueError:
        raise
    except Exception as e:  # each library raises errors of its own and of the three HTTP clients below it
        reason = " ".join(str(e).split())[:200]
        raise ValueError(
            f"the published weights of {architecture!r} cannot be fetched ({type(e).__name__}: {reason}); either run "
            "once on this machine with network access, or give a local copy: "
            "weights=<path or s3:// uri of a safetensors or state-dict file>"
        ) from e
