"""What libsndfile does not know is read by FFmpeg's libraries, whole, in parts and cut off; what it knows never is."""

import contextlib
import io
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from audio_files import CountingSource, clip, encode, encode_av, sweep
from numpy.typing import NDArray

from pipelines.decoding.decode import Undecodable, Waveform, decode
from pipelines.feature_spec import FeatureSpec

DURATION_S = 6.0

# Container, codec, with a picture, rate, samples of silence that the encoder puts before and nobody tells.
_KINDS = {
    "m4a": ("ipod", "aac", False, 22_050, 0),
    "mp4": ("mp4", "aac", True, 44_100, 0),
    "mov": ("mov", "aac", True, 44_100, 0),
    "m4a, lossless": ("ipod", "alac", False, 44_100, 0),
    "mov, 24 bits": ("mov", "pcm_s24le", False, 44_100, 0),
    "mkv": ("matroska", "aac", True, 44_100, 0),
    "mkv, PCM": ("matroska", "pcm_s16le", False, 22_050, 0),
    "webm": ("webm", "libopus", False, 48_000, 0),
    "wma": ("asf", "wmav2", False, 44_100, -2048),
    "aac": ("adts", "aac", False, 44_100, 1024),
    "ts": ("mpegts", "aac", False, 44_100, 1024),
    "flv": ("flv", "aac", False, 44_100, 1024),
    "avi": ("avi", "pcm_s16le", True, 44_100, 0),
    "wv": ("wv", "wavpack", False, 44_100, 0),
    "ac3": ("ac3", "ac3", False, 44_100, 256),
}
_SIZED = ["m4a", "mp4", "mov", "m4a, lossless", "mov, 24 bits", "mkv", "mkv, PCM", "webm", "wma", "avi"]
_EXACT = ["m4a, lossless", "mov, 24 bits", "mkv, PCM", "avi", "wv"]


