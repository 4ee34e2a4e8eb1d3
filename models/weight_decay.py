"""Which parameters a recipe may spare from weight decay: those whose size means nothing to the function computed."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from models.classifier import Classifier


def undecayed_parameters(model: Classifier) -> frozenset[str]:
    """The names of norms' weights, of all biases, and of what a model of timm asks to spare (tokens, positions).

    As timm's `param_groups_weight_decay`: whatever has one dimension, every bias, and `no_weight_decay()` of the model.
    """
    asked: Callable[[], Iterable[str]] | None = getattr(model.backbone, "no_weight_decay", None)
    patterns = [f"backbone.{pattern}" for pattern in asked()] if asked is not None else []
    return frozenset(
        name
        for name, value in model.named_parameters()
        if value.ndim <= 1 or name.endswith(".bias") or any(fnmatchcase(name, pattern) for pattern in patterns)
    )
