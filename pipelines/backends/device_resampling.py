"""PCM → windows at the spec's rate on the device: upload as it was decoded, then scale, downmix and resample there.

Enters: clips as decoded, and where their windows begin. Leaves: windows on the device, batch by batch. Each window
takes along what the resampler sees of its clip, so that all pieces of one rate have one length, whatever the clips'
lengths: a corpus goes up in few large batches, and a window depends on nothing but its clip. The backends `torch` and
`dali` share this.

Shapes: B = windows, P = samples of a piece, C = channels, N = samples of a window, K and O as in soxr_filters.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.backends.soxr_filters import PeriodicFilter, measured_filter
from pipelines.decoding.pcm import SOXR_QUALITY, Pcm, num_resampled
from pipelines.feature_spec import FeatureSpec

_INT16_SCALE = 2.0**-15

# Samples of one upload on a GPU: 75 clips of 5 s and 44.1 kHz, 32 MiB. They become 0.6 GiB on the way to log-mels, and
# several processes share a GPU.
_SAMPLES_PER_UPLOAD = 2**24


@dataclass(frozen=True, slots=True)
class Place:
    """Which window of which clip of a call."""

    clip: int
    window: int
    first_sample: int


class DeviceResampler:
    """Makes windows of clips, all of the work on one device. Used by one thread.

    The samples are libsoxr's to about 1e-6 of full scale, edges and lengths included (`soxr_filters.py`).

    Args:
        most_windows: of a batch, whatever its size in samples.
    """

    def __init__(self, spec: FeatureSpec, device: torch.device, *, most_windows: int) -> None:
        self._spec, self._device, self._most_windows = spec, device, most_windows
        self._filters: dict[int, _FilterOnDevice | None] = {}

    def takes(self, pcm: Pcm) -> bool:
        """Whether there is a filter for its rate, and no sample could overflow; else the host has to do it."""
        same_rate = pcm.sample_rate_hz == self._spec.sample_rate_hz
        return (same_rate or self._filter(pcm.sample_rate_hz) is not None) and pcm.is_moderate()

    def batches(
        self, clips: Sequence[Pcm], starts: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[Place], torch.Tensor]]:
        """Windows of all clips, in batches of one rate, number of channels and dtype each.

        Args:
            starts: first samples of each clip's windows, at the spec's rate.

        Yields:
            the windows' places, and float32 (windows, window_samples) on the device, zero-padded at the clip's end.
        """
        alike: dict[tuple[int, int, np.dtype], list[Place]] = defaultdict(list)
        for number, (pcm, firsts) in enumerate(zip(clips, starts, strict=True)):
            places = alike[pcm.sample_rate_hz, pcm.num_channels, pcm.samples_TC.dtype]
            places.extend(Place(number, window, first) for window, first in enumerate(firsts))
        for (rate_hz, num_channels, _), places in alike.items():
            size = self._batch_size(rate_hz, num_channels)
            for start in range(0, len(places), size):
                batch = places[start : start + size]
                yield batch, self._windows([clips[place.clip] for place in batch], batch)

    def _batch_size(self, rate_hz: int, num_channels: int) -> int:
        by_samples = _SAMPLES_PER_UPLOAD // (self._num_inputs(rate_hz) * num_channels)
        return max(1, min(self._most_windows, by_samples))

    def _num_inputs(self, rate_hz: int) -> int:
        found = self._filter(rate_hz)
        return self._spec.window_samples if found is None else found.numbers.num_inputs(self._spec.window_samples)

    def _filter(self, rate_hz: int) -> "_FilterOnDevice | None":
        if rate_hz not in self._filters:
            found = None
            if rate_hz != self._spec.sample_rate_hz:
                found = measured_filter(rate_hz, self._spec.sample_rate_hz, SOXR_QUALITY[self._spec.resampler])
            self._filters[rate_hz] = None if found is None else _FilterOnDevice(found, self._device)
        return self._filters[rate_hz]

    def _windows(self, clips: Sequence[Pcm], places: Sequence[Place]) -> torch.Tensor:
        rate_hz, found = clips[0].sample_rate_hz, self._filter(clips[0].sample_rate_hz)
        firsts = [place.first_sample for place in places]
        cuts = [(first, 0) if found is None else found.numbers.place(first) for first in firsts]
        pieces_BP = _downmixed(self._upload(clips, [first_input for first_input, _ in cuts]))
        windows_BN = pieces_BP
        if found is not None:
            at_start = torch.tensor([first < found.numbers.block_out for first in firsts], device=self._device)
            outputs = found.apply(pieces_BP, at_start)
            length = self._spec.window_samples
            windows_BN = torch.stack(
                [row[phase : phase + length] for row, (_, phase) in zip(outputs, cuts, strict=True)]
            )
        # Beyond the clip's end the filter rings on; a window has zeros there.
        lengths = [num_resampled(len(pcm.samples_TC), rate_hz, self._spec.sample_rate_hz) for pcm in clips]
        left = torch.tensor(
            [length - first for length, first in zip(lengths, firsts, strict=True)], device=self._device
        )
        return windows_BN * (torch.arange(windows_BN.shape[1], device=self._device) < left[:, None])

    def _upload(self, clips: Sequence[Pcm], first_inputs: Sequence[int]) -> torch.Tensor:
        """(B, P, C) as decoded, with zeros where there is no clip."""
        samples = clips[0].samples_TC
        shape = (len(clips), self._num_inputs(clips[0].sample_rate_hz), samples.shape[1])
        on_gpu = self._device.type == "cuda"
        pieces = torch.empty(
            shape, dtype=torch.int16 if samples.dtype == np.int16 else torch.float32, pin_memory=on_gpu
        )
        for piece, pcm, first in zip(pieces.numpy(), clips, first_inputs, strict=True):
            _fill(piece, pcm.samples_TC, first)
        return pieces.to(self._device, non_blocking=True)


class _FilterOnDevice:
    def __init__(self, numbers: PeriodicFilter, device: torch.device) -> None:
        self.numbers = numbers
        self._kernel_KO = torch.from_numpy(numbers.kernel_KO).to(device)
        self._head_RE = None if numbers.head_RE is None else torch.from_numpy(numbers.head_RE).to(device)

    def apply(self, pieces_BP: torch.Tensor, at_start: torch.Tensor) -> torch.Tensor:
        """Pieces that begin at a block → all outputs of their blocks; `at_start` (B,) tells which begin their clip."""
        blocks = pieces_BP.unfold(1, len(self._kernel_KO), self.numbers.block_in)
        outputs = (blocks @ self._kernel_KO).flatten(1)  # not conv1d, which cuDNN may do in TF32, to 1e-3
        if self._head_RE is not None:
            num_inputs, num_first = self._head_RE.shape
            before = self.numbers.num_before
            head_BE = pieces_BP[:, before : before + num_inputs] @ self._head_RE
            outputs[:, :num_first] = torch.where(at_start[:, None], head_BE, outputs[:, :num_first])
        return outputs


def _downmixed(pieces_BPC: torch.Tensor) -> torch.Tensor:
    """Float32 (B, P): full scale is 1, the mean of the channels."""
    samples = pieces_BPC.to(torch.float32)
    if pieces_BPC.dtype == torch.int16:
        samples *= _INT16_SCALE
    return samples[:, :, 0] if samples.shape[2] == 1 else samples.mean(dim=2)


def _fill(piece_PC: NDArray[np.generic], samples_TC: NDArray[np.generic], first: int) -> None:
    """Copies samples from `first` on, which may lie before the clip; what the clip does not have is zero."""
    start, end = max(first, 0), max(0, min(first + len(piece_PC), len(samples_TC)))
    piece_PC[: start - first] = 0
    piece_PC[start - first : max(end, start) - first] = samples_TC[start:end]
    piece_PC[max(end, start) - first :] = 0
