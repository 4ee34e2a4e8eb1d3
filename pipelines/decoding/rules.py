"""What both decoders hold to: the reasons for refusing a file, the limits, and a clip's range in samples.

`decode.py` and `av.py` hand over blocks of samples as they come out of the file, and `gather` joins them. So a
header that announces more than is there costs no memory, whatever the format.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.feature_spec import seconds_to_samples
from pipelines.manifest import Clip

MAX_CHANNELS = 32

# No audio is recorded below or above; a damaged header that says 1 Hz would make the resampler ask for gigabytes.
LOWEST_RATE_HZ = 1_000
HIGHEST_RATE_HZ = 1_000_000

# Samples of all channels in one clip, 2 GiB as float32. A FLAC of a few megabytes can hold days of silence.
MAX_CLIP_SAMPLES = 2**29

# Samples of all channels that are asked for at once; 95 s of mono sound at 44.1 kHz are read in one piece.
BLOCK_SAMPLES = 2**22


class Undecodable(Exception):
    """This clip cannot become features. `reason` is a short fixed word, `detail` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


def check_header(rate_hz: int, num_channels: int) -> None:
    """Refuses rates that no audio has, and more channels than anybody records.

    Raises:
        Undecodable: with the reason not_audio or too_many_channels.
    """
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise Undecodable("not_audio", f"the header gives a sample rate of {rate_hz} Hz")
    if num_channels < 1:
        raise Undecodable("not_audio", "the header gives no channel")
    if num_channels > MAX_CHANNELS:
        raise Undecodable(
            "too_many_channels", f"the header gives {num_channels} channels; at most {MAX_CHANNELS} are read"
        )


def clip_range(clip: Clip, rate_hz: int) -> tuple[int, int | None]:
    """First sample of the clip and the number of samples it asks for; None for all up to the end.

    Raises:
        Undecodable: no_samples, where offset_s or duration_s is negative, infinite or not a number.
    """
    duration_s = 0.0 if clip.duration_s is None else clip.duration_s
    if not (math.isfinite(clip.offset_s) and clip.offset_s >= 0 and math.isfinite(duration_s) and duration_s >= 0):
        raise Undecodable("no_samples", f"the clip asks for offset_s {clip.offset_s}, duration_s {clip.duration_s}")
    wanted = None if clip.duration_s is None else seconds_to_samples(duration_s, rate_hz)
    return seconds_to_samples(clip.offset_s, rate_hz), wanted


def gather(blocks_TC: Iterable[NDArray[Any]], num_channels: int) -> NDArray[Any]:
    """Joins blocks of samples, each of shape (time, channels) and all of one dtype, as they are decoded.

    Raises:
        Undecodable: too_long, as soon as there are more than MAX_CLIP_SAMPLES.
    """
    kept: list[NDArray[Any]] = []
    num_samples = 0
    for block_TC in blocks_TC:
        kept.append(block_TC)
        num_samples += block_TC.size
        if num_samples > MAX_CLIP_SAMPLES:
            raise Undecodable("too_long", f"the clip has more than {MAX_CLIP_SAMPLES} samples; cut it with duration_s")
    if len(kept) == 1:
        return kept[0]
    return np.concatenate(kept) if kept else np.zeros((0, num_channels), dtype=np.float32)
