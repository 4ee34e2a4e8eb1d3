"""One optimizer step of several seeds at once.

Enters: every seed's batches. Leaves: changed weights, to rounding those of seeds that step by themselves, and the
losses, still on the device. S = seeds.
"""

from collections.abc import Sequence

import torch

from training.seed_run import SeedRun
from training.stacked_model import StackedModel
from training.steps import LazyBatch

_COUNT = "step"  # the one slot of an optimizer's state that is no tensor of the parameter's shape
_SCHEDULED = ("lr", "momentum", "betas")  # what a schedule changes in the groups of an optimizer


class FusedStepper:
    """Steps seeds that stand at the same place, with one optimizer over their stacked parameters.

    torch's SGD, Adam and AdamW are element-wise, so a stack of parameters moves as its parts would. The norm that
    gradients are clipped to is each seed's own. Learning rates and momenta are the first seed's, as all have the same.
    """

    def __init__(self, runs: list[SeedRun]) -> None:
        """Args: runs: all at the same step, their epoch begun."""
        self.runs, first = runs, runs[0]
        self._model = StackedModel([run.model for run in runs], first.example(), first.stepper.autocast)
        self._optimizer = self._stacked_optimizer()

    def step(self, batches: Sequence[Sequence[LazyBatch]]) -> list[torch.Tensor]:
        """One step over the mean gradient of all clips of each seed's batches.

        Args:
            batches: as many for every seed, of the same numbers of clips.

        Returns:
            Each seed's loss, summed over its clips: scalars on the device.

        Raises:
            torch.OutOfMemoryError: nothing but BatchNorm's statistics may have changed.
        """
        self._optimizer.zero_grad(set_to_none=True)
        totals_S = torch.zeros(len(self.runs), device=self.runs[0].device)
        num_clips_of_step = sum(batch.num_clips for batch in batches[0])
        for makes in zip(*batches, strict=True):
            losses_S, num_clips = self._model.losses(makes, self.runs[0].loss)
            # The seeds share nothing, so the gradient of the sum holds each one's own.
            (losses_S.sum() * (num_clips / num_clips_of_step)).backward()
            totals_S += losses_S.detach() * num_clips
        self._clip()
        for group, of_first in zip(self._optimizer.param_groups, self.runs[0].optimizer.param_groups, strict=True):
            group.update({name: of_first[name] for name in _SCHEDULED if name in of_first})
        self._optimizer.step()
        return list(totals_S.unbind())

    def hand_back(self) -> None:
        """Gives every seed's own optimizer its slice of the state; their models have theirs all the time."""
        for place, run in enumerate(self.runs):
            for parameter, stack in self._pairs(run):
                state = self._optimizer.state[stack]
                run.optimizer.state[parameter] = {
                    slot: value.clone() if slot == _COUNT else value[place] for slot, value in state.items()
                }

    def _clip(self) -> None:
        """As `clip_gradients`, for each seed by itself."""
        most = self.runs[0].config.optimizer.clip_norm
        gradients = [stack.grad for stack in self._model.parameters.values() if stack.grad is not None]
        if not most:
            return
        norms = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        factor_S = (most / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor_S.view(-1, *[1] * (gradient.dim() - 1)))

    def _stacked_optimizer(self) -> torch.optim.Optimizer:
        own = self.runs[0].optimizer
        stack_of = dict(self._pairs(self.runs[0]))
        groups = [{**group, "params": [stack_of[own] for own in group["params"]]} for group in own.param_groups]
        optimizer = type(own)(groups)  # type: ignore[call-arg]  # the groups hold all options
        for of_runs in zip(*map(self._pairs, self.runs), strict=True):
            states = [run.optimizer.state[own] for run, (own, _) in zip(self.runs, of_runs, strict=True)]
            optimizer.state[of_runs[0][1]] = {
                slot: value.clone() if slot == _COUNT else torch.stack([state[slot] for state in states])
                for slot, value in states[0].items()
            }
        return optimizer

    def _pairs(self, run: SeedRun) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
        """A seed's trained parameters, each with the stack that it is a slice of."""
        named = run.model.named_parameters()
        return [(own, self._model.parameters[name]) for name, own in named if own.requires_grad]
