"""Every format that libsndfile reads gives the samples that were put in, at their own rate and on all channels."""

import io

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile
from audio_files import clip, encode, encode_av, sweep
from numpy.typing import NDArray

from pipelines.decoding.decode import Waveform, decode
from pipelines.feature_spec import FeatureSpec

RATE_HZ = 16_000


class TestPcm:
    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"])
    @pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
    def test_integers_are_exact(self, container: str, subtype: str, bits: int) -> None:
        integers = _integers(bits)
        encoded = encode(integers << (32 - bits), rate_hz=RATE_HZ, format=container, subtype=subtype)
        np.testing.assert_array_equal(_samples(encoded), integers.astype(np.float32) / 2 ** (bits - 1))

    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
    def test_thirty_two_bits_are_rounded_to_float32(self, container: str) -> None:
        integers = _integers(32)
        encoded = encode(integers, rate_hz=RATE_HZ, format=container, subtype="PCM_32")
        np.testing.assert_array_equal(_samples(encoded), (integers / 2.0**31).astype(np.float32))

    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
    @pytest.mark.parametrize(("subtype", "dtype"), [("FLOAT", np.float32), ("DOUBLE", np.float64)])
    def test_floats_are_kept(self, container: str, subtype: str, dtype: type) -> None:
        samples: NDArray[np.floating] = (3.0 * sweep(0.5, RATE_HZ)).astype(dtype)
        encoded = encode(samples, rate_hz=RATE_HZ, format=container, subtype=subtype)
        np.testing.assert_array_equal(_samples(encoded), samples.astype(np.float32))

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
    def test_a_wav_of_scipys_is_read_as_scipy_reads_it(self, dtype: type) -> None:
        file = io.BytesIO()
        scipy.io.wavfile.write(file, RATE_HZ, _of_dtype(dtype))
        _, expected = scipy.io.wavfile.read(io.BytesIO(file.getvalue()))
        scale = {"uint8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31}.get(expected.dtype.name, 1.0)
        middle = 128 if dtype is np.uint8 else 0  # the only unsigned one
        samples = ((expected.astype(np.float64) - middle) / scale).astype(np.float32)
        np.testing.assert_array_equal(_samples(file.getvalue()), samples)

    def test_mu_law_is_that_of_g_711(self) -> None:
        encoded = encode(np.zeros(4_000, dtype=np.int16), rate_hz=8_000, subtype="ULAW")
        codes = np.resize(np.arange(256, dtype=np.uint8), 4_000)
        start = encoded.index(b"data") + 8
        waveform = _decode(encoded[:start] + codes.tobytes() + encoded[start + 4_000 :], rate_hz=8_000)
        inverted = ~codes
        magnitude = ((((inverted & 15).astype(np.int32) << 3) + 132) << ((inverted >> 4) & 7)) - 132
        expected = np.where(inverted & 128, -magnitude, magnitude) / 2**15
        np.testing.assert_array_equal(waveform.samples, expected.astype(np.float32))


class TestLossy:
    @pytest.mark.parametrize(
        ("container", "subtype", "rate_hz"),
        [
            ("OGG", "VORBIS", 44_100),
            ("OGG", "OPUS", 48_000),
            ("OGG", "OPUS", 24_000),
            ("MP3", "MPEG_LAYER_III", 44_100),
            ("WAV", "IMA_ADPCM", 22_050),
            ("CAF", "ALAC_16", 44_100),
        ],
    )
    def test_length_rate_and_sound_are_the_sources(self, container: str, subtype: str, rate_hz: int) -> None:
        samples = sweep(3.0, rate_hz)
        waveform = _decode(encode(samples, rate_hz=rate_hz, format=container, subtype=subtype), rate_hz=rate_hz)
        assert (waveform.source_rate_hz, waveform.num_channels) == (rate_hz, 1)
        assert 0 <= len(waveform.samples) - len(samples) < 1_017  # ADPCM has blocks of so many
        assert np.corrcoef(waveform.samples[: len(samples)], samples)[0, 1] > 0.99

    def test_an_ogg_opus_of_ffmpegs_has_opus_own_rate(self) -> None:
        samples = sweep(2.0, 48_000)
        encoded = encode_av(samples, rate_hz=48_000, container="ogg", codec="libopus")
        waveform = _decode(encoded, rate_hz=48_000)
        assert waveform.source_rate_hz == 48_000
        assert len(waveform.samples) == len(samples)
        assert np.corrcoef(waveform.samples, samples)[0, 1] > 0.99

    def test_an_mp3_behind_an_id3_tag(self) -> None:
        encoded = encode(sweep(1.0, RATE_HZ), rate_hz=RATE_HZ, format="MP3")
        tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
        np.testing.assert_array_equal(_samples(tag + encoded), _samples(encoded))


class TestShapes:
    @pytest.mark.parametrize("rate_hz", [8_000, 96_000, 192_000])
    def test_any_usual_rate_becomes_the_specs(self, rate_hz: int) -> None:
        waveform = _decode(encode(sweep(1.0, rate_hz), rate_hz=rate_hz, subtype="FLOAT"), rate_hz=16_000)
        assert (waveform.source_rate_hz, waveform.sample_rate_hz) == (rate_hz, 16_000)
        assert len(waveform.samples) == 16_000
        inside = slice(1_000, -1_000)
        np.testing.assert_allclose(waveform.samples[inside], sweep(1.0, 16_000)[inside], atol=1e-3)

    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "FLOAT", "CAF"])
    def test_nine_channels_are_averaged(self, container: str) -> None:
        nine_TC = np.random.default_rng(0).uniform(-1, 1, (RATE_HZ, 9)).astype(np.float32)
        form, subtype = ("WAV", "FLOAT") if container == "FLOAT" else (container, "PCM_24")
        encoded = encode(nine_TC, rate_hz=RATE_HZ, format=form, subtype=subtype)
        waveform = _decode(encoded, rate_hz=RATE_HZ)
        assert waveform.num_channels == 9
        np.testing.assert_allclose(waveform.samples, nine_TC.mean(axis=1), atol=1e-6)

    @pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "AU", "CAF"])
    def test_one_sample_is_a_waveform_where_no_shortest_duration_is_asked_for(self, container: str) -> None:
        encoded = encode(np.array([0.5]), rate_hz=RATE_HZ, format=container, subtype="PCM_16")
        np.testing.assert_array_equal(_samples(encoded), [0.5])

    def test_more_than_one_block_is_what_libsndfile_reads_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipelines.decoding.decode.BLOCK_SAMPLES", 1_000)
        for container, subtype in (("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)):
            encoded = encode(sweep(2.0, RATE_HZ), rate_hz=RATE_HZ, format=container, subtype=subtype)
            expected, _ = soundfile.read(io.BytesIO(encoded), dtype="float32")
            np.testing.assert_array_equal(_samples(encoded), expected)

    def test_a_flac_of_unknown_length_is_read_to_its_end(self) -> None:
        encoded = bytearray(encode(sweep(1.0, RATE_HZ), rate_hz=RATE_HZ, format="FLAC"))
        expected = _samples(bytes(encoded))
        encoded[21] &= 0xF0  # STREAMINFO's 36 bits of total samples (RFC 9639)
        encoded[22:26] = bytes(4)
        np.testing.assert_array_equal(_samples(bytes(encoded)), expected)


@pytest.mark.parametrize(("resampler", "rejection_db"), [("soxr_hq", 115), ("soxr_vhq", 135)])
class TestResampling:
    """What the docstring of `decode` quotes from soxr.h, measured on tones from 48 to 16 kHz."""

    def test_the_pass_band_is_flat_up_to_its_end(self, resampler: str, rejection_db: float) -> None:
        for frequency_hz in (1_000, 7_000, 7_300):  # 0.913 × 8000 = 7304
            assert abs(_gain_db(frequency_hz, resampler)) < 0.011

    def test_what_would_alias_is_rejected(self, resampler: str, rejection_db: float) -> None:
        for frequency_hz in (8_050, 9_000, 15_000, 20_000):
            assert _gain_db(frequency_hz, resampler) < -rejection_db


def _gain_db(frequency_hz: float, resampler: str) -> float:
    at_s = np.arange(48_000) / 48_000
    window = np.hanning(48_000)  # no clicks at the ends
    tone = (0.5 * window * np.sin(2 * np.pi * frequency_hz * at_s)).astype(np.float64)
    spec = FeatureSpec(sample_rate_hz=16_000, resampler=resampler)  # type: ignore[arg-type]
    encoded = encode(tone, rate_hz=48_000, subtype="FLOAT")
    out = decode(io.BytesIO(encoded), clip(), spec).samples.astype(np.float64)
    return float(10 * np.log10(np.mean(out**2) / np.mean(tone**2)))


def _decode(encoded: bytes, *, rate_hz: int) -> Waveform:
    return decode(io.BytesIO(encoded), clip(), FeatureSpec(sample_rate_hz=rate_hz, min_duration_s=0.0))


def _samples(encoded: bytes) -> NDArray[np.float32]:
    return _decode(encoded, rate_hz=RATE_HZ).samples


def _integers(bits: int) -> NDArray[np.int32]:
    """Random ones and the largest, the smallest, one and minus one."""
    limit = 2 ** (bits - 1)
    random = np.random.default_rng(0).integers(-limit, limit, 5_000)
    return np.concatenate([[limit - 1, -limit, 1, -1, 0], random]).astype(np.int32)


def _of_dtype(dtype: type) -> NDArray[np.generic]:
    if np.issubdtype(dtype, np.floating):
        return sweep(0.5, RATE_HZ).astype(dtype)
    limits = np.iinfo(dtype)
    return np.random.default_rng(0).integers(limits.min, limits.max, 5_000, dtype=dtype, endpoint=True)
