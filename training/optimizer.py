"""The optimizer over a model's trained parameters, with learning rates that may fall from the head to the input."""

from collections.abc import Iterable

import torch
from torch import nn

from models import Classifier, depth_of_parameters
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
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if config.layer_decay == 1.0:
        return [{"params": [parameter for _, parameter in trained]}]
    depths = depth_of_parameters(model)
    deepest = max(depths.values())
    by_depth: dict[int, list[nn.Parameter]] = {}
    for name, parameter in trained:
        by_depth.setdefault(depths[name], []).append(parameter)
    return [
        {"params": parameters, "lr": config.learning_rate * config.layer_decay ** (deepest - depth)}
        for depth, parameters in sorted(by_depth.items())
    ]


def clip_gradients(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> None:
    """Scales all gradients together so that their norm is at most `clip_norm`."""
    if config.clip_norm:
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
