"""An encoded file → mono waveform at the spec's rate, or a reason why not. The only file that imports soundfile for
reading.

Enters: a seekable file and its clip in the manifest. Leaves: a `Waveform`, or before downmix and resampling a `Pcm`; or
`Undecodable` with a reason of one line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipelines.decoding import av
from pipelines.decoding.containers import check_is_whole, is_for_libsndfile
from pipelines.decoding.encoded import EncodedFile
from pipelines.decoding.pcm import SOXR_QUALITY, Pcm, hash_of_samples
from pipelines.decoding.rules import BLOCK_SAMPLES, MAX_CLIP_SAMPLES, Undecodable, check_header, clip_range, gather
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip

__all__ = ["Undecodable", "Waveform", "cut_windows", "decode", "read_pcm", "waveform_of", "window_starts"]

_DECODER_ERRORS = (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError)
_UNKNOWN_LENGTH = 2**63 - 1  # SF_COUNT_MAX

# ISO/IEC 13818-3, layer III at its lowest bit rate, 8 kbit/s, and 24 kHz: 576 samples in 24 bytes.
_MP3_SAMPLES_PER_BYTE = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Waveform:
    """Mono audio, or IQ samples of a radio.

    Attributes:
        samples: float32 of shape (num_samples,), nominally in [-1, 1]; complex64 of IQ.
        sample_rate_hz: the rate of `samples`.
        source_rate_hz, num_channels: what the file had; None where it tells no rate.
        pcm_hash: XXH3 (128 bits) of the decoded samples before downmix and resampling; equal audio in different
            containers has the same hash. It finds copies, and is no protection against somebody who makes collisions.
    """

    samples: NDArray[Any]
    sample_rate_hz: int
    source_rate_hz: int | None
    num_channels: int
    pcm_hash: str


def decode(source: BinaryIO, clip: Clip, spec: FeatureSpec) -> Waveform:
    """Decodes, cuts, downmixes (mean of channels) and resamples one clip.

    Only what the clip's range needs is read and decoded. libsndfile finds its place by computation in WAV, AIFF, AU,
    CAF, RF64 and W64 and by bisection in FLAC and Ogg; in MP3 it reads all frames up to the range, without decoding
    them. PCM and FLAC give the very samples of the whole decoding, lossy formats nearly (the tests hold them to 1e-4).

    What libsndfile knows by its first bytes is never given to another decoder: if libsndfile finds it damaged, it is.
    FFmpeg (`av.py`) reads MP4/M4A/MOV, Matroska/WebM, ASF/WMA and more, but no WAV with an exotic codec.

    A file that was cut off is found out even where the clip ends before the cut, wherever the container tells its size
    (`containers.check_is_whole` lists them); in FLAC and MP3 only where the clip goes to the end.

    Resampling is libsoxr's, with linear phase: `soxr_hq` has a precision of 20 bits, so rejects images and aliases by
    20 × 6.02 = 120 dB, `soxr_vhq` 28 bits, 169 dB, which is more than float32 samples can show. Both keep the band up
    to 0.913 of the lower Nyquist frequency, roll off by at most 0.01 dB there, and reject from Nyquist on (soxr.h of
    libsoxr 0.1.3: SOXR_20_BITQ, SOXR_28_BITQ, passband_end, stopband_begin, SOXR_ROLLOFF_SMALL).

    Args:
        source: a seekable binary file; it is left open, at any position.

    Raises:
        Undecodable: with one of the reasons empty_file, not_audio, truncated, no_samples, not_finite, too_short,
            too_long, too_many_channels.
        Exception: whatever `source` raised; a fault of the storage is not the clip's.
    """
    return waveform_of(read_pcm(source, clip, spec), spec)


def read_pcm(source: BinaryIO, clip: Clip, spec: FeatureSpec) -> Pcm:
    """Decodes and cuts one clip, and leaves downmix and resampling to others; as `decode` otherwise."""
    with EncodedFile(source, whole=clip.offset_s == 0 and clip.duration_s is None) as encoded:
        if not encoded.size_bytes:
            raise Undecodable("empty_file", "the file has zero bytes")
        samples_TC, rate_hz = _read(encoded, clip)
    if len(samples_TC) == 0:
        raise Undecodable("no_samples", "the file decodes to no samples in the clip's range")
    duration_s = len(samples_TC) / rate_hz
    if duration_s < spec.min_duration_s:
        raise Undecodable("too_short", f"{duration_s:.3f} s; features.min_duration_s is {spec.min_duration_s:g}")
    if len(samples_TC) * spec.sample_rate_hz > MAX_CLIP_SAMPLES * rate_hz:
        raise Undecodable("too_long", f"at {spec.sample_rate_hz} Hz the clip has more than {MAX_CLIP_SAMPLES} samples")
    return Pcm(samples_TC=samples_TC, sample_rate_hz=rate_hz)


def waveform_of(pcm: Pcm, spec: FeatureSpec) -> Waveform:
    """The mean of the channels at the spec's rate.

    Raises:
        Undecodable: not_finite.
    """
    samples_TC = pcm.as_float()
    return Waveform(
        samples=_mono(samples_TC, pcm.sample_rate_hz, spec),
        sample_rate_hz=spec.sample_rate_hz,
        source_rate_hz=pcm.sample_rate_hz,
        num_channels=pcm.num_channels,
        pcm_hash=hash_of_samples(samples_TC),
    )


def cut_windows(waveform: Waveform, spec: FeatureSpec, clip_id: str | None = None) -> NDArray[Any]:
    """Windows of a waveform at the spec's rate, a partial one zero-padded: (windows, window_samples) of its dtype.

    Args:
        clip_id: of the clip, for `windows: random`.

    Raises:
        Undecodable: too_short, where there is no whole window and the spec drops partial ones.
    """
    starts = window_starts(len(waveform.samples), spec, clip_id)
    windows = np.zeros((len(starts), spec.window_samples), dtype=waveform.samples.dtype)
    for row, start in enumerate(starts):
        piece = waveform.samples[start : start + spec.window_samples]
        windows[row, : len(piece)] = piece
    return windows


def window_starts(num_samples: int, spec: FeatureSpec, clip_id: str | None = None) -> list[int]:
    """First samples of the windows of a clip of `num_samples` at the spec's rate.

    Raises:
        Undecodable: too_short, where there is none.
    """
    starts = spec.window_starts(num_samples, clip_id)
    if not starts:
        duration_s = num_samples / spec.sample_rate_hz
        rule = f"features.window_s is {spec.window_s:g}, and features.partial_window is drop"
        raise Undecodable("too_short", f"{duration_s:.3f} s; {rule}")
    return starts


def _mono(samples_TC: NDArray[np.float32], rate_hz: int, spec: FeatureSpec) -> NDArray[np.float32]:
    """The mean of the channels at the spec's rate: float32 (num_samples,)."""
    mono = samples_TC.mean(axis=1, dtype=np.float32) if samples_TC.shape[1] > 1 else samples_TC[:, 0]
    if rate_hz != spec.sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, spec.sample_rate_hz, quality=SOXR_QUALITY[spec.resampler])
    # After resampling, as finite samples near the end of float32's range overflow there or in the mean of channels.
    if not np.isfinite(mono).all():
        raise Undecodable("not_finite", "the samples hold NaN or infinity, or are too large to resample")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _read(encoded: EncodedFile, clip: Clip) -> tuple[NDArray[Any], int]:
    """The clip's samples, int16 or float32 (time, channels), and their rate."""
    try:
        file = soundfile.SoundFile(encoded.stream)
    except _DECODER_ERRORS as e:
        if is_for_libsndfile(encoded):
            raise Undecodable("not_audio", _one_line(e)) from e
        check_is_whole(encoded)
        return av.read(encoded, clip)
    with file:
        check_header(file.samplerate, file.channels)
        check_is_whole(encoded)
        if file.frames == _UNKNOWN_LENGTH:  # a FLAC that was streamed; libsndfile reports an error at its end
            return av.read(encoded, clip)
        return gather(_blocks(file, clip, encoded.size_bytes), file.channels), file.samplerate


