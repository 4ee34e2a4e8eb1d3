"""The optimizer over a model's trained parameters, with learning rates that may fall from the head to the input."""

from collections.abc import Iterable

import torch
from torch import nn

from models import Classifier, depth_of_parameters, undecayed_parameters
from training.recipe import OptimizerConfig


def create_optimizer(model: Classifier, config: OptimizerConfig, *, fused: bool) -> torch.optim.Optimizer:
    """Makes torch's own optimizer over the parameters that require a gradient.

    With `layer_decay` each block's rate is that of the block behind it times the factor (as in BERT-like fine-tuning,
    arXiv:1905.05583 and BEiT's recipe); the head has the full one.

    Args:
        fused: one kernel for all parameters; the numbers differ in their last bits.
    """
    groups = _groups(model, config)
    if config.kind == "sgd":
        return torch.optim.SGD(
            groups,
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
            fused=fused,
        )
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def _groups(model: Classifier, config: OptimizerConfig) -> list[dict[str, object]]:
    """Parameters by depth and by whether they decay; the last group holds the head's weights."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    depths = depth_of_parameters(model) if config.layer_decay != 1.0 else {}
    deepest = max(depths.values(), default=0)
    spared = frozenset[str]() if config.decay_norms else undecayed_parameters(model)
    by_kind: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in trained:
        by_kind.setdefault((depths.get(name, 0), name not in spared), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * config.layer_decay ** (deepest - depth),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in sorted(by_kind.items(), key=lambda item: item[0])
    ]


def clip_gradients(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> None:
    """Scales all gradients together so that their norm is at most `clip_norm`."""
    if config.clip_norm:
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
