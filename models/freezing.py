"""Freezing: a named part of the backbone keeps its parameters and BatchNorm's statistics while the rest trains."""

from dataclasses import dataclass

from torch import nn

from models.classifier import Classifier
from models.options import suggestion


@dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    """What of a model does not move.

    Attributes:
        modules: the outermost modules that are frozen whole.
    """

    modules: tuple[nn.Module, ...]

    def keep_still(self) -> None:
        """Put the frozen modules into evaluation mode; call after each `model.train()`.

        BatchNorm in them then normalises with the statistics that it came with and keeps them bit for bit, and Dropout
        passes everything.
        """
        for module in self.modules:
            module.eval()


def freeze(model: Classifier, what: str) -> Frozen:
    """Take the gradients from a part of a model's parameters; the rest stays as it was.

    Args:
        model: the classifier, changed in place.
        what: `none`; `backbone`, all but the head; or `until(<layer>)`, the named module of the backbone (`layer3`,
            `blocks.4`) and all before it, in the order in which the modules are registered, which is that of execution
            in every architecture here and in timm's. Parameters beside the modules on the way to it, such as a
            transformer's class token, are before it too.

    Raises:
        ValueError: if `what` is none of these, or the backbone has no such layer; lists those at its top.
    """
    if what == "none":
        return Frozen(modules=())
    if what == "backbone":
        model.backbone.requires_grad_(False)
        return Frozen(modules=(model.backbone,))
    layer = what.removeprefix("until(").removesuffix(")")
    if what != f"until({layer})" or not layer:
        raise ValueError(f"freeze is {what!r}; allowed: none, backbone or until(<layer>)")
    return Frozen(modules=_freeze_until(model.backbone, layer))


def _freeze_until(backbone: nn.Module, layer: str) -> tuple[nn.Module, ...]:
    known = [name for name, _ in backbone.named_modules() if name]
    if layer not in known:
        top = ", ".join(name for name, _ in backbone.named_children())
        raise ValueError(
            f"freeze is 'until({layer})', and the backbone has no layer {layer!r}; known: {top}, and those inside them"
            f"{suggestion(layer, known)}"
        )
    modules: list[nn.Module] = []
    parent = backbone
    for part in layer.split("."):
        for parameter in parent.parameters(recurse=False):
            parameter.requires_grad_(False)
        children = dict(parent.named_children())
        names = list(children)
        modules += [children[name] for name in names[: names.index(part)]]
        parent = children[part]
    modules.append(parent)
    for module in modules:
        module.requires_grad_(False)
    return tuple(modules)
