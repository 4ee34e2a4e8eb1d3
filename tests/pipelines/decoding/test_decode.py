"""Every recording ends as a waveform of the right length and values, or as a reason why not."""

import io
import math
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import xxhash
from numpy.typing import NDArray

from pipelines.decoding.decode import Undecodable, Waveform, cut_windows, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz


class TestWaveforms:
    def test_sixteen_bits_at_the_specs_rate_are_passed_through(self) -> None:
        samples = _tone(1.0)
        waveform = _decode(_encode(samples))
        assert waveform.samples.dtype == np.float32
        assert (waveform.sample_rate_hz, waveform.source_rate_hz, waveform.num_channels) == (RATE_HZ, RATE_HZ, 1)
        np.testing.assert_allclose(waveform.samples, samples, atol=2**-15)

    def test_twenty_four_bits_keep_their_precision(self) -> None:
        samples = _tone(1.0)
        np.testing.assert_allclose(_decode(_encode(samples, subtype="PCM_24")).samples, samples, atol=2**-23)

    def test_floats_beyond_one_are_not_clipped(self) -> None:
        samples = (4.0 * _tone(1.0)).astype(np.float32)
        np.testing.assert_array_equal(_decode(_encode(samples, subtype="FLOAT")).samples, samples)

    def test_flac_equals_wav(self) -> None:
        samples = (32_767 * _tone(1.0)).astype(np.int16)  # integers, as libsndfile rounds floats in two ways
        wav, flac = _decode(_encode(samples)), _decode(_encode(samples, format="FLAC"))
        np.testing.assert_array_equal(flac.samples, wav.samples)
        assert flac.pcm_hash == wav.pcm_hash

    def test_ogg_is_as_long_as_its_source_and_close_to_it(self) -> None:
        samples = _tone(2.0)
        decoded = _decode(_encode(samples, format="OGG", subtype="VORBIS")).samples
        assert len(decoded) == len(samples)
        assert np.corrcoef(decoded, samples)[0, 1] > 0.999

    def test_channels_are_averaged(self) -> None:
        left, right = _tone(1.0), 0.25 * np.ones(RATE_HZ)
        waveform = _decode(_encode(np.stack([left, right], axis=1), subtype="FLOAT"))
        assert waveform.num_channels == 2
        np.testing.assert_allclose(waveform.samples, (left + right) / 2, atol=1e-7)

    def test_eight_kilohertz_become_the_specs_rate(self) -> None:
        waveform = _decode(_encode(_tone(1.0, rate_hz=8_000), rate_hz=8_000, subtype="FLOAT"))
        assert (waveform.sample_rate_hz, waveform.source_rate_hz) == (RATE_HZ, 8_000)
        assert len(waveform.samples) == RATE_HZ
        inside = slice(2_000, -2_000)  # the resampler rings where the tone is switched on and off
        np.testing.assert_allclose(waveform.samples[inside], _tone(1.0)[inside], atol=1e-3)

    @pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
    def test_resampling_is_librosas(self, rate_hz: int) -> None:
        samples = np.random.default_rng(0).uniform(-0.9, 0.9, rate_hz).astype(np.float32)
        expected = librosa.resample(samples, orig_sr=rate_hz, target_sr=RATE_HZ, res_type="soxr_hq")
        decoded = _decode(_encode(samples, rate_hz=rate_hz, subtype="FLOAT")).samples
        np.testing.assert_allclose(decoded, expected[: len(decoded)], atol=1e-6)
        assert abs(len(decoded) - len(expected)) <= 1

    def test_silence_is_a_waveform(self) -> None:
        np.testing.assert_array_equal(_decode(_encode(np.zeros(RATE_HZ))).samples, np.zeros(RATE_HZ))

    def test_a_streamed_wav_without_sizes_is_read_to_its_end(self) -> None:
        wav = _encode(_tone(1.0))
        unknown = b"\xff\xff\xff\xff"
        streamed = wav[:4] + unknown + wav[8:40] + unknown + wav[44:]
        np.testing.assert_array_equal(_decode(streamed).samples, _decode(wav).samples)

    def test_bytes_behind_the_last_chunk_do_no_harm(self) -> None:
        assert len(_decode(_encode(_tone(1.0)) + b"ID3 tags, appended").samples) == RATE_HZ

    def test_an_odd_number_of_sample_bytes_is_whole_without_its_pad_byte(self) -> None:
        wav = _encode(_tone(1.0)[:-1], subtype="PCM_24")
        assert (len(wav) - 44) % 2 == 0
        assert len(_decode(wav[:-1]).samples) == RATE_HZ - 1

    def test_the_hash_names_the_samples_before_downmix_and_resampling(self) -> None:
        stereo = np.random.default_rng(0).uniform(-1, 1, (8_000, 2)).astype(np.float32)
        waveform = _decode(_encode(stereo, rate_hz=8_000, subtype="FLOAT"))
        assert waveform.pcm_hash == xxhash.xxh3_128(stereo.tobytes()).hexdigest()
        swapped = _decode(_encode(stereo[:, ::-1], rate_hz=8_000, subtype="FLOAT"))
        assert swapped.pcm_hash != waveform.pcm_hash


