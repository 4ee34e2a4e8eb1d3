"""Mixing pairs of clips of a batch: mixup, CutMix and ResizeMix. Shapes as in augment.py, L = labels."""

import torch
import torch.nn.functional as F

from training.recipe import AugmentConfig

_RESIZEMIX_SCALES = (0.1, 0.8)  # of ResizeMix's paper: the pasted clip's share of each side


def mix(
    x_BCMT: torch.Tensor, targets_BL: torch.Tensor, config: AugmentConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixes every clip with another one of the batch, or, by `mix_probability`, leaves the batch alone."""
    if config.mix_probability < 1 and torch.rand((), generator=generator) >= config.mix_probability:
        return x_BCMT, targets_BL
    partner = torch.randperm(len(x_BCMT), generator=generator).to(x_BCMT.device, non_blocking=True)
    if config.mix == "mixup":
        weight_B = _sample_beta(config.mix_alpha, len(x_BCMT), generator).to(x_BCMT.device, non_blocking=True)
        mixed = torch.lerp(x_BCMT[partner], x_BCMT, weight_B.view(-1, 1, 1, 1))
        return mixed, _mixed_targets(targets_BL, partner, weight_B)
    if config.mix == "cutmix":
        share = _sample_beta(config.mix_alpha, 1, generator)
        top, left, height, width = _box(x_BCMT.shape, (1 - share).sqrt().item(), generator)
        pasted = x_BCMT[partner, :, top : top + height, left : left + width]
    else:
        low, high = _RESIZEMIX_SCALES
        scale = low + (high - low) * torch.rand((), generator=generator).item()
        top, left, height, width = _box(x_BCMT.shape, scale, generator)
        pasted = F.interpolate(x_BCMT[partner], size=(height, width), mode="bilinear", align_corners=False)
    mixed = x_BCMT.clone()
    mixed[:, :, top : top + height, left : left + width] = pasted
    kept = 1 - height * width / (x_BCMT.shape[2] * x_BCMT.shape[3])
    return mixed, _mixed_targets(targets_BL, partner, torch.full((len(x_BCMT),), kept, device=x_BCMT.device))


def _mixed_targets(targets_BL: torch.Tensor, partner: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
    return torch.lerp(targets_BL[partner], targets_BL, weight_B[:, None])


def _box(shape: torch.Size, scale: float, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a box of `scale` of each side, wholly inside, at a uniform place; one a batch.

    CutMix's own box is cut off at the border, so that its share is not what was drawn; here it is, up to rounding.
    """
    height, width = (max(1, round(side * scale)) for side in shape[2:])
    top = int(torch.randint(shape[2] - height + 1, (), generator=generator))
    left = int(torch.randint(shape[3] - width + 1, (), generator=generator))
    return top, left, height, width


def _sample_beta(alpha: float, size: int, generator: torch.Generator) -> torch.Tensor:
    # Beta(a, a) from two Gamma(a) draws; _standard_gamma is the only gamma sampler that takes a Generator.
    gammas = torch._standard_gamma(torch.full((2, size), alpha), generator=generator)
    return gammas[0] / gammas.sum(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
