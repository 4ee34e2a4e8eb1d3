"""A part of a file is the same part of its whole decoding, and costs only the bytes that it needs."""

import io
import math
from typing import Any

import numpy as np
import pytest
from audio_files import CountingSource, clip, encode, sweep
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.decoding.decode import decode
from pipelines.feature_spec import FeatureSpec

RATE_HZ = 16_000
SPEC = FeatureSpec(sample_rate_hz=RATE_HZ, min_duration_s=0.0)

_EXACT = ["WAV", "AIFF", "AU", "CAF", "RF64", "W64", "FLAC"]
_LOSSY = ["OGG", "MP3"]


def _noise(duration_s: float) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-0.9, 0.9, round(duration_s * RATE_HZ))


_ENCODED = {name: encode(_noise(4.0), rate_hz=RATE_HZ, format=name) for name in [*_EXACT, *_LOSSY]}
_ENCODED["OPUS"] = encode(_noise(4.0), rate_hz=RATE_HZ, format="OGG", subtype="OPUS")


@pytest.mark.parametrize("name", _EXACT)
@settings(max_examples=15, deadline=None)
@given(start=st.integers(0, 4 * RATE_HZ - 1), num_samples=st.integers(1, 4 * RATE_HZ))
def test_a_part_of_a_lossless_file_is_exact(name: str, start: int, num_samples: int) -> None:
    whole = _samples(io.BytesIO(_ENCODED[name]))
    part = _samples(io.BytesIO(_ENCODED[name]), offset_s=start / RATE_HZ, duration_s=num_samples / RATE_HZ)
    np.testing.assert_array_equal(part, whole[start : start + num_samples])


@pytest.mark.parametrize(("name", "tolerance"), [("OGG", 1e-6), ("OPUS", 1e-4), ("MP3", 1e-4)])
@pytest.mark.parametrize("offset_s", [0.001, 0.5, 1.7331, 3.2])
def test_a_part_of_a_lossy_file_is_close(name: str, tolerance: float, offset_s: float) -> None:
    whole = _samples(io.BytesIO(_ENCODED[name]))
    part = _samples(io.BytesIO(_ENCODED[name]), offset_s=offset_s, duration_s=0.5)
    first = round(offset_s * RATE_HZ)
    assert len(part) == RATE_HZ // 2
    np.testing.assert_allclose(part, whole[first : first + len(part)], atol=tolerance)


@pytest.mark.parametrize("name", [*_EXACT, *_LOSSY])
@pytest.mark.parametrize("columns", [{}, {"offset_s": 1.0, "duration_s": 0.5}])
def test_a_source_with_short_reads_gives_the_same_samples(name: str, columns: dict[str, float]) -> None:
    source = CountingSource(_ENCODED[name], largest_read=777)
    np.testing.assert_array_equal(_samples(source, **columns), _samples(io.BytesIO(_ENCODED[name]), **columns))


@pytest.mark.parametrize(
    ("name", "subtype", "largest_share"),
    [
        ("WAV", None, 0.02),
        ("AIFF", None, 0.02),
        ("CAF", None, 0.02),
        ("W64", None, 0.02),
        ("FLAC", None, 0.05),
        ("OGG", "VORBIS", 0.25),  # libvorbisfile looks for its place by bisection, in pieces of some tens of kilobytes
        ("OGG", "OPUS", 0.25),
        ("MP3", None, 0.6),  # all frames before the range are read, for their lengths
    ],
)
def test_two_seconds_in_the_middle_of_five_minutes_cost_their_part(
    name: str, subtype: str | None, largest_share: float
) -> None:
    encoded = encode(_noise(300.0), rate_hz=RATE_HZ, format=name, subtype=subtype)
    source = CountingSource(encoded)
    assert len(_samples(source, offset_s=150.0, duration_s=2.0)) == 2 * RATE_HZ
    assert source.num_bytes_read < largest_share * len(encoded)


def test_a_whole_file_is_read_once() -> None:
    source = CountingSource(_ENCODED["WAV"])
    _samples(source)
    assert source.num_bytes_read == len(_ENCODED["WAV"])


def test_a_file_on_disk_is_left_open(tmp_path: Any) -> None:
    (tmp_path / "a.flac").write_bytes(_ENCODED["FLAC"])
    with open(tmp_path / "a.flac", "rb") as file:
        whole = _samples(file)
        part = _samples(file, offset_s=1.0, duration_s=1.0)
        assert not file.closed
    np.testing.assert_array_equal(part, whole[RATE_HZ : 2 * RATE_HZ])


class _FailingSource(CountingSource):
    """A store that can no longer be reached after some bytes."""

    def readinto(self, buffer: Any, /) -> int:
        if self.num_bytes_read > 1_000:
            raise ConnectionError("the store is gone")
        return super().readinto(buffer)


@pytest.mark.parametrize("name", [*_EXACT, *_LOSSY])
@pytest.mark.parametrize("columns", [{}, {"offset_s": 1.0, "duration_s": 0.5}])
def test_a_fault_of_the_storage_is_not_the_clips(name: str, columns: dict[str, float]) -> None:
    with pytest.raises(ConnectionError, match="the store is gone"):
        _samples(_FailingSource(_ENCODED[name], largest_read=1_001), **columns)


def test_seconds_become_samples_as_everywhere() -> None:
    encoded = encode(sweep(1.0, 44_100), rate_hz=44_100, subtype="FLOAT")
    spec = FeatureSpec(sample_rate_hz=44_100, min_duration_s=0.0)
    part = decode(io.BytesIO(encoded), clip(offset_s=1 / 3, duration_s=0.1), spec).samples
    np.testing.assert_array_equal(part, sweep(1.0, 44_100)[14_700 : 14_700 + 4_410])
    assert math.isclose(len(part) / 44_100, 0.1)


def _samples(source: Any, **columns: Any) -> NDArray[np.float32]:
    return decode(source, clip(**columns), SPEC).samples
