"""Bytes on disk → mono waveform at the spec's rate, or a reason why not. The only file that imports soundfile and soxr
for reading.

Enters: a clip of the manifest. Leaves: a `Waveform`, or `Undecodable` with a reason of one line.
"""

import hashlib
import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipelines.feature_spec import FeatureSpec, seconds_to_samples
from pipelines.manifest import Clip

_SOXR_QUALITY = {"soxr_hq": "HQ", "soxr_vhq": "VHQ"}

# No audio is recorded below it; a damaged header that says 1 Hz would make the resampler ask for gigabytes.
_LOWEST_RATE_HZ = 1000

_OGG_PAGE_HEADER_BYTES = 27
_OGG_LAST_PAGE_FLAG = 0x04


class Undecodable(Exception):
    """This clip cannot become features. `reason` is a short fixed word, `detail` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Waveform:
    """Mono audio.

    Attributes:
        samples: float32 of shape (num_samples,), nominally in [-1, 1].
        sample_rate_hz: the rate of `samples`.
        source_rate_hz, num_channels: what the file had.
        pcm_sha256: hash of the decoded samples before downmix and resampling; equal audio in different containers
            has the same hash.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    source_rate_hz: int
    num_channels: int
    pcm_sha256: str


def decode(encoded: bytes, clip: Clip, spec: FeatureSpec) -> Waveform:
    """Decodes, cuts, downmixes (mean of channels) and resamples one clip.

    A file that was cut off is found out even where the clip ends before the cut, in WAV, AIFF, FLAC, Ogg and MP3; the
    other formats that libsndfile reads come back as long as they are.

    Raises:
        Undecodable: with one of the reasons empty_file, not_audio, truncated, no_samples, not_finite, too_short.
    """
    if not encoded:
        raise Undecodable("empty_file", "the file has zero bytes")
    samples_TC, rate_hz = _read(encoded, clip)
    if len(samples_TC) == 0:
        raise Undecodable("no_samples", "the file decodes to no samples in the clip's range")
    duration_s = len(samples_TC) / rate_hz
    if duration_s < spec.min_duration_s:
        raise Undecodable("too_short", f"{duration_s:.3f} s; features.min_duration_s is {spec.min_duration_s:g}")
    digest = hashlib.sha256(np.ascontiguousarray(samples_TC).tobytes()).hexdigest()
    mono = samples_TC.mean(axis=1, dtype=np.float32) if samples_TC.shape[1] > 1 else samples_TC[:, 0]
    if rate_hz != spec.sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, spec.sample_rate_hz, quality=_SOXR_QUALITY[spec.resampler])
    # After resampling, as finite samples near the end of float32's range overflow there or in the mean of channels.
    if not np.isfinite(mono).all():
        raise Undecodable("not_finite", "the samples hold NaN or infinity, or are too large to resample")
    return Waveform(
        samples=np.ascontiguousarray(mono, dtype=np.float32),
        sample_rate_hz=spec.sample_rate_hz,
        source_rate_hz=rate_hz,
        num_channels=samples_TC.shape[1],
        pcm_sha256=digest,
    )


def cut_windows(waveform: Waveform, spec: FeatureSpec) -> NDArray[np.float32]:
    """Windows of a waveform at the spec's rate, the last one zero-padded: float32 (windows, window_samples)."""
    starts = spec.window_starts(len(waveform.samples))
    windows = np.zeros((len(starts), spec.window_samples), dtype=np.float32)
    for row, start in enumerate(starts):
        piece = waveform.samples[start : start + spec.window_samples]
        windows[row, : len(piece)] = piece
    return windows


def _read(encoded: bytes, clip: Clip) -> tuple[NDArray[np.float32], int]:
    try:
        file = soundfile.SoundFile(io.BytesIO(encoded))
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as e:
        raise Undecodable("not_audio", _one_line(e)) from e
    with file:
        rate_hz = int(file.samplerate)
        if rate_hz < _LOWEST_RATE_HZ:
            raise Undecodable("not_audio", f"the header gives a sample rate of {rate_hz} Hz")
        _check_container_is_whole(encoded)
        first, wanted = _sample_range(clip, rate_hz, int(file.frames))
        try:
            file.seek(first)
            samples_TC = file.read(wanted, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as e:
            # The header was good; FLAC reports a missing end in this way.
            raise Undecodable("truncated", f"the header announces {wanted} samples; {_one_line(e)}") from e
    if len(samples_TC) < wanted:
        raise Undecodable("truncated", f"the header announces {wanted} samples, {len(samples_TC)} are there")
    return samples_TC, rate_hz


def _sample_range(clip: Clip, rate_hz: int, num_samples: int) -> tuple[int, int]:
    """First sample and number of samples of the clip in a file of num_samples."""
    duration_s = 0.0 if clip.duration_s is None else clip.duration_s
    if not (math.isfinite(clip.offset_s) and clip.offset_s >= 0 and math.isfinite(duration_s) and duration_s >= 0):
        raise Undecodable("no_samples", f"the clip asks for offset_s {clip.offset_s}, duration_s {clip.duration_s}")
    first = min(seconds_to_samples(clip.offset_s, rate_hz), num_samples)
    wanted = num_samples - first
    if clip.duration_s is not None:
        wanted = min(wanted, seconds_to_samples(clip.duration_s, rate_hz))
    return first, wanted


def _check_container_is_whole(encoded: bytes) -> None:
    # libsndfile quietly shortens a cut-off WAV, AIFF or Ogg to what is there, so their headers are read here.
    if encoded[:4] == b"OggS":
        _check_ogg_ends(encoded)
    elif encoded[:4] == b"RIFF":
        _check_chunk_fits(encoded, b"data", "little")
    elif encoded[:4] == b"FORM":
        _check_chunk_fits(encoded, b"SSND", "big")


def _check_ogg_ends(encoded: bytes) -> None:
    """RFC 3533: the last page of a stream carries a flag, and its segment table gives its length."""
    page = encoded.rfind(b"OggS")
    table = page + _OGG_PAGE_HEADER_BYTES
    if len(encoded) < table or not encoded[page + 5] & _OGG_LAST_PAGE_FLAG:
        raise Undecodable("truncated", "the last Ogg page does not end the stream")
    body = table + encoded[table - 1]
    announced = body + sum(encoded[table:body])
    if announced > len(encoded):
        raise Undecodable("truncated", f"the last Ogg page ends at byte {announced}, {len(encoded)} are there")


def _check_chunk_fits(encoded: bytes, name: bytes, byte_order: Literal["little", "big"]) -> None:
    """RIFF and AIFF: a form of 12 bytes, then chunks of a name, a length and a body padded to even length."""
    position = 12
    while position + 8 <= len(encoded):
        size_bytes = int.from_bytes(encoded[position + 4 : position + 8], byte_order)
        if encoded[position : position + 4] == name:
            streamed = size_bytes >= 2**32 - 64  # by a tool that could not seek back to fill in the size
            if position + 8 + size_bytes > len(encoded) and not streamed:
                missing = position + 8 + size_bytes - len(encoded)
                raise Undecodable("truncated", f"{missing} of {size_bytes} bytes of the samples are missing")
            return
        position += 8 + size_bytes + size_bytes % 2
    raise Undecodable("truncated", "the file ends before its samples")


def _one_line(error: Exception) -> str:
    # Not str() of libsndfile's own errors, which holds the address of the file object and differs from run to run.
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return " ".join(text.split())
