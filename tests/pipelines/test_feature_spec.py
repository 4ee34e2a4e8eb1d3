"""The laws of the arithmetic from seconds to samples to frames, and what no spec may ask for."""

import dataclasses
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec_toys import IQ, KALDI

from pipelines.feature_spec import FeatureSpec, seconds_to_samples
from storage.affine_scale import AffineScale
from storage.errors import InvalidInput

rates_hz = st.integers(1_000, 96_000)


class TestSeconds:
    @given(num_samples=st.integers(0, 2**31), rate_hz=rates_hz)
    def test_whole_samples_survive_the_way_through_seconds(self, num_samples: int, rate_hz: int) -> None:
        assert seconds_to_samples(num_samples / rate_hz, rate_hz) == num_samples

    @given(seconds=st.floats(0, 86_400), rate_hz=rates_hz)
    def test_the_error_is_at_most_half_a_sample(self, seconds: float, rate_hz: int) -> None:
        assert abs(seconds_to_samples(seconds, rate_hz) - seconds * rate_hz) <= 0.5 + 1e-6

    @pytest.mark.parametrize(("seconds", "num_samples"), [(0.5, 1), (1.5, 2), (2.5, 3), (2.4, 2)])
    def test_halves_go_up(self, seconds: float, num_samples: int) -> None:
        assert seconds_to_samples(seconds, 1) == num_samples


class TestFrames:
    @pytest.mark.filterwarnings("ignore:n_fft=.* is too large")
    @settings(deadline=None, max_examples=60)
    @given(
        num_samples=st.integers(1, 20_000),
        n_fft=st.sampled_from([64, 250, 512, 1024]),
        hop_samples=st.integers(16, 3_000),
    )
    def test_there_are_as_many_frames_as_in_librosa(self, num_samples: int, n_fft: int, hop_samples: int) -> None:
        rate_hz = 8_000
        spec = FeatureSpec(
            sample_rate_hz=rate_hz,
            window_s=num_samples / rate_hz,
            n_fft=n_fft,
            hop_samples=hop_samples,
            num_mels=16,
        )
        silence = np.zeros(num_samples, dtype=np.float32)
        stft = librosa.stft(silence, n_fft=n_fft, hop_length=hop_samples, center=True, pad_mode="constant")
        assert spec.window_samples == num_samples
        assert spec.num_frames == stft.shape[1]

    def test_five_seconds_at_the_defaults_have_108_frames(self) -> None:
        assert (FeatureSpec().window_samples, FeatureSpec().num_frames) == (110_250, 108)


class TestShapes:
    @pytest.mark.parametrize(
        ("spec", "shape"),
        [
            (FeatureSpec(), (64, 108)),
            (KALDI, (128, 998)),
            (dataclasses.replace(KALDI, fixed_frames=1024), (128, 1024)),
            (dataclasses.replace(KALDI, frame_samples=None), (128, 997)),
            (IQ, (64, 65)),
            (dataclasses.replace(IQ, representation="iq_channels"), (2, 64, 65)),
        ],
    )
    def test_the_shape_follows_from_the_spec(self, spec: FeatureSpec, shape: tuple[int, ...]) -> None:
        assert spec.feature_shape == shape
        assert spec.num_frames == shape[-1]


