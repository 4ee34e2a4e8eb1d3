"""The usual recipe beside train.py's loop: a file an example, a torch Dataset that reads and disturbs it, a DataLoader.

Enters: nothing. Leaves: files in a folder, and loaders over them. S1's notebooks read PNG pictures with PIL and resize
them in the worker; S2's read .npy files and mask them in numpy, as Albumentations does. Neither does more here than the
loop that it is compared with.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

Example = tuple[torch.Tensor, torch.Tensor]  # input, targets

_MASKS, _MASK_BANDS, _MASK_FRAMES = 2, 16, 32


class Pictures(Dataset[Example]):
    """PNG files of 8 bit as (3, height, width) in 0 … 1."""

    def __init__(
        self, paths: list[Path], targets: NDArray[np.float32], num_examples: int, size: tuple[int, int]
    ) -> None:
        self._paths, self._targets, self._num_examples = paths, targets, num_examples
        self._height, self._width = size

    def __len__(self) -> int:
        return self._num_examples

    def __getitem__(self, index: int) -> Example:
        number = index % len(self._paths)
        with Image.open(self._paths[number]) as picture:
            resized = picture.convert("RGB").resize((self._width, self._height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
        return pixels, torch.from_numpy(self._targets[number])


class Arrays(Dataset[Example]):
    """.npy files of float32 as (1, bands, frames), flipped and masked at random."""

    def __init__(self, paths: list[Path], targets: NDArray[np.float32], num_examples: int) -> None:
        self._paths, self._targets, self._num_examples = paths, targets, num_examples

    def __len__(self) -> int:
        return self._num_examples

    def __getitem__(self, index: int) -> Example:
        number = index % len(self._paths)
        log_mel, rng = np.load(self._paths[number]), np.random.default_rng(index)
        if rng.random() < 0.5:
            log_mel = log_mel[:, ::-1].copy()
        bands, frames = log_mel.shape
        for _ in range(_MASKS):
            width = rng.integers(_MASK_BANDS + 1)
            start = rng.integers(bands - width + 1)
            log_mel[start : start + width] = 0
            width = rng.integers(_MASK_FRAMES + 1)
            start = rng.integers(frames - width + 1)
            log_mel[:, start : start + width] = 0
        return torch.from_numpy(log_mel[None]), torch.from_numpy(self._targets[number])


def write_pictures(folder: Path, log_mels: NDArray[Any]) -> list[Path]:
    """One PNG a log-mel, its own range as 0 … 255."""
    paths = []
    for number, log_mel in enumerate(log_mels.astype(np.float32)):
        pixels = (log_mel - log_mel.min()) / (log_mel.max() - log_mel.min()) * 255
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


def write_arrays(folder: Path, log_mels: NDArray[Any]) -> list[Path]:
    """One .npy file a log-mel, float32, standardised."""
    paths = []
    for number, log_mel in enumerate(log_mels.astype(np.float32)):
        paths.append(folder / f"{number}.npy")
        np.save(paths[-1], (log_mel - log_mel.mean()) / log_mel.std())
    return paths


def loader(
    examples: Dataset[Example], *, batch_size: int, num_workers: int, device: torch.device
) -> "DataLoader[Example]":
    """Its workers wait between two passes, so that they take no core from another contender."""
    return DataLoader(
        examples,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=num_workers,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        generator=torch.Generator().manual_seed(0),
    )
