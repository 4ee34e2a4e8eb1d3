"""The training loss of an epoch, summed on the device so that no step waits for it."""

import math

import torch

from training.steps import TrainingFailed


class EpochLoss:
    """Args:
    so_far, steps: sum over the clips, finite, and number of steps of an epoch that is taken up again.
    """

    def __init__(self, device: torch.device, *, so_far: float = 0.0, steps: int = 0) -> None:
        self._sum = torch.tensor(so_far, dtype=torch.float64, device=device)
        self._num_finite = torch.tensor(steps, dtype=torch.int64, device=device)

    def add(self, loss: torch.Tensor) -> None:
        """Args: loss: of a step, summed over its clips."""
        self._sum += loss
        self._num_finite += self._sum.isfinite()  # what is not finite stays so

    def finite_sum(self) -> float:
        """Waits for the device.

        Raises:
            TrainingFailed: it is not finite; names the step from which on.
        """
        found = float(self._sum)
        if not math.isfinite(found):
            raise TrainingFailed(f"the training loss is not finite from step {int(self._num_finite) + 1} on")
        return found
