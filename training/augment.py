"""Augmentation of a batch of normalised log-mels on its device; every random number comes from the Generator given.

x_BCMT: batch, channel, mel, time. torchaudio's masks draw from the global state, which an exact resume cannot use.
"""

from dataclasses import dataclass

import torch

from training.config import TrialConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """Mixed targets: the loss is `weight * loss(first) + (1 - weight) * loss(second)`.

    Attributes:
        first, second: int64 (batch,).
        weight: float32 (batch,), the share of `first`.
    """

    first: torch.Tensor
    second: torch.Tensor
    weight: torch.Tensor


def augment(
    x_BCMT: torch.Tensor, targets: torch.Tensor, config: TrialConfig, generator: torch.Generator
) -> tuple[torch.Tensor, Targets]:
    """Applies roll, SpecAugment and mixup, in this order, as the configuration says.

    Args:
        generator: a CPU generator, so that its state is the same on every device.
    """
    if config.roll:
        x_BCMT = roll_in_time(x_BCMT, generator)
    for _ in range(config.num_masks):
        x_BCMT = mask_axis(x_BCMT, axis=2, max_width=config.frequency_mask_bands, generator=generator)
        x_BCMT = mask_axis(x_BCMT, axis=3, max_width=config.time_mask_frames, generator=generator)
    return mixup(x_BCMT, targets, config.mixup_alpha, generator)


def roll_in_time(x_BCMT: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotates every clip by its own uniform number of frames."""
    batch, _, num_mels, num_frames = x_BCMT.shape
    shifts = torch.randint(num_frames, (batch, 1), generator=generator).to(x_BCMT.device)
    source_BT = (torch.arange(num_frames, device=x_BCMT.device)[None, :] - shifts) % num_frames
    return x_BCMT.gather(3, source_BT[:, None, None, :].expand(-1, x_BCMT.shape[1], num_mels, -1))


def mask_axis(x_BCMT: torch.Tensor, *, axis: int, max_width: int, generator: torch.Generator) -> torch.Tensor:
    """Sets one band of every clip to 0, the mean: width uniform in 0 … max_width, place uniform.

    SpecAugment (arXiv:1904.08779) without time warping.
    """
    if max_width == 0:
        return x_BCMT
    batch, size = x_BCMT.shape[0], x_BCMT.shape[axis]
    widths = torch.randint(min(max_width, size) + 1, (batch, 1), generator=generator)
    starts = (torch.rand((batch, 1), generator=generator) * (size - widths + 1)).long()
    positions = torch.arange(size)[None, :]
    masked = ((positions >= starts) & (positions < starts + widths)).to(x_BCMT.device)
    shape = [batch, 1, 1, 1]
    shape[axis] = size
    return x_BCMT.masked_fill(masked.view(shape), 0.0)


def mixup(
    x_BCMT: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, Targets]:
    """mixup (arXiv:1710.09412) with one weight per clip; alpha 0 leaves the batch as it is."""
    batch = len(targets)
    if alpha == 0:
        return x_BCMT, Targets(first=targets, second=targets, weight=torch.ones(batch, device=targets.device))
    order = torch.randperm(batch, generator=generator).to(targets.device)
    weight = _sample_beta(alpha, batch, generator).to(x_BCMT.device)
    weight_B111 = weight.view(-1, 1, 1, 1)
    mixed = x_BCMT * weight_B111 + x_BCMT[order] * (1 - weight_B111)
    return mixed, Targets(first=targets, second=targets[order], weight=weight)


def _sample_beta(alpha: float, size: int, generator: torch.Generator) -> torch.Tensor:
    # Beta(a, a) from two Gamma(a) draws; _standard_gamma is the only gamma sampler that takes a Generator.
    gammas = torch._standard_gamma(torch.full((2, size), alpha), generator=generator)
    return gammas[0] / gammas.sum(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
