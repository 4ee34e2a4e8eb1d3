"""What effects do to samples, measured in their output: SNR, spectral peak, length, reverberation time, gain."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.decoding.rules import Undecodable
from pipelines.effects import apply_variant
from pipelines.variants import EFFECTS, ORIGINAL, parse_variant, variant_generator

RATE_HZ = 22_050
RANDOM = ("noise(snr_db=15)", "reverb(decay_s=0.4, wet=0.3)")
FIXED = ("pitch(semitones=2)", "stretch(rate=0.9)", "gain(db=-6)")


def _apply(text: str, samples: NDArray[np.float32], *, seed: int = 0, clip_id: str = "clip") -> NDArray[np.float32]:
    variant = parse_variant(text)
    return apply_variant(variant, samples, RATE_HZ, variant_generator(seed, clip_id, variant))


def _tone(frequency_hz: float = 440.0, *, duration_s: float = 2.0) -> NDArray[np.float32]:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def _click(duration_s: float) -> NDArray[np.float32]:
    samples = np.zeros(round(duration_s * RATE_HZ), dtype=np.float32)
    samples[0] = 1.0
    return samples


def _peak_hz(samples: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples)))
    return float(np.argmax(spectrum)) * RATE_HZ / (8 * len(samples))


def _rms(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


class TestOriginal:
    def test_it_is_the_same_object(self) -> None:
        samples = _tone()
        assert _apply(ORIGINAL, samples) is samples


class TestNoise:
    @pytest.mark.parametrize("snr_db", [-10, 0, 15, 60])
    def test_the_measured_snr_is_the_one_asked_for(self, snr_db: int) -> None:
        clean = _tone()
        added = _apply(f"noise(snr_db={snr_db})", clean).astype(np.float64) - clean
        assert 20 * np.log10(_rms(clean) / _rms(added)) == pytest.approx(snr_db, abs=0.001)

    def test_it_is_white_and_gaussian(self) -> None:
        clean = _tone()
        added = _apply("noise(snr_db=0)", clean) - clean
        assert abs(np.corrcoef(added[1:], added[:-1])[0, 1]) < 0.03
        assert np.mean(np.abs(added) < _rms(added)) == pytest.approx(0.683, abs=0.01)

    def test_silence_stays_silent(self) -> None:
        assert not _apply("noise(snr_db=0)", np.zeros(RATE_HZ, dtype=np.float32)).any()


class TestPitch:
    @pytest.mark.parametrize("semitones", [-7, 0.5, 2])
    def test_the_spectral_peak_moves_and_the_length_stays(self, semitones: float) -> None:
        shifted = _apply(f"pitch(semitones={semitones})", _tone())
        assert 12 * np.log2(_peak_hz(shifted) / 440) == pytest.approx(semitones, abs=0.02)
        assert len(shifted) == len(_tone())


class TestStretch:
    @pytest.mark.parametrize("rate", [0.5, 0.9, 1.3])
    def test_the_length_is_divided_by_the_rate_and_the_peak_stays(self, rate: float) -> None:
        stretched = _apply(f"stretch(rate={rate})", _tone())
        assert len(stretched) == pytest.approx(len(_tone()) / rate, abs=1)
        assert 12 * np.log2(_peak_hz(stretched) / 440) == pytest.approx(0, abs=0.02)


class TestReverb:
    @pytest.mark.parametrize("decay_s", [0.2, 0.4, 1.5])
    def test_the_tail_decays_by_60_db_in_the_time_asked_for(self, decay_s: float) -> None:
        tail = _apply(f"reverb(decay_s={decay_s}, wet=1)", _click(2 * decay_s))
        assert _rt60_s(tail) == pytest.approx(decay_s, rel=0.15)

    def test_the_dry_part_is_scaled_by_what_is_not_wet(self) -> None:
        half = _apply("reverb(decay_s=0.4, wet=0.25)", _click(1.0))
        wet = half[1:].astype(np.float64)
        whole = _apply("reverb(decay_s=0.4, wet=0)", _click(1.0))
        assert np.array_equal(whole, _click(1.0))
        assert half[0] == pytest.approx(0.75, abs=0.05)  # and the first sample of the response
        assert np.sqrt((wet**2).sum()) == pytest.approx(0.25, rel=0.01)  # the response has unit energy

    def test_the_length_stays(self) -> None:
        assert len(_apply("reverb(decay_s=10)", _tone(duration_s=0.2))) == len(_tone(duration_s=0.2))


class TestGain:
    def test_20_db_are_a_factor_of_ten_even_beyond_full_scale(self) -> None:
        assert np.array_equal(_apply("gain(db=20)", _tone()), 10 * _tone())
        assert _apply("gain(db=20)", _tone()).max() > 4

    def test_minus_6_db_are_about_one_half(self) -> None:
        np.testing.assert_allclose(_apply("gain(db=-6)", _tone()), 0.501187 * _tone(), rtol=1e-6)

    def test_an_overflow_is_refused(self) -> None:
        with pytest.raises(Undecodable, match=r"not_finite: .* after gain\(db=60\)"):
            _apply("gain(db=60)+pitch(semitones=2)", np.full(RATE_HZ, 1e37, dtype=np.float32))


class TestChains:
    def test_effects_are_applied_in_the_order_given(self) -> None:
        loud_noise = _apply("gain(db=-40)+noise(snr_db=0)", _tone())
        quiet_noise = _apply("noise(snr_db=0)+gain(db=-40)", _tone())
        assert not np.array_equal(loud_noise, quiet_noise)
        by_hand = _apply("gain(db=6)", _apply("pitch(semitones=2)", _tone()))
        assert np.array_equal(_apply("pitch(semitones=2)+gain(db=6)", _tone()), by_hand)

    def test_two_random_effects_do_not_share_their_numbers(self) -> None:
        once, twice = (
            _apply(text, _tone()) - _tone() for text in ("noise(snr_db=0)", "noise(snr_db=0)+noise(snr_db=60)")
        )
        assert abs(np.corrcoef(once, twice)[0, 1]) < 0.03


class TestDeterminism:
    @pytest.mark.parametrize("text", [*RANDOM, *FIXED])
    def test_the_same_clip_variant_and_seed_give_the_same_bits(self, text: str) -> None:
        assert _apply(text, _tone()).tobytes() == _apply(text, _tone()).tobytes()

    @pytest.mark.parametrize("text", RANDOM)
    def test_another_seed_or_clip_gives_others(self, text: str) -> None:
        bits = {
            _apply(text, _tone(), seed=seed, clip_id=clip_id).tobytes() for seed in (0, 1) for clip_id in ("a", "b")
        }
        assert len(bits) == 4

    @pytest.mark.parametrize("text", [*RANDOM, *FIXED])
    def test_no_global_random_state_is_read_or_moved(self, text: str) -> None:
        state = np.random.get_state()  # noqa: NPY002
        try:
            np.random.seed(1)  # noqa: NPY002
            first = _apply(text, _tone())
            np.random.seed(2)  # noqa: NPY002
            moved = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
            assert np.array_equal(_apply(text, _tone()), first)
            assert np.array_equal(np.random.get_state()[1], moved)  # type: ignore[index]  # noqa: NPY002
        finally:
            np.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize("kind", EFFECTS)
class TestEveryEffect:
    def test_float32_samples_come_back_and_the_given_ones_stay(self, kind: str) -> None:
        samples = _tone()
        changed = _apply(kind, samples)
        assert changed.dtype == np.float32
        assert changed.ndim == 1
        assert not np.array_equal(changed, samples)
        assert np.array_equal(samples, _tone())

    def test_read_only_samples_will_do(self, kind: str) -> None:
        samples = _tone()
        samples.flags.writeable = False
        assert len(_apply(kind, samples))

    @pytest.mark.parametrize("end", ["lowest", "highest"])
    def test_the_ends_of_every_range_can_be_computed(self, kind: str, end: str) -> None:
        arguments = ", ".join(f"{name}={getattr(known, end)}" for name, known in EFFECTS[kind].items())
        assert np.isfinite(_apply(f"{kind}({arguments})", _tone(duration_s=0.2))).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["pitch(semitones=2)", "stretch(rate=0.9)"])
def test_a_clip_shorter_than_a_frame_of_the_vocoder_is_refused(text: str) -> None:
    assert len(_apply(text, _tone()[:2048])) >= 2048
    with pytest.raises(Undecodable, match=r"too_short: 2047 samples; \w+ needs 2048"):
        _apply(text, _tone()[:2047])


def _rt60_s(tail: NDArray[np.float32]) -> float:
    """By M. R. Schroeder's backward integration (1965), fitted from -5 to -35 dB as ISO 3382 does for T30."""
    energy = np.cumsum(np.square(tail[::-1].astype(np.float64)))[::-1]
    decay_db = 10 * np.log10(energy[energy > 0] / energy[0])
    fitted = np.flatnonzero((decay_db <= -5) & (decay_db >= -35))
    slope_db_per_sample = np.polyfit(fitted, decay_db[fitted], 1)[0]
    return float(-60 / slope_db_per_sample / RATE_HZ)
