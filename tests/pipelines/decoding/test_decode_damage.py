"""Whatever the bytes are, decoding ends, with a waveform or with a reason, in bounded memory."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from audio_files import clip, encode, encode_av, sweep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.decoding.decode import Undecodable, decode
from pipelines.decoding.rules import MAX_CHANNELS
from pipelines.feature_spec import FeatureSpec

RATE_HZ = 16_000
SPEC = FeatureSpec(sample_rate_hz=RATE_HZ, min_duration_s=0.0)
REASONS = {"empty_file", "not_audio", "truncated", "no_samples", "not_finite", "too_long", "too_many_channels"}

_BY_LIBSNDFILE = {
    "WAV": ("WAV", "PCM_16"),
    "WAVEX": ("WAVEX", "PCM_24"),
    "WAV, float": ("WAV", "FLOAT"),
    "WAV, ADPCM": ("WAV", "IMA_ADPCM"),
    "RF64": ("RF64", "PCM_16"),
    "W64": ("W64", "PCM_16"),
    "AIFF": ("AIFF", "PCM_16"),
    "AU": ("AU", "PCM_16"),
    "CAF": ("CAF", "PCM_16"),
    "ALAC": ("CAF", "ALAC_16"),
    "FLAC": ("FLAC", "PCM_16"),
    "VORBIS": ("OGG", "VORBIS"),
    "OPUS": ("OGG", "OPUS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
}
_BY_FFMPEG = {
    "M4A": ("ipod", "aac"),
    "MOV": ("mov", "pcm_s24le"),
    "MKV": ("matroska", "aac"),
    "WEBM": ("webm", "libopus"),
    "WMA": ("asf", "wmav2"),
    "ADTS": ("adts", "aac"),
    "AVI": ("avi", "pcm_s16le"),
    "FLV": ("flv", "aac"),
}
_SOUND = sweep(0.5, RATE_HZ)
_HEALTHY = {
    **{name: encode(_SOUND, rate_hz=RATE_HZ, format=form, subtype=sub) for name, (form, sub) in _BY_LIBSNDFILE.items()},
    **{
        name: encode_av(sweep(0.5, 48_000), rate_hz=48_000, container=container, codec=codec)
        for name, (container, codec) in _BY_FFMPEG.items()
    },
}
_FUZZ = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=_HEALTHY)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
class TestDamage:
    @_FUZZ
    @given(flips=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), min_size=1, max_size=8))
    def test_false_bytes_in_the_header(self, name: str, flips: list[tuple[int, int]]) -> None:
        encoded = bytearray(_HEALTHY[name])
        for position, value in flips:
            encoded[position] = value
        _ends_well(bytes(encoded))

    @_FUZZ
    @given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30))
    def test_false_bytes_anywhere(self, name: str, flips: list[tuple[float, int]]) -> None:
        encoded = bytearray(_HEALTHY[name])
        for place, value in flips:
            encoded[int(place * len(encoded))] = value
        _ends_well(bytes(encoded))

    @_FUZZ
    @given(kept=st.floats(0, 1), offset_s=st.sampled_from([0.0, 0.2, 9.0]), duration_s=st.sampled_from([None, 0.1]))
    def test_the_end_missing(self, name: str, kept: float, offset_s: float, duration_s: float | None) -> None:
        _ends_well(_HEALTHY[name][: int(kept * len(_HEALTHY[name]))], offset_s, duration_s)

    @_FUZZ
    @given(start=st.floats(0, 1), length=st.integers(1, 600))
    def test_a_hole(self, name: str, start: float, length: int) -> None:
        encoded = _HEALTHY[name]
        at = int(start * len(encoded))
        _ends_well(encoded[:at] + encoded[at + length :])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(encoded=st.binary(max_size=2_000))
def test_bytes_of_any_kind(encoded: bytes) -> None:
    _ends_well(encoded)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(magic=st.sampled_from(sorted({encoded[:12] for encoded in _HEALTHY.values()})), rest=st.binary(max_size=2_000))
def test_a_known_beginning_and_then_anything(magic: bytes, rest: bytes) -> None:
    _ends_well(magic + rest)


def _ends_well(encoded: bytes, offset_s: float = 0.0, duration_s: float | None = None) -> None:
    outcome, detail = "waveform", ""
    try:
        samples = decode(io.BytesIO(encoded), clip(offset_s=offset_s, duration_s=duration_s), SPEC).samples
    except Undecodable as e:
        outcome, detail = e.reason, e.detail
    else:
        assert samples.shape == (len(samples),)
        assert len(samples) > 0
        assert np.isfinite(samples).all()
    assert outcome in {"waveform", *REASONS}
    assert "\n" not in detail


class TestLimits:
    @pytest.mark.parametrize("num_channels", [MAX_CHANNELS, MAX_CHANNELS + 1])
    def test_channels(self, num_channels: int) -> None:
        encoded = encode(np.zeros((RATE_HZ, num_channels)), rate_hz=RATE_HZ)
        if num_channels <= MAX_CHANNELS:
            assert decode(io.BytesIO(encoded), clip(), SPEC).num_channels == num_channels
        else:
            assert _reason(encoded) == "too_many_channels"

    @pytest.mark.parametrize("rate_hz", [0, 1, 999, 1_000_001, 2_000_000_000])
    def test_rates_that_no_recorder_has(self, rate_hz: int) -> None:
        encoded = _HEALTHY["WAV"][:24] + rate_hz.to_bytes(4, "little") + _HEALTHY["WAV"][28:]
        assert _reason(encoded) == "not_audio"

    def test_a_flac_that_announces_hours_is_truncated(self) -> None:
        assert _reason(_flac_announcing(2**28)) == "truncated"

    def test_a_flac_that_announces_months_is_too_long(self) -> None:
        assert _reason(_flac_announcing(2**36 - 1)) == "too_long"

    def test_an_mp3_that_announces_more_than_its_bytes_can_hold_is_truncated(self) -> None:
        assert _reason(_mp3_announcing(100_000)) == "truncated"

    def test_more_samples_than_a_clip_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("pipelines.decoding.decode", "pipelines.decoding.rules"):
            monkeypatch.setattr(f"{module}.MAX_CLIP_SAMPLES", 6_000)
        assert {_reason(_HEALTHY[name]) for name in ("WAV", "FLAC", "MP3", "M4A", "WEBM")} == {"too_long"}
        assert decode(io.BytesIO(_HEALTHY["WAV"]), clip(duration_s=0.3), SPEC).num_channels == 1


_MEASURE = """
import io, resource, sys
import numpy as np
from pipelines.decoding.decode import Undecodable, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
import av

