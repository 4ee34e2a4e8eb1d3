"""How deep each parameter lies, in blocks: what layer-wise learning rates are made from."""

from collections.abc import Iterator

from torch import nn

from models.classifier import Classifier
from models.timm_family import parameter_groups


def depth_of_parameters(model: Classifier) -> dict[str, int]:
    """Map each parameter's name to the depth of its block: 0 at the input, the head deepest, no number left out.

    timm's models say themselves which parameters belong together (`group_matcher`); elsewhere a block is a child of the
    backbone, or a child of a sequence in it. Parameters that belong to no child are at the input.
    """
    groups = parameter_groups(model.backbone)
    if groups is None:
        groups = _by_order(model.backbone)
    ranks = {group: rank for rank, group in enumerate(sorted(set(groups.values())))}
    depths = {f"backbone.{name}": ranks[group] for name, group in groups.items()}
    return depths | {f"head.{name}": len(ranks) for name, _ in model.head.named_parameters()}


def _by_order(backbone: nn.Module) -> dict[str, int]:
    groups = {name: 0 for name, _ in backbone.named_parameters(recurse=False)}
    with_parameters = ((name, block) for name, block in _blocks(backbone) if any(True for _ in block.parameters()))
    for depth, (prefix, block) in enumerate(with_parameters):
        groups |= {f"{prefix}.{name}": depth for name, _ in block.named_parameters()}
    return groups


def _blocks(backbone: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in backbone.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from ((f"{name}.{inner}", block) for inner, block in child.named_children())
        else:
            yield name, child
