"""A clip's audio as it was recorded, for looks and checks: mono, at the file's own rate.

Enters: clips and the recordings of their data set. Leaves: waveforms, or what is made of them. The only file of the
audits that knows how recordings are opened and decoded. Many clips are decoded in processes of their own
(`pipelines/isolation`), so that a decoder that crashes or hangs loses its own clip and nothing else.
"""

import dataclasses
import functools
import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar

from pipelines.decoding.decode import Waveform, decode
from pipelines.decoding.rules import Undecodable
from pipelines.feature_spec import FeatureSpec
from pipelines.files.clip_file import open_clip
from pipelines.files.recordings import Recordings
from pipelines.isolation.isolated_process import IsolatedProcess
from pipelines.isolation.outcomes import raise_error
from pipelines.isolation.server import Lost, OnClip
from pipelines.manifest import Clip
from storage.errors import InvalidInput, StorageError

T = TypeVar("T")
Decode = Callable[[BinaryIO, Clip, FeatureSpec], Waveform]

# Most corpora have this rate, and then nothing is resampled. No file is too short to be looked at.
_LIKELY = FeatureSpec(sample_rate_hz=44_100, min_duration_s=0.0)
# What is computed ahead of a clip that takes long, for each process. Small results, no samples, wait there.
_CLIPS_AHEAD = 32
_REMEDY = "Memory is the usual cause. Free some, or take the clip out, and run again."


def read_audio(recordings: Recordings, clip: Clip) -> Waveform:
    """Reads and decodes one clip in this process, without resampling it.

    Raises:
        Undecodable: the clip's file is missing, unreadable or no sound audio.
        StorageError: the store of the recordings is at fault.
    """
    with open_clip(recordings, clip) as source:
        return _at_own_rate(source, clip, decode)


def map_audio(
    recordings: Recordings,
    clips: Sequence[Clip],
    work: Callable[[Waveform], T],
    *,
    num_processes: int = 0,
    clip_time_limit_s: float = 120.0,
    decode: Decode = decode,
) -> Generator[tuple[Clip, T | Undecodable]]:
    """Decodes clips and does some work on each, in the order given; a bad file gives its reason and ends nothing.

    Child processes share the work. They end with the generator, so close one that is not read to its end.

    Args:
        work: a function that child processes can import, or a partial of one; its results travel as pickles.
        num_processes: 0 for one per core.
        clip_time_limit_s: a clip that takes longer to decode and work on is refused as timed_out.

    Raises:
        StorageError: the store of the recordings is at fault, or processes are killed and no clip is to blame.
    """
    make_reader = pickle.dumps(functools.partial(_Reader, recordings, work, decode))
    num_processes = min(num_processes or os.cpu_count() or 1, max(1, len(clips)))
    idle: SimpleQueue[IsolatedProcess] = SimpleQueue()
    for _ in range(num_processes):
        idle.put(IsolatedProcess(make_reader, clip_time_limit_s=clip_time_limit_s, remedy=_REMEDY))

    def read(clip: Clip) -> T | Undecodable:
        process = idle.get()
        try:
            outcome = process.outcome(clip)
        finally:
            idle.put(process)
        raise_error(outcome)
        return Undecodable(*outcome["refused"]) if "refused" in outcome else outcome["found"]

    pool = ThreadPoolExecutor(num_processes)
    waiting: deque[tuple[Clip, Future[T | Undecodable]]] = deque()
    try:
        for clip in clips:
            waiting.append((clip, pool.submit(read, clip)))
            if len(waiting) > _CLIPS_AHEAD * num_processes:
                first, found = waiting.popleft()
                yield first, found.result()
        yield from ((clip, found.result()) for clip, found in waiting)
    finally:
        pool.shutdown(cancel_futures=True)
        while not idle.empty():
            idle.get().close()


@dataclasses.dataclass(frozen=True, slots=True)
class _Reader:
    """What a child process does with a clip: an `isolation.server.Answer`."""

    recordings: Recordings
    work: Callable[[Waveform], Any]
    decode: Decode

    def __call__(self, clip: Clip, lost: Lost, on_clip: OnClip) -> dict[str, Any]:
        if clip.clip_id in lost:
            return {"refused": lost[clip.clip_id]}
        try:
            with open_clip(self.recordings, clip) as source:
                on_clip(clip.clip_id)
                return {"found": self.work(_at_own_rate(source, clip, self.decode))}
        except Undecodable as e:
            return {"refused": (e.reason, e.detail)}
        except (InvalidInput, StorageError):
            raise
        except Exception as e:  # a bug of ours or of a library, met by one file
            return {"refused": ("internal_error", f"{type(e).__name__}: {' '.join(str(e).split())}")}
        finally:
            on_clip(None)


def _at_own_rate(source: BinaryIO, clip: Clip, decode: Decode) -> Waveform:
    waveform = decode(source, clip, _LIKELY)
    own_rate_hz = waveform.source_rate_hz
    if own_rate_hz is None or own_rate_hz == waveform.sample_rate_hz:
        return waveform
    source.seek(0)
    return decode(source, clip, dataclasses.replace(_LIKELY, sample_rate_hz=own_rate_hz))