def _blocks(file: soundfile.SoundFile, clip: Clip, size_bytes: int) -> Iterator[NDArray[Any]]:
    """The clip's samples, piece by piece: int16 or float32 (time, channels)."""
    first, wanted = clip_range(clip, file.samplerate)
    announced = max(file.frames - first, 0)
    wanted = announced if wanted is None else min(wanted, announced)
    largest_block = _largest_block(file, wanted, size_bytes)
    num_read = 0
    try:
        file.seek(min(first, file.frames))
        while num_read < wanted:
            asked = min(wanted - num_read, largest_block)
            block_TC = _next_block(file, asked)
            num_read += len(block_TC)
            yield block_TC
            if len(block_TC) < asked:
                break
    except _DECODER_ERRORS as e:
        # The header was good; FLAC reports a missing end in this way.
        raise Undecodable("truncated", f"the header announces {wanted} samples; {_one_line(e)}") from e
    if num_read < wanted:
        raise Undecodable("truncated", f"the header announces {wanted} samples, {num_read} are there")


def _next_block(file: soundfile.SoundFile, num_samples: int) -> NDArray[Any]:
    """(time, channels): 16-bit samples as they are, others as float32."""
    # Floats of 16 bits are our own (`Pcm.as_float`): libsndfile makes the same ones in pieces of 4,096 samples, each
    # read through a callback in Python: 5 s of WAV take 0.33 ms, like this 0.09 ms (one core, 2026-11-21).
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    block_TC: NDArray[Any] = file.read(num_samples, dtype=dtype, always_2d=True)
    return block_TC


def _largest_block(file: soundfile.SoundFile, wanted: int, size_bytes: int) -> int:
    """How many samples of each channel may be asked for at once, so that a false header costs no memory."""
    if wanted * file.channels > MAX_CLIP_SAMPLES:
        announced = f"the clip has {wanted * file.channels} samples by its header"
        raise Undecodable("too_long", f"{announced}; at most {MAX_CLIP_SAMPLES} are read")
    if not file.subtype.startswith("MPEG"):
        return max(BLOCK_SAMPLES // file.channels, 1)
    # soundfile 0.14 seeks after each read, and libmpg123 then lacks the bits that a frame borrows from those before it:
    # in pieces, an MP3 would be garbled at each joint.
    if wanted > size_bytes * _MP3_SAMPLES_PER_BYTE:
        raise Undecodable("truncated", f"the header announces {wanted} samples, more than {size_bytes} bytes can hold")
    return max(wanted, 1)


def _one_line(error: Exception) -> str:
    # Not str() of libsndfile's own errors, which holds the address of the file object and differs from run to run.
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return " ".join(text.split())
