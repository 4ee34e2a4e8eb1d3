"""A clip's audio as it was recorded, for looks and checks: mono, at the file's own rate.

Enters: clips and the recordings of their data set. Leaves: waveforms, or what is made of them. The only file of the
audits that knows how recordings are opened and decoded.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipelines.decoding.decode import Undecodable, Waveform, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.files.clip_file import open_clip
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip

T = TypeVar("T")

# Most corpora have this rate, and then nothing is resampled. No file is too short to be looked at.
_LIKELY = FeatureSpec(sample_rate_hz=44_100, min_duration_s=0.0)
_CLIPS_IN_FLIGHT = 64


def read_audio(recordings: Recordings, clip: Clip) -> Waveform:
    """Reads and decodes one clip without resampling it.

    Raises:
        Undecodable: the clip's file is missing, unreadable or no sound audio.
        StorageError: the store of the recordings is at fault.
    """
    with open_clip(recordings, clip) as source:
        waveform = decode(source, clip, _LIKELY)
        own_rate_hz = waveform.source_rate_hz
        if own_rate_hz is None or own_rate_hz == waveform.sample_rate_hz:
            return waveform
        source.seek(0)
        return decode(source, clip, dataclasses.replace(_LIKELY, sample_rate_hz=own_rate_hz))


def map_audio(
    recordings: Recordings, clips: Sequence[Clip], work: Callable[[Waveform], T], *, num_threads: int = 0
) -> Iterator[tuple[Clip, T | Undecodable]]:
    """Decodes clips and does some work on each, in the order given; a bad file gives its reason and ends nothing.

    Threads share the work, as decoding and FFTs run outside Python's lock; a few clips are in memory at a time.

    Args:
        num_threads: 0 for one per core.
    """

    def read(clip: Clip) -> T | Undecodable:
        try:
            return work(read_audio(recordings, clip))
        except Undecodable as e:
            return e

    with ThreadPoolExecutor(num_threads or os.cpu_count() or 1) as pool:
        for start in range(0, len(clips), _CLIPS_IN_FLIGHT):
            block = clips[start : start + _CLIPS_IN_FLIGHT]
            yield from zip(block, pool.map(read, block), strict=True)