class TestRanges:
    @pytest.mark.parametrize(("format", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16")])
    @pytest.mark.parametrize(
        ("offset_s", "duration_s", "first", "num_samples"),
        [
            (0.0, None, 0, 16_000),
            (0.0, 0.25, 0, 4_000),
            (0.5, 0.25, 8_000, 4_000),
            (0.5, None, 8_000, 8_000),
            (0.75, 1.0, 12_000, 4_000),
        ],
    )
    def test_the_clips_part_of_the_file_is_read(
        self, format: str, subtype: str, offset_s: float, duration_s: float | None, first: int, num_samples: int
    ) -> None:
        spec = FeatureSpec(sample_rate_hz=16_000)
        ramp = np.linspace(-0.9, 0.9, 16_000)
        encoded = _encode(ramp, rate_hz=16_000, format=format, subtype=subtype)
        samples = decode(io.BytesIO(encoded), _clip(offset_s=offset_s, duration_s=duration_s), spec).samples
        np.testing.assert_allclose(samples, ramp[first : first + num_samples], atol=2**-15)

    def test_an_ogg_is_cut_where_the_whole_decoded_file_would_be(self) -> None:
        encoded = _encode(_tone(2.0), format="OGG", subtype="VORBIS")
        part = _decode(encoded, offset_s=1.0, duration_s=0.5).samples
        np.testing.assert_allclose(part, _decode(encoded).samples[RATE_HZ : RATE_HZ + len(part)], atol=1e-4)
        assert len(part) == RATE_HZ // 2

    @pytest.mark.parametrize(
        ("offset_s", "duration_s"),
        [(1.0, None), (3.0, 1.0), (0.0, 0.0), (-0.5, None), (0.0, -0.5), (math.nan, None), (0.0, math.inf)],
    )
    def test_a_range_without_samples_is_undecodable(self, offset_s: float, duration_s: float | None) -> None:
        assert _reason(_encode(_tone(1.0)), offset_s=offset_s, duration_s=duration_s) == "no_samples"


class TestUndecodable:
    def test_a_zero_byte_file(self) -> None:
        assert _reason(b"") == "empty_file"

    def test_a_text_file_named_wav(self) -> None:
        assert _reason(b"file,label\n1.wav,dog\n" * 100) == "not_audio"

    def test_a_wav_cut_inside_its_header(self) -> None:
        assert _reason(_encode(_tone(1.0))[:30]) == "not_audio"

    @pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "OGG", "MP3"])
    @pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
    def test_a_truncated_file(self, format: str, kept: float) -> None:
        encoded = _encode(_noise(2.0), format=format, subtype=None)
        assert _reason(encoded[: int(kept * len(encoded))]) == "truncated"

    def test_a_wav_that_lacks_its_last_byte(self) -> None:
        assert _reason(_encode(_tone(1.0))[:-1]) == "truncated"

    @pytest.mark.parametrize("format", ["WAV", "OGG"])
    def test_a_truncated_file_whose_clip_ends_before_the_cut(self, format: str) -> None:
        encoded = _encode(_noise(2.0), format=format, subtype=None)
        assert _reason(encoded[: len(encoded) * 9 // 10], duration_s=0.5) == "truncated"

    def test_an_ogg_with_a_hole(self) -> None:
        encoded = _encode(_noise(2.0), format="OGG", subtype="VORBIS")
        middle = len(encoded) // 2
        assert _reason(encoded[:middle] + bytes(500) + encoded[middle + 500 :]) == "truncated"

    def test_a_header_without_samples(self) -> None:
        assert _reason(_encode(np.zeros(0))) == "no_samples"

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_sample_that_is_no_number(self, value: float) -> None:
        samples = _tone(1.0)
        samples[100] = value
        assert _reason(_encode(samples, subtype="FLOAT")) == "not_finite"

    @pytest.mark.filterwarnings("ignore:overflow encountered")
    @pytest.mark.parametrize("num_channels", [1, 2])
    def test_samples_that_overflow_on_their_way(self, num_channels: int) -> None:
        largest = np.full((44_100, num_channels), np.finfo(np.float32).max)
        assert _reason(_encode(largest, rate_hz=44_100, subtype="FLOAT")) == "not_finite"

    def test_less_than_the_shortest_duration(self) -> None:
        assert _reason(_encode(_tone(0.09))) == "too_short"
        assert len(_decode(_encode(_tone(0.1))).samples) == RATE_HZ // 10

    def test_a_sample_rate_of_one_hertz(self) -> None:
        assert _reason(_encode(_tone(1.0), rate_hz=1)) == "not_audio"

    def test_the_detail_is_one_line_and_the_same_every_time(self) -> None:
        details = set()
        for _ in range(3):
            with pytest.raises(Undecodable) as caught:
                _decode(b"not audio\n" * 50)
            details.add(caught.value.detail)
        (detail,) = details
        assert detail
        assert "\n" not in detail
        assert "0x" not in detail


class TestWindows:
    def test_seven_seconds_keep_their_first_window(self) -> None:
        waveform = _decode(_encode(_tone(7.0), subtype="FLOAT"))
        windows = cut_windows(waveform, SPEC)
        assert windows.shape == (1, SPEC.window_samples)
        np.testing.assert_array_equal(windows[0], _tone(7.0)[: SPEC.window_samples].astype(np.float32))

    def test_seven_seconds_give_two_windows_the_last_padded(self) -> None:
        spec = FeatureSpec(windows="all")
        samples = _tone(7.0).astype(np.float32)
        windows = cut_windows(decode(io.BytesIO(_encode(samples, subtype="FLOAT")), _clip(), spec), spec)
        assert windows.shape == (2, spec.window_samples)
        np.testing.assert_array_equal(np.concatenate(windows)[: len(samples)], samples)
        np.testing.assert_array_equal(windows[1, 2 * RATE_HZ :], 0.0)

    def test_three_tenths_of_a_second_are_padded_with_zeros(self) -> None:
        samples = _tone(0.3).astype(np.float32)
        windows = cut_windows(_decode(_encode(samples, subtype="FLOAT")), SPEC)
        assert windows.dtype == np.float32
        np.testing.assert_array_equal(windows[0, : len(samples)], samples)
        np.testing.assert_array_equal(windows[0, len(samples) :], 0.0)


def _clip(**columns: Any) -> Clip:
    return Clip(clip_id="a", recording_id="a", uri="a", labels=("tone",), **columns)


def _decode(encoded: bytes, **columns: Any) -> Waveform:
    return decode(io.BytesIO(encoded), _clip(**columns), SPEC)


def _reason(encoded: bytes, **columns: Any) -> str:
    with pytest.raises(Undecodable) as caught:
        _decode(encoded, **columns)
    return caught.value.reason


def _tone(duration_s: float, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(round(duration_s * rate_hz)) / rate_hz)


def _noise(duration_s: float) -> NDArray[np.float64]:
    """A signal that does not compress, so that most of an encoded file is samples."""
    return np.random.default_rng(0).uniform(-0.9, 0.9, round(duration_s * RATE_HZ))


def _encode(
    samples: NDArray[Any], *, rate_hz: int = RATE_HZ, format: str = "WAV", subtype: str | None = "PCM_16"
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format, subtype=subtype)
    return file.getvalue()
