"""What libsndfile does not know, by FFmpeg's libraries: MP4/M4A/MOV, Matroska/WebM, ASF/WMA, AVI, ADTS and some more.
The only file that imports av, and only when such a file comes.

Enters: an encoded file that libsndfile refused as unknown, or a FLAC without a length. Leaves: the samples of its first
audio stream, or `Undecodable`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.decoding.encoded import EncodedFile
from pipelines.decoding.rules import Undecodable, check_header, clip_range, gather
from pipelines.manifest import Clip

# Not all that FFmpeg knows: playlists (hls, concat, dash) name further files and hosts, which a recording must never
# do, and containers that libsndfile knows are its business alone, except a FLAC that was streamed.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,avi,aac,flv,mpegts,mpeg,ogg,amr,amrnb,amrwb,ac3,eac3,dts,wv,ape,tta,"
    "mpc,mpc8,flac"
)

# Their durations are guesses from the bit rate.
_GUESSED_DURATION = {"aac", "ac3", "eac3", "dts", "amr", "amrnb", "amrwb", "mpegts", "mpeg", "flv"}

# Their time stamps are exact after seeking; raw AC-3's, for one, are not (measured on FFmpeg 8.0, 2026-11-21).
_EXACT_AFTER_SEEKING = {"mov", "aac", "mpegts"}

# A decoder needs frames before the first one that counts: for the overlap of transforms, Opus' 80 ms (RFC 7845), the
# bit reservoirs of WMA and MP3.
_PREROLL_S = 0.5

# Containers in milliseconds round, and the last frame of a lossy codec may be announced whole or in part.
_DURATION_TOLERANCE_S = 0.1

_INTEGER_SCALE = {"uint8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "int64": 2.0**63}


def read(encoded: EncodedFile, clip: Clip) -> tuple[NDArray[np.float32], int]:
    """The clip's samples of the file's first audio stream.

    A range is read by seeking before it and dropping samples up to its first one, where time stamps are exact and finer
    than a sample (MP4/M4A/MOV, ADTS, MPEG-TS). Where they are not (Matroska/WebM, ASF and FLV count in milliseconds),
    all before the range is decoded and dropped: slower, but exact to the sample. Time 0 is the first sample that the
    stream decodes to, not the video's beginning. Encoders put 1024 and more samples of silence before the first one;
    MP4, WebM and Matroska tell how many, and they are dropped; ADTS, MPEG-TS, FLV and AVI do not, and they stay.

    A stream that ends more than 0.1 s before its announced duration is truncated; that is noticed where the clip goes
    to the end and the container announces one. (Containers shorter than their own sizes are found out before, see
    `containers`.) ADTS, AMR, AC-3 and MPEG streams announce nothing.

    Returns:
        float32 of shape (time, channels), nominally in [-1, 1], and the rate in Hz.

    Raises:
        Undecodable: not_audio, truncated, too_many_channels, too_long or no_samples.
    """
    import av

    failures = (av.FFmpegError, ValueError, RuntimeError, MemoryError, OverflowError)
    encoded.stream.seek(0)
    try:
        container = av.open(
            encoded.stream, mode="r", options={"format_whitelist": _CONTAINERS}, metadata_errors="replace"
        )
    except failures as e:
        raise Undecodable("not_audio", _one_line(e)) from e
    with container:
        try:
            track = _first_track(container)
            return gather(_blocks(track, clip), track.num_channels), track.rate_hz
        except failures as e:
            raise Undecodable("truncated", _one_line(e)) from e


@dataclass(frozen=True, kw_only=True, slots=True)
class _Track:
    """An audio stream of an open container, the first frame that it decodes to, and the others as they come.

    Rate and channels are that frame's: HE-AAC announces half the rate that it decodes to.
    """

    container: Any
    stream: Any
    opening: Any
    others: Iterator[Any]
    rate_hz: int
    num_channels: int

    @property
    def samples_per_tick(self) -> Fraction:
        """A tick is the unit of the container's time stamps."""
        return self.stream.time_base * self.rate_hz

    def is_of(self, *formats: str) -> bool:
        return not set(formats).isdisjoint(self.container.format.name.split(","))


