"""The tensors of one seed by name, as a checkpoint holds them, and back into the objects that they belong to.

Enters: model, average, best weights and optimizer, or the tensors of a checkpoint. Leaves: the other.
"""

from collections.abc import Mapping

import torch
from torch import nn

from training.averaging import WeightAverage


def named_tensors(
    model: nn.Module,
    average: WeightAverage,
    best_weights: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> dict[str, torch.Tensor]:
    """Everything that the next step depends on; not copied."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best_weights.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in slots.items() if tensor is not None}
    return tensors


def load_tensors(
    tensors: Mapping[str, torch.Tensor],
    *,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """Gives everything back its values. Returns the best weights, on the device."""
    named = _by_prefix(tensors)
    model.load_state_dict(named["model"])
    average.load_state_dict(named.get("average", {}))
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in named.get("optimizer", {}).items():
        index, _, slot = name.partition(".")
        slots.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    _lay_out_as_parameters(optimizer)
    return {name: tensor.to(device) for name, tensor in named.get("best", {}).items()}


def are_finite(tensors: Mapping[str, torch.Tensor]) -> bool:
    values = [tensor for tensor in tensors.values() if tensor.is_floating_point()]
    return bool(torch.stack([tensor.isfinite().all() for tensor in values]).all())


def _lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """A checkpoint keeps no memory order, and fused kernels refuse slots whose order is not their parameter's."""
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            if torch.is_tensor(value) and value.shape == parameter.shape and value.stride() != parameter.stride():
                slots[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _by_prefix(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    named: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, name = key.partition(".")
        named.setdefault(prefix, {})[name] = tensor
    return named
