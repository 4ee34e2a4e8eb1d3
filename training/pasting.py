"""InAugment on spectrograms: a crop of a clip, resized, pasted into another place of the same clip.

"InAugment: Improving Classifiers via Internal Augmentation" (arXiv:2104.03843) pastes several transformed copies of an
image into itself; here, as in the study on birds, it is one crop of the log-mel.
"""

import torch
import torch.nn.functional as F

_CROP_SCALES = (0.2, 0.6)  # of each side, of what is cut out and, drawn anew, of where it goes


def paste_crops(x_BCMT: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Pastes into some clips. The two boxes are drawn once a batch, so that it stays one operation on the device."""
    chosen_B = torch.rand(len(x_BCMT), generator=generator) < probability
    crop = _box(x_BCMT.shape, generator)
    place = _box(x_BCMT.shape, generator)
    top, left, height, width = crop
    piece = x_BCMT[:, :, top : top + height, left : left + width]
    top, left, height, width = place
    piece = F.interpolate(piece, size=(height, width), mode="bilinear", align_corners=False)
    pasted = x_BCMT.clone()
    pasted[:, :, top : top + height, left : left + width] = piece
    return torch.where(chosen_B.to(x_BCMT.device, non_blocking=True)[:, None, None, None], pasted, x_BCMT)


def _box(shape: torch.Size, generator: torch.Generator) -> tuple[int, int, int, int]:
    low, high = _CROP_SCALES
    scales = low + (high - low) * torch.rand(2, generator=generator)
    height, width = (max(1, round(side * float(scale))) for side, scale in zip(shape[2:], scales, strict=True))
    top = int(torch.randint(shape[2] - height + 1, (), generator=generator))
    left = int(torch.randint(shape[3] - width + 1, (), generator=generator))
    return top, left, height, width
