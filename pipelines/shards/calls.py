"""Decoded clips on their way to a backend, and how many go there in one call."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pipelines.decoding.pcm import Pcm
from pipelines.manifest import Clip

# Backends are called with at least this many windows, where there are so many: a GPU wants a full batch, and
# DALI computes full ones in any case. More would only hold more memory.
_WINDOWS_PER_CALL = 32

# As decoded a clip is whole, so samples are counted, too: two of the device's uploads (device_resampling.py), or one
# long recording.
_PCM_WINDOWS_PER_CALL = 128
_PCM_VALUES_PER_CALL = 2**25


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedClip:
    """A clip on its way to the backend: the windows of each of its variants, the original first.

    Attributes:
        provenance: what the file had.
        windows: variant → float32, or complex64 of IQ samples, (windows, window_samples).
        num_samples: variant → its length at the spec's rate, all windows together.
    """

    clip: Clip
    provenance: Mapping[str, Any]
    windows: Mapping[str, NDArray[Any]]
    num_samples: Mapping[str, int]

    @property
    def fills(self) -> float:
        """Which part of a call it fills."""
        return sum(map(len, self.windows.values())) / _WINDOWS_PER_CALL


@dataclass(frozen=True, kw_only=True, slots=True)
class PcmClip:
    """A clip on its way to a `PcmBackend`: as decoded, and where its windows begin.

    Attributes:
        num_samples: as of `DecodedClip`; of the original, the only variant there is on this way.
    """

    clip: Clip
    provenance: Mapping[str, Any]
    pcm: Pcm
    starts: Sequence[int]
    num_samples: Mapping[str, int]

    @property
    def fills(self) -> float:
        return max(len(self.starts) / _PCM_WINDOWS_PER_CALL, self.pcm.samples_TC.size / _PCM_VALUES_PER_CALL)


def batches(decoded: Iterable[DecodedClip | PcmClip]) -> Iterator[list[DecodedClip | PcmClip]]:
    """Clips until a call is full, or what it holds is as large as if it were."""
    batch: list[DecodedClip | PcmClip] = []
    filled = 0.0
    for clip in decoded:
        batch.append(clip)
        filled += clip.fills
        if filled >= 1.0:
            yield batch
            batch, filled = [], 0.0
    if batch:
        yield batch
