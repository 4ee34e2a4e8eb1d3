"""Models of one architecture as one: parameters stacked, a batch of each forward and backward in one go.

Enters: models in training. Leaves: a loss each, and gradients of the stacked parameters. The models stay usable: their
own tensors become views of the stacks, so each can be scored, averaged and stored by itself at any time.
S = seeds (models), B = batch, L = labels.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from training.steps import Batch


class StackedModel:
    """Runs torch.func's vmap over a copy of the first model that has no values of its own.

    vmap turns convolutions into grouped ones. BatchNorm writes its running statistics into the stacks, where each model
    has its own. Dropout is taken out of the copy, as a stack's mask would be one draw for all: each model's masks are
    drawn as it draws them itself, and given to it. Any other layer that draws is refused by vmap.

    Attributes:
        parameters: name → (S, …); leaves that require a gradient where the models' do.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        example: torch.Tensor,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        """Args: models: in training mode, but for what is frozen; example: an input, (1, C, M, T)."""
        self._autocast = autocast
        self._dropouts = _find_dropouts(models[0], example, autocast)
        self._template = _template(models[0], [dropout.name for dropout in self._dropouts])
        self.parameters = _stack_and_share([dict(model.named_parameters()) for model in models])
        self._buffers = _stack_and_share([dict(model.named_buffers()) for model in models])

    def losses(
        self, makes: Sequence[Callable[[], Batch]], loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, int]:
        """Forward with each model's own batch; moves BatchNorm's statistics.

        Args:
            makes: one per model; makes its batch, and seeds the global generator that its dropout draws from.
            loss: of logits and targets, both (B, L).

        Returns:
            (S,), the mean loss of each batch; and how many clips one has.
        """
        inputs, targets, masks = [], [], []
        for make in makes:
            x_BCMT, targets_BL = make()
            inputs.append(x_BCMT)
            targets.append(targets_BL)
            masks.append(self._draw_masks(len(x_BCMT)))
        masks_S = {name: torch.stack([of_model[name] for of_model in masks]) for name in masks[0]}

        def of_one(parameters: Any, buffers: Any, x_BCMT: torch.Tensor, targets_BL: torch.Tensor) -> torch.Tensor:
            with self._autocast():
                logits_BL = functional_call(self._template, (parameters, buffers), (x_BCMT,))
            return loss(logits_BL.float(), targets_BL)

        losses_S = vmap(of_one)(self.parameters, self._buffers | masks_S, torch.stack(inputs), torch.stack(targets))
        return losses_S, len(inputs[0])

    def _draw_masks(self, batch: int) -> dict[str, torch.Tensor]:
        # Dropout of ones is its mask, scaled: the same draw as in the model, from the same state, in the same order.
        return {f"{dropout.name}.mask": dropout.mask(batch) for dropout in self._dropouts}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Dropout:
    """An active dropout layer: the shape of one clip's values in it, and where they live."""

    name: str
    probability: float
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def mask(self, batch: int) -> torch.Tensor:
        return F.dropout(torch.ones((batch, *self.shape), dtype=self.dtype, device=self.device), self.probability)


class _GivenMask(nn.Module):
    """Stands where a dropout was. Its mask is given with every call, as a buffer."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.empty(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


def _find_dropouts(
    model: nn.Module, example: torch.Tensor, autocast: Callable[[], AbstractContextManager[Any]]
) -> list[_Dropout]:
    """Those that draw when the model trains, in the order in which they draw."""
    active = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Dropout) and module.training and module.p
    ]
    probe, found = copy.deepcopy(model).eval(), []  # in evaluation nothing draws and no statistics move

    def noted(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, arguments: tuple[torch.Tensor]) -> None:
            (x,) = arguments
            layer = _Dropout(
                name=name,
                probability=model.get_submodule(name).p,  # type: ignore[arg-type]
                shape=tuple(x.shape[1:]),
                dtype=x.dtype,
                device=x.device,
            )
            found.append(layer)

        return hook

    for name in active:
        probe.get_submodule(name).register_forward_pre_hook(noted(name))
    with torch.no_grad(), autocast():
        probe(example)
    return found


def _template(model: nn.Module, dropouts: Sequence[str]) -> nn.Module:
    template = copy.deepcopy(model)
    for name in dropouts:
        template.set_submodule(name, _GivenMask())
    return template.to("meta")


def _stack_and_share(tensors: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Name → (S, …); each model's tensor becomes its slice."""
    stacks = {}
    for name, first in tensors[0].items():
        stack = torch.stack([of_model[name].detach() for of_model in tensors])
        for of_model, view in zip(tensors, stack.unbind(), strict=True):
            of_model[name].data = view
        stacks[name] = stack.requires_grad_(first.requires_grad)
    return stacks