def _first_track(container: Any) -> _Track:
    if not container.streams.audio:
        raise Undecodable("not_audio", "the file holds no sound")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise Undecodable("not_audio", "the codec of the sound is not known")
    stream.codec_context.thread_count = 1  # the workers share the cores
    frames = container.decode(stream)
    opening = next(frames, None)
    if opening is None:
        reason = "truncated" if container.duration else "no_samples"
        raise Undecodable(reason, "the sound has no frame that could be decoded")
    rate_hz, num_channels = opening.sample_rate, opening.layout.nb_channels
    check_header(rate_hz, num_channels)
    return _Track(
        container=container, stream=stream, opening=opening, others=frames, rate_hz=rate_hz, num_channels=num_channels
    )


def _blocks(track: _Track, clip: Clip) -> Iterator[NDArray[np.float32]]:
    """The clip's samples, frame by frame: float32 (time, channels)."""
    first, wanted = clip_range(clip, track.rate_hz)
    announced = _announced_samples(track)
    end = first + wanted if wanted is not None else None
    if track.samples_per_tick == 1 and announced is not None:  # what lies behind is the encoder's padding
        end = announced if end is None else min(end, announced)
    position = 0
    for position, frame in _frames(track, first):
        block_TC = _samples(frame, track)
        kept_TC = block_TC[max(first - position, 0) : None if end is None else max(end - position, 0)]
        position += len(block_TC)
        if len(kept_TC):
            yield kept_TC
        if end is not None and position >= end:
            return
    if announced is not None and first < announced and position < announced - _DURATION_TOLERANCE_S * track.rate_hz:
        raise Undecodable("truncated", f"the container announces {announced} samples, {position} are there")


def _frames(track: _Track, first: int) -> Iterator[tuple[int, Any]]:
    """Decoded frames with their positions in samples, at the latest from the one that holds the sample `first`."""
    position, opening, others = 0, track.opening, track.others
    start_s = first / track.rate_hz - _PREROLL_S
    exact = track.samples_per_tick <= 1 and track.is_of(*_EXACT_AFTER_SEEKING)
    if start_s > 0 and exact and track.opening.pts is not None:
        track.container.seek(track.opening.pts + int(start_s / track.stream.time_base), stream=track.stream)
        others = track.container.decode(track.stream)
        opening = next(others, None)
        if opening is None or opening.pts is None:
            return
        position = round((opening.pts - track.opening.pts) * track.samples_per_tick)
        if position > first:
            raise Undecodable("not_audio", f"the sample {first} cannot be sought; the next place is {position}")
    for frame in itertools.chain([opening], others):
        yield position, frame
        position += frame.samples


def _announced_samples(track: _Track) -> int | None:
    """The stream's length by its container; None where there is only a guess, or a duration that may be the video's."""
    if track.is_of(*_GUESSED_DURATION):
        return None
    if track.stream.duration is not None:
        return round(track.stream.duration * track.samples_per_tick)
    if track.container.duration is not None and len(track.container.streams) == 1:
        return track.container.duration * track.rate_hz // 1_000_000  # in microseconds
    return None


def _samples(frame: Any, track: _Track) -> NDArray[np.float32]:
    """A frame as float32 (time, channels); integers of n bits are divided by 2 ** (n - 1), as libsndfile does."""
    if (frame.sample_rate, frame.layout.nb_channels) != (track.rate_hz, track.num_channels):
        raise Undecodable("not_audio", "the sample rate or the number of channels changes within the file")
    array = frame.to_ndarray()
    samples_TC = array.T if frame.format.is_planar else array.reshape(-1, track.num_channels)
    if array.dtype.kind == "f":
        return samples_TC.astype(np.float32)
    middle = 128 if array.dtype == np.uint8 else 0
    return ((samples_TC.astype(np.float64) - middle) / _INTEGER_SCALE[array.dtype.name]).astype(np.float32)


def _one_line(error: Exception) -> str:
    # Not str() of FFmpeg's errors, which may hold its last log message with the address of an object.
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