@pytest.fixture(scope="module", params=_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoded_by_kind() -> dict[str, bytes]:
    return {
        name: encode_av(sweep(DURATION_S, rate), rate_hz=rate, container=container, codec=codec, video=video)
        for name, (container, codec, video, rate, _) in _KINDS.items()
    }


def test_libsndfile_knows_none_of_them(kind: str, encoded_by_kind: dict[str, bytes]) -> None:
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.SoundFile(io.BytesIO(encoded_by_kind[kind]))


def test_rate_length_and_sound_are_the_sources(kind: str, encoded_by_kind: dict[str, bytes]) -> None:
    *_, rate_hz, delay = _KINDS[kind]
    samples = sweep(DURATION_S, rate_hz)
    waveform = _decode(io.BytesIO(encoded_by_kind[kind]), rate_hz)
    assert (waveform.source_rate_hz, waveform.num_channels, waveform.samples.dtype) == (rate_hz, 1, np.float32)
    assert abs(len(waveform.samples) - len(samples) - delay) < 2048  # whole frames, where the end is not announced
    shifted = _shift(waveform.samples, delay)[: len(samples)]
    assert np.corrcoef(shifted, samples[: len(shifted)])[0, 1] > 0.99


@pytest.mark.parametrize(
    "name", ["m4a", "mp4", "mov", "m4a, lossless", "mov, 24 bits", "mkv, PCM", "webm", "avi", "wv"]
)
def test_the_length_is_exact_where_the_container_tells_it(name: str, encoded_by_kind: dict[str, bytes]) -> None:
    rate_hz = _KINDS[name][3]
    assert len(_decode(io.BytesIO(encoded_by_kind[name]), rate_hz).samples) == round(DURATION_S * rate_hz)


def test_lossless_sound_is_exact(encoded_by_kind: dict[str, bytes]) -> None:
    for name, bits in (("m4a, lossless", 24), ("mov, 24 bits", 24), ("mkv, PCM", 16)):
        rate_hz = _KINDS[name][3]
        samples = sweep(DURATION_S, rate_hz)
        decoded = _decode(io.BytesIO(encoded_by_kind[name]), rate_hz).samples
        np.testing.assert_allclose(decoded, samples, atol=2.0 ** (1 - bits))
        np.testing.assert_array_equal(decoded * 2.0 ** (bits - 1), np.round(decoded * 2.0 ** (bits - 1)))


def test_channels_are_averaged_as_ffmpeg_holds_them() -> None:
    stereo_TC = np.stack([sweep(1.0, 44_100), np.full(44_100, 0.25, np.float32)], axis=1)
    encoded = encode_av(stereo_TC, rate_hz=44_100, container="mov", codec="pcm_s16le")
    waveform = _decode(io.BytesIO(encoded), 44_100)
    assert waveform.num_channels == 2
    np.testing.assert_allclose(waveform.samples, stereo_TC.mean(axis=1), atol=2.0**-14)


def test_the_samples_are_those_that_pyav_gives(encoded_by_kind: dict[str, bytes]) -> None:
    with av.open(io.BytesIO(encoded_by_kind["mkv"]), mode="r") as container:
        expected = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    np.testing.assert_array_equal(_decode(io.BytesIO(encoded_by_kind["mkv"]), 44_100).samples, expected)


@pytest.mark.parametrize(("offset_s", "duration_s"), [(0.0, 0.5), (0.7, 0.3), (2.345, 1.0), (5.5, None), (5.5, 9.0)])
def test_a_part_is_that_part_of_the_whole(
    kind: str, offset_s: float, duration_s: float | None, encoded_by_kind: dict[str, bytes]
) -> None:
    rate_hz = _KINDS[kind][3]
    whole = _decode(io.BytesIO(encoded_by_kind[kind]), rate_hz).samples
    part = _decode(io.BytesIO(encoded_by_kind[kind]), rate_hz, offset_s=offset_s, duration_s=duration_s).samples
    first = round(offset_s * rate_hz)
    expected = whole[first:] if duration_s is None else whole[first : first + round(duration_s * rate_hz)]
    assert len(part) == len(expected)
    # AAC's noise substitution draws on a state that a seek resets; these sweeps do not use it.
    np.testing.assert_allclose(part, expected, atol=0 if kind in _EXACT else 1e-4)


def test_a_part_behind_the_end_has_no_samples(kind: str, encoded_by_kind: dict[str, bytes]) -> None:
    assert _reason(encoded_by_kind[kind], _KINDS[kind][3], offset_s=60.0, duration_s=1.0) == "no_samples"


def test_a_part_of_a_long_mp4_costs_its_part() -> None:
    encoded = encode_av(sweep(120.0, 44_100), rate_hz=44_100, container="mov", codec="pcm_s16le")
    source = CountingSource(encoded)
    assert len(_decode(source, 44_100, offset_s=60.0, duration_s=1.0).samples) == 44_100
    assert source.num_bytes_read < len(encoded) // 10


@pytest.mark.parametrize("name", _SIZED)
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("columns", [{}, {"duration_s": 0.5}])
def test_a_truncated_container_that_tells_its_size(
    name: str, kept: float, columns: dict[str, float], encoded_by_kind: dict[str, bytes]
) -> None:
    encoded = encoded_by_kind[name]
    assert _reason(encoded[: int(kept * len(encoded))], _KINDS[name][3], **columns) == "truncated"


def test_a_truncated_frame_is_noticed_where_nothing_is_announced(encoded_by_kind: dict[str, bytes]) -> None:
    encoded = encoded_by_kind["aac"]
    assert _reason(encoded[: len(encoded) * 9 // 10], 44_100) == "truncated"


def test_a_stream_shorter_than_announced_is_truncated(encoded_by_kind: dict[str, bytes]) -> None:
    encoded = encoded_by_kind["mkv, PCM"]
    segment = encoded.index(b"\x18\x53\x80\x67") + 4
    live = encoded[:segment] + b"\x01" + b"\xff" * 7 + encoded[segment + 8 :]  # a segment of unknown size
    assert len(_decode(io.BytesIO(live), 22_050).samples) == round(DURATION_S * 22_050)
    assert _reason(live[: len(live) * 3 // 4], 22_050) == "truncated"


def test_a_video_without_sound_is_no_audio() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    with pytest.raises(Undecodable, match="not_audio: the file holds no sound"):
        _decode(io.BytesIO(file.getvalue()), 44_100)


def test_a_codec_without_a_name_is_no_audio(encoded_by_kind: dict[str, bytes]) -> None:
    encoded = encoded_by_kind["m4a"].replace(b"stsd", b"stsx")  # the box that names it
    with pytest.raises(Undecodable, match="not_audio: the codec of the sound is not known"):
        _decode(io.BytesIO(encoded), 22_050)


def test_every_frame_that_pyav_gives_is_there() -> None:
    for container, codec in (("wv", "wavpack"), ("asf", "wmav2"), ("matroska", "flac"), ("mov", "pcm_s16le")):
        encoded = encode_av(sweep(2.0, 44_100), rate_hz=44_100, container=container, codec=codec)
        with av.open(io.BytesIO(encoded), mode="r") as file:
            expected = np.concatenate([frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)])
        assert len(_decode(io.BytesIO(encoded), 44_100).samples) == len(expected)


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile '{}'\n"])
def test_a_playlist_opens_no_other_file(tmp_path: Any, text: str) -> None:
    (tmp_path / "secret.wav").write_bytes(encode(sweep(1.0, 44_100), rate_hz=44_100))
    assert _reason(text.format(tmp_path / "secret.wav").encode(), 44_100) == "not_audio"


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "OGG", "MP3", "AU", "CAF", "RF64", "W64"])
def test_a_file_that_libsndfile_knows_is_never_given_to_ffmpeg(monkeypatch: pytest.MonkeyPatch, container: str) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("given to FFmpeg")

    monkeypatch.setattr("pipelines.decoding.av.read", refuse)
    encoded = encode(sweep(1.0, 44_100), rate_hz=44_100, format=container)
    for kept in (4, 13, 20, 40, 60, 100, 500, 5_000):
        with contextlib.suppress(Undecodable):
            _decode(io.BytesIO(encoded[:kept]), 44_100)


def test_the_detail_is_one_line_and_the_same_every_time(encoded_by_kind: dict[str, bytes]) -> None:
    broken = encoded_by_kind["m4a"].replace(b"moov", b"mooo")
    details = set()
    for _ in range(3):
        with pytest.raises(Undecodable) as caught:
            _decode(io.BytesIO(broken), 22_050)
        details.add(caught.value.detail)
    (detail,) = details
    assert detail
    assert "\n" not in detail
    assert "0x" not in detail


def test_a_fault_of_the_storage_is_not_the_clips(encoded_by_kind: dict[str, bytes]) -> None:
    class Failing(CountingSource):
        def readinto(self, buffer: Any, /) -> int:
            if self.num_bytes_read > 20_000:
                raise ConnectionError("the store is gone")
            return super().readinto(buffer)

    with pytest.raises(ConnectionError, match="the store is gone"):
        _decode(Failing(encoded_by_kind["mkv"]), 44_100, offset_s=0.1)


def _shift(samples: NDArray[np.float32], delay: int) -> NDArray[np.float32]:
    """Samples without the first `delay` ones, or, as WMA lacks its first frame, with as many zeros before."""
    return samples[delay:] if delay >= 0 else np.concatenate([np.zeros(-delay, np.float32), samples])


def _decode(source: Any, rate_hz: int, **columns: Any) -> Waveform:
    return decode(source, clip(**columns), FeatureSpec(sample_rate_hz=rate_hz))


def _reason(encoded: bytes, rate_hz: int, **columns: Any) -> str:
    with pytest.raises(Undecodable) as caught:
        _decode(io.BytesIO(encoded), rate_hz, **columns)
    return caught.value.reason