class TestValidation:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("window_s", float("nan")),
            ("window_s", 1e5),
            ("window_hop_s", 1e-9),
            ("hop_samples", 512.5),
            ("n_fft", 2047),
            ("n_fft", 2**24),
            ("top_db", -80.0),
            ("db_reference", "mean"),
            ("db_reference", 0.0),
            ("mel_scale", "bark"),
            ("windows", "middle"),
            ("representation", "mfcc"),
            ("max_windows", 0),
            ("max_windows", 1.5),
            ("window_seed", -1),
            ("partial_window", "keep"),
            ("fixed_frames", 0),
            ("frame_samples", -1),
            ("resampler", "sinc"),
            ("sample_rate_hz", True),
        ],
    )
    def test_what_no_backend_could_compute_is_refused(self, field: str, value: object) -> None:
        with pytest.raises(InvalidInput, match=rf"features\.{field}"):
            FeatureSpec(**{field: value})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "field", ["sample_rate_hz", "window_s", "window_hop_s", "n_fft", "hop_samples", "num_mels", "amin", "power"]
    )
    @pytest.mark.parametrize("value", [0, -1])
    def test_what_must_be_positive_is(self, field: str, value: int) -> None:
        _assert_refused(f"features.{field}", **{field: value})

    @pytest.mark.parametrize(
        ("f_min_hz", "f_max_hz"), [(-1.0, None), (0.0, 11_026.0), (500.0, 500.0), (600.0, 500.0), (11_025.0, None)]
    )
    def test_mel_edges_lie_in_order_below_half_the_rate(self, f_min_hz: float, f_max_hz: float | None) -> None:
        _assert_refused("features.f_min_hz, features.f_max_hz", f_min_hz=f_min_hz, f_max_hz=f_max_hz)

    def test_more_mel_bands_than_fft_bins_are_refused(self) -> None:
        assert FeatureSpec(n_fft=256, num_mels=128).num_mels == 128
        _assert_refused("features.num_mels", n_fft=256, num_mels=129)

    @pytest.mark.parametrize(
        "variants", [(), ("noise(snr_db=15)",), ("original", "original"), ("original", "noise", "noise(snr_db=15.0)")]
    )
    def test_the_original_and_every_other_variant_come_just_once(self, variants: tuple[str, ...]) -> None:
        _assert_refused("features.variants", variants=variants)

    @pytest.mark.parametrize("seed", [-1, 0.5, True])
    def test_a_variant_seed_is_a_whole_number(self, seed: object) -> None:
        _assert_refused("features.variant_seed", variant_seed=seed)

    def test_frames_of_kaldi_fit_the_fft_and_the_window(self) -> None:
        _assert_refused("features.frame_samples", representation="kaldi_fbank", n_fft=256, frame_samples=400)
        _assert_refused("features.frame_samples", representation="kaldi_fbank", window_s=0.01, n_fft=512, num_mels=8)
        _assert_refused("features.power", representation="kaldi_fbank", power=1.5)

    def test_iq_samples_have_no_variants(self) -> None:
        _assert_refused("features.variants", representation="iq_channels", variants=("original", "noise"))

    def test_a_window_that_is_no_number_is_told_before_its_frames_are_counted(self) -> None:
        _assert_refused("features.window_s", representation="kaldi_fbank", window_s=float("nan"))

    @pytest.mark.parametrize(
        "given",
        [
            {"top_db": None},
            {"db_reference": 1.0},
            {"uint8_range_db": (0.0, -80.0)},
            {"uint8_range_db": (-80.0,)},
            {"uint8_range_db": (float("nan"), 0.0)},
            {"uint8_range_db": (-80.0, float("inf"))},
            {"representation": "kaldi_fbank"},
            {"representation": "iq_channels"},
        ],
    )
    def test_uint8_needs_a_range_that_the_data_cannot_change(self, given: dict[str, Any]) -> None:
        _assert_refused("features.uint8_range_db", dtype="uint8", **given)

    def test_the_range_of_uint8_is_that_of_top_db_or_the_one_given(self) -> None:
        assert FeatureSpec().scale is None
        assert FeatureSpec(dtype="uint8", top_db=60.0).scale == AffineScale(low_db=-60.0, high_db=0.0)
        given = FeatureSpec(dtype="uint8", db_reference=1.0, uint8_range_db=(-100, 40))
        assert given.scale == AffineScale(low_db=-100.0, high_db=40.0)

    def test_the_message_holds_what_was_given_and_what_to_do(self) -> None:
        with pytest.raises(InvalidInput, match=r"features\.hop_samples: got -5; allowed: a whole number from 1\. \w+"):
            FeatureSpec(hop_samples=-5)


def _assert_refused(expected_field: str, **values: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        FeatureSpec(**values)
    assert refused.value.field == expected_field
