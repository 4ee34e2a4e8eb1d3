"""Silence, clipping and narrow bands are measured as they were made."""

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from pipelines.audits.sound_checks import (
    SoundCheckSettings,
    bandwidth_hz,
    clipped_share,
    is_finding,
    measure_sound,
    silent_share,
)
from pipelines.decoding.decode import Waveform
from storage.errors import InvalidInput

RATE_HZ = 44_100


def _noise(seconds: float = 2.0, level: float = 0.1, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    samples = np.random.default_rng(0).standard_normal(round(seconds * rate_hz))
    return (level * samples).astype(np.float32)


def _waveform(samples: NDArray[np.float32]) -> Waveform:
    return Waveform(samples=samples, sample_rate_hz=RATE_HZ, source_rate_hz=RATE_HZ, num_channels=1, pcm_hash="0")


class TestSilence:
    @pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
    def test_the_silent_share_is_that_of_the_time(self, share: float) -> None:
        samples = _noise(4.0)
        samples[: round(share * len(samples))] = 0
        assert silent_share(samples, RATE_HZ, -60.0) == pytest.approx(share, abs=0.01)

    def test_what_is_just_above_the_level_is_not_silent(self) -> None:
        assert silent_share(_noise(level=10 ** (-58 / 20)), RATE_HZ, -60.0) < 0.1
        assert silent_share(_noise(level=10 ** (-62 / 20)), RATE_HZ, -60.0) > 0.9

    def test_a_clip_shorter_than_a_frame_is_measured(self) -> None:
        assert silent_share(np.zeros(3, dtype=np.float32), RATE_HZ, -60.0) == 1.0


class TestClipping:
    def test_a_loud_sine_that_was_cut_off_is_clipped_and_a_full_scale_one_is_not(self) -> None:
        sine = np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
        # Above 1/2 for a third of each half: arcsin(0.5) = π/6.
        assert clipped_share(np.clip(2 * sine, -1, 1), 0.999, 3) == pytest.approx(2 / 3, abs=0.01)
        assert clipped_share(0.99 * sine, 0.999, 3) == 0.0

    def test_runs_are_of_one_sign_and_of_the_length_asked_for(self) -> None:
        samples = np.array([1, 1, 0, 1, 1, 1, -1, -1, 0, 1, -1, 1, -1], dtype=np.float32)
        assert clipped_share(samples, 0.999, 3) == pytest.approx(3 / 13)
        assert clipped_share(samples, 0.999, 2) == pytest.approx(7 / 13)
        assert clipped_share(samples, 0.999, 1) == pytest.approx(11 / 13)


class TestBandwidth:
    @pytest.mark.parametrize("source_hz", [8_000, 16_000, 22_050])
    @pytest.mark.parametrize("bits", [16, None])
    def test_a_source_of_a_lower_rate_ends_at_half_of_it(self, source_hz: int, bits: int | None) -> None:
        samples = soxr.resample(_noise(rate_hz=source_hz), source_hz, RATE_HZ)
        if bits:
            samples = (np.round(samples * 32768) / 32768).astype(np.float32)
        assert bandwidth_hz(samples, RATE_HZ, 25.0) == pytest.approx(source_hz / 2, rel=0.1)

    def test_a_whole_band_has_no_end(self) -> None:
        assert bandwidth_hz(_noise(), RATE_HZ, 25.0) == RATE_HZ / 2

    def test_a_spectrum_that_falls_slowly_has_no_end(self) -> None:
        brown = np.cumsum(_noise(level=0.01)).astype(np.float32)  # 6 dB an octave
        assert bandwidth_hz(brown - brown.mean(), RATE_HZ, 25.0) == RATE_HZ / 2

    def test_a_faint_high_tone_keeps_the_band_open(self) -> None:
        samples = soxr.resample(_noise(rate_hz=8_000), 8_000, RATE_HZ)
        samples += 0.01 * np.sin(2 * np.pi * 15_000 * np.arange(len(samples)) / RATE_HZ).astype(np.float32)
        assert bandwidth_hz(samples, RATE_HZ, 25.0) != pytest.approx(4_000, rel=0.1)

    def test_silence_and_a_few_samples_have_no_end(self) -> None:
        assert bandwidth_hz(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ, 25.0) == RATE_HZ / 2
        assert bandwidth_hz(np.ones(1, dtype=np.float32), RATE_HZ, 25.0) > 0


def test_a_measure_is_a_finding_from_its_threshold_on() -> None:
    samples = soxr.resample(_noise(rate_hz=8_000), 8_000, RATE_HZ)
    samples[:1000] = 1.0
    measures = measure_sound(_waveform(samples), SoundCheckSettings())
    assert is_finding(measures, SoundCheckSettings()) == {"silence": False, "clipping": True, "band_limited": True}
    lenient = SoundCheckSettings(clipped_share=0.5, bandwidth_share=0.05, silence_share=1.0)
    assert not any(is_finding(measures, lenient).values())


@pytest.mark.parametrize(("name", "value"), [("silence_db", 0), ("clipped_run", 0), ("bandwidth_share", 0)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"audit.sound.{name}"):
        SoundCheckSettings(**{name: value})  # type: ignore[arg-type]