clip = Clip(clip_id="a", recording_id="a", uri="a", labels=())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        decode(io.BytesIO(open(path, "rb").read()), clip, FeatureSpec(sample_rate_hz=16_000))
    except Undecodable as e:
        print(e.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_false_header_does_not_take_memory(tmp_path: Path) -> None:
    liars = {
        "flac": _flac_announcing(2**29),
        "mp3": _mp3_announcing(2**22),
        "wav": _HEALTHY["WAV"][:40] + (2**31).to_bytes(4, "little") + _HEALTHY["WAV"][44:],
        "rf64": _HEALTHY["RF64"].replace((len(_SOUND) * 2).to_bytes(8, "little"), (2**40).to_bytes(8, "little")),
        "au": _HEALTHY["AU"][:8] + (2**31).to_bytes(4, "big") + _HEALTHY["AU"][12:],
        "m4a": _HEALTHY["M4A"].replace(b"stsz" + bytes(8), b"stsz" + bytes(4) + b"\x40\x00\x00\x00"),
    }
    for name, encoded in liars.items():
        (tmp_path / name).write_bytes(encoded)
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE, *(str(tmp_path / name) for name in liars)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    *reasons, growth_mib = run.stdout.split()
    assert len(reasons) == len(liars)
    assert int(growth_mib) < 128


def _flac_announcing(num_samples: int) -> bytes:
    """STREAMINFO holds the number in 36 bits, from the lower half of byte 21 (RFC 9639)."""
    encoded = bytearray(_HEALTHY["FLAC"])
    encoded[21] = encoded[21] & 0xF0 | num_samples >> 32
    encoded[22:26] = (num_samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(encoded)


def _mp3_announcing(num_frames: int) -> bytes:
    """The Xing header in the first frame holds their number behind its name and flags."""
    encoded = _HEALTHY["MP3"]
    at = encoded.index(b"Xing") + 8
    return encoded[:at] + num_frames.to_bytes(4, "big") + encoded[at + 4 :]


def _reason(encoded: bytes) -> str:
    with pytest.raises(Undecodable) as caught:
        decode(io.BytesIO(encoded), clip(), SPEC)
    return caught.value.reason
