"""Audio files for the tests of decoding, made by libsndfile and by FFmpeg, and a source that counts its reads."""

import io
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.manifest import Clip


def clip(**columns: Any) -> Clip:
    return Clip(clip_id="a", recording_id="a", uri="a", labels=("tone",), **columns)


def sweep(duration_s: float, rate_hz: int) -> NDArray[np.float32]:
    """A tone that rises from 200 Hz by 200 Hz each second: no two pieces of it are alike."""
    at_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * (200 * at_s + 100 * at_s**2))).astype(np.float32)


def encode(samples: NDArray[Any], *, rate_hz: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    """By libsndfile. In pieces, as libsndfile 1.2.2 overflows its stack when it writes minutes of Vorbis at once."""
    file = io.BytesIO()
    num_channels = samples.shape[1] if samples.ndim == 2 else 1
    with soundfile.SoundFile(file, "w", rate_hz, num_channels, subtype, format=format) as encoder:
        for start in range(0, len(samples), 65_536):
            encoder.write(samples[start : start + 65_536])
    return file.getvalue()


def encode_av(samples: NDArray[np.float32], *, rate_hz: int, container: str, codec: str, video: bool = False) -> bytes:
    """By FFmpeg: (time,) or (time, 2) float32 as the sound of a container, with a picture that changes if asked for."""
    file = io.BytesIO()
    layout = "stereo" if samples.ndim == 2 else "mono"
    with av.open(file, "w", format=container) as out:
        pictures = _picture_stream(out) if video else None
        stream: Any = out.add_stream(codec, rate=rate_hz, layout=layout)
        stream.bit_rate = 128_000  # WMA has no default
        resampler = av.AudioResampler(stream.format.name if stream.format else "s16", layout, rate_hz)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        if pictures is not None:
            _add_pictures(out, pictures, num_pictures=int(len(samples) / rate_hz * 10))
        for piece in [*resampler.resample(frame), None]:
            out.mux(stream.encode(piece))
    return file.getvalue()


def _picture_stream(out: Any) -> Any:
    stream = out.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    return stream


def _add_pictures(out: Any, stream: Any, *, num_pictures: int) -> None:
    for number in range(num_pictures):
        picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 255, np.uint8), format="rgb24")
        picture.pts = number
        out.mux(stream.encode(picture))
    out.mux(stream.encode(None))


class CountingSource(io.RawIOBase):
    """A file that counts the bytes read from it, and gives at most `largest_read` at once, as the network may."""

    def __init__(self, encoded: bytes, *, largest_read: int = 65_536) -> None:
        self._file, self._largest_read = io.BytesIO(encoded), largest_read
        self.num_bytes_read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        piece = self._file.read(min(len(buffer), self._largest_read))
        buffer[: len(piece)] = piece
        self.num_bytes_read += len(piece)
        return len(piece)
