"""Disturbing a training batch on its device; every random number comes from the Generator given.

x_BCMT: batch, channel, mel, time. The generator is one of the CPU, so that the draws are the same on every device; only
parameters are drawn there, a few numbers a clip, and copied without waiting for the device (from pageable memory CUDA
takes them before it returns). torchaudio's masks draw from the global state, which an exact resume
cannot use.
"""

import functools
import operator

import torch

from training.mixing import mix
from training.pasting import paste_crops
from training.recipe import AugmentConfig


def gains_db(batch: int, config: AugmentConfig, generator: torch.Generator) -> torch.Tensor | None:
    """float32 (batch, 1, 1) to add to dB, or None without a gain."""
    if not config.gain_db:
        return None
    return (torch.rand((batch, 1, 1), generator=generator) * 2 - 1) * config.gain_db


def augment(
    x_BCMT: torch.Tensor, targets_BL: torch.Tensor, config: AugmentConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Roll, flips, shift, InAugment, masks and mixing, in this order, as the configuration says.

    Args:
        x_BCMT: scaled; masks and shifts set it to 0, which is the mean of `standard` scaling and the floor of `unit`.
        targets_BL: float32, in [0, 1]; mixed like the clips.
    """
    if config.roll:
        x_BCMT = roll_in_time(x_BCMT, generator)
    if config.flip_probability:
        x_BCMT = flip(x_BCMT, axis=3, probability=config.flip_probability, generator=generator)
    if config.frequency_flip_probability:
        x_BCMT = flip(x_BCMT, axis=2, probability=config.frequency_flip_probability, generator=generator)
    if (config.shift_bands or config.shift_frames) and config.shift_probability:
        x_BCMT = _shifted(x_BCMT, config, generator)
    if config.inaugment_probability:
        x_BCMT = paste_crops(x_BCMT, config.inaugment_probability, generator)
    x_BCMT = _masked(x_BCMT, config, generator)
    if config.mix_alpha and config.mix_probability:
        return mix(x_BCMT, targets_BL, config, generator)
    return x_BCMT, targets_BL


def roll_in_time(x_BCMT: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotates every clip by its own uniform number of frames."""
    batch, _, num_mels, num_frames = x_BCMT.shape
    shifts = torch.randint(num_frames, (batch, 1), generator=generator).to(x_BCMT.device, non_blocking=True)
    source_BT = (torch.arange(num_frames, device=x_BCMT.device)[None, :] - shifts) % num_frames
    return x_BCMT.gather(3, source_BT[:, None, None, :].expand(-1, x_BCMT.shape[1], num_mels, -1))


def flip(x_BCMT: torch.Tensor, *, axis: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Turns some clips around: their bands (axis 2) or their time (3)."""
    flipped_B = (torch.rand(len(x_BCMT), generator=generator) < probability).to(x_BCMT.device, non_blocking=True)
    return torch.where(flipped_B[:, None, None, None], x_BCMT.flip(axis), x_BCMT)


def _shifted(x_BCMT: torch.Tensor, config: AugmentConfig, generator: torch.Generator) -> torch.Tensor:
    """Some clips, moved by their own uniform numbers of bands and of frames."""
    chosen_B = torch.ones(len(x_BCMT), dtype=torch.bool)
    if config.shift_probability < 1:
        chosen_B = torch.rand(len(x_BCMT), generator=generator) < config.shift_probability
    for axis, largest in ((2, config.shift_bands), (3, config.shift_frames)):
        if largest:
            most = min(largest, x_BCMT.shape[axis] - 1)  # something of the clip stays
            places_B = torch.randint(-most, most + 1, (len(x_BCMT),), generator=generator)
            x_BCMT = shift(x_BCMT, places_B * chosen_B, axis=axis)
    return x_BCMT


def shift(x_BCMT: torch.Tensor, places_B: torch.Tensor, *, axis: int) -> torch.Tensor:
    """Moves every clip along an axis; what leaves it is lost, and what is emptied is 0.

    Args:
        places_B: int64, of every clip: towards the axis's end where positive.
        axis: 2 for bands, 3 for frames.
    """
    size = x_BCMT.shape[axis]
    places_B = places_B.to(x_BCMT.device, non_blocking=True)
    source_BS = torch.arange(size, device=x_BCMT.device)[None, :] - places_B[:, None]
    wide = [len(x_BCMT), 1, 1, 1]
    wide[axis] = size
    is_empty = ((source_BS < 0) | (source_BS >= size)).view(wide)
    moved = x_BCMT.gather(axis, source_BS.clamp(0, size - 1).view(wide).expand_as(x_BCMT))
    return moved.masked_fill(is_empty, 0.0)


def _masked(x_BCMT: torch.Tensor, config: AugmentConfig, generator: torch.Generator) -> torch.Tensor:
    axes = (2, config.frequency_masks, config.frequency_mask_bands), (3, config.time_masks, config.time_mask_frames)
    hidden: list[torch.Tensor] = []
    for axis, num_masks, max_width in axes:
        masks = [
            mask_axis(x_BCMT.shape, axis=axis, max_width=max_width, generator=generator)
            for _ in range(num_masks if max_width else 0)
        ]
        hidden += [functools.reduce(operator.or_, masks)] if masks else []
    if not hidden:
        return x_BCMT
    if config.mask_probability < 1:
        chosen = torch.rand((len(x_BCMT), 1, 1, 1), generator=generator) < config.mask_probability
        hidden = [mask & chosen for mask in hidden]
    # One mask an axis travels to the device; together they are as large as the batch.
    there = [mask.to(x_BCMT.device, non_blocking=True) for mask in hidden]
    return x_BCMT.masked_fill(functools.reduce(operator.or_, there), 0.0)


def mask_axis(shape: torch.Size, *, axis: int, max_width: int, generator: torch.Generator) -> torch.Tensor:
    """One band of every clip, width uniform in 0 … max_width, place uniform: bool, 1 wide but for the batch and `axis`.

    SpecAugment (arXiv:1904.08779) without time warping.
    """
    batch, size = shape[0], shape[axis]
    widths = torch.randint(min(max_width, size) + 1, (batch, 1), generator=generator)
    starts = (torch.rand((batch, 1), generator=generator) * (size - widths + 1)).long()
    positions = torch.arange(size)[None, :]
    masked = (positions >= starts) & (positions < starts + widths)
    wide = [batch, 1, 1, 1]
    wide[axis] = size
    return masked.view(wide)
