"""The laws of the arithmetic from seconds to samples to frames, and what the fingerprint depends on."""

import copy
import dataclasses
import itertools
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.feature_spec import FeatureSpec, seconds_to_samples
from storage.affine_scale import AffineScale
from storage.errors import InvalidInput

rates_hz = st.integers(1_000, 96_000)


@st.composite
def windowed_specs(draw: st.DrawFn) -> FeatureSpec:
    """Specs with `windows: all` whose windows leave no gaps."""
    window_s = draw(st.floats(0.05, 10.0))
    return FeatureSpec(
        sample_rate_hz=draw(rates_hz),
        windows="all",
        window_s=window_s,
        window_hop_s=window_s * draw(st.floats(0.05, 1.0)),
        n_fft=256,
        num_mels=8,
    )


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


class TestWindowStarts:
    @given(spec=windowed_specs(), num_samples=st.integers(0, 1_000_000))
    def test_starts_ascend_from_zero(self, spec: FeatureSpec, num_samples: int) -> None:
        starts = spec.window_starts(num_samples)
        assert starts[0] == 0
        assert all(earlier < later for earlier, later in itertools.pairwise(starts))

    @given(spec=windowed_specs(), num_samples=st.integers(1, 1_000_000))
    def test_every_sample_lies_in_a_window(self, spec: FeatureSpec, num_samples: int) -> None:
        starts = spec.window_starts(num_samples)
        gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert all(gap <= spec.window_samples for gap in gaps)
        assert starts[-1] + spec.window_samples >= num_samples

    @given(spec=windowed_specs(), num_samples=st.integers(1, 1_000_000))
    def test_every_later_window_holds_a_sample_that_no_earlier_one_has(
        self, spec: FeatureSpec, num_samples: int
    ) -> None:
        for earlier in spec.window_starts(num_samples)[:-1]:
            assert earlier + spec.window_samples < num_samples

    @given(num_samples=st.integers(0, 1_000_000))
    def test_first_keeps_one_window(self, num_samples: int) -> None:
        assert FeatureSpec(windows="first").window_starts(num_samples) == [0]

    @pytest.mark.parametrize(
        ("duration_s", "starts_s"),
        [(0.3, [0]), (5.0, [0]), (5.001, [0, 5]), (7.0, [0, 5]), (10.0, [0, 5]), (11.0, [0, 5, 10])],
    )
    def test_back_to_back_windows(self, duration_s: float, starts_s: list[int]) -> None:
        spec = FeatureSpec(windows="all", sample_rate_hz=16_000)
        starts = spec.window_starts(seconds_to_samples(duration_s, 16_000))
        assert starts == [16_000 * start_s for start_s in starts_s]

    @given(spec=windowed_specs(), num_samples=st.integers(1, 1_000_000))
    def test_dropping_partial_windows_leaves_the_whole_ones(self, spec: FeatureSpec, num_samples: int) -> None:
        dropping = dataclasses.replace(spec, partial_window="drop")
        whole = [start for start in spec.window_starts(num_samples) if start + spec.window_samples <= num_samples]
        assert dropping.window_starts(num_samples) == whole

    @given(spec=windowed_specs(), num_samples=st.integers(1, 1_000_000), most=st.integers(1, 5))
    def test_a_limit_keeps_the_first_windows(self, spec: FeatureSpec, num_samples: int, most: int) -> None:
        limited = dataclasses.replace(spec, max_windows=most)
        assert limited.window_starts(num_samples) == spec.window_starts(num_samples)[:most]

    def test_windows_further_apart_than_long_do_not_start_beyond_the_clip(self) -> None:
        spec = FeatureSpec(windows="all", sample_rate_hz=16_000, window_s=1.0, window_hop_s=3.0)
        assert spec.window_starts(2 * 16_000) == [0]
        assert spec.window_starts(4 * 16_000) == [0, 3 * 16_000]


class TestSampledWindowStarts:
    """The laws of `random` and `spaced`."""

    @given(
        spec=windowed_specs(),
        policy=st.sampled_from(["random", "spaced"]),
        num_samples=st.integers(0, 1_000_000),
        most=st.none() | st.integers(1, 5),
        seed=st.integers(0, 3),
    )
    def test_they_are_distinct_whole_in_order_and_as_many_as_all_has(
        self, spec: FeatureSpec, policy: Any, num_samples: int, most: int | None, seed: int
    ) -> None:
        whole = dataclasses.replace(spec, partial_window="drop", max_windows=most).window_starts(num_samples)
        sampled = dataclasses.replace(spec, windows=policy, max_windows=most, window_seed=seed)
        starts = sampled.window_starts(num_samples, "clip")
        assert starts == sorted(set(starts))
        assert all(isinstance(start, int) for start in starts)
        if num_samples < spec.window_samples:
            assert starts == [0]
            assert dataclasses.replace(sampled, partial_window="drop").window_starts(num_samples, "clip") == []
        else:
            assert len(starts) == len(whole)
            assert starts[0] >= 0
            assert starts[-1] + spec.window_samples <= num_samples

    @given(spec=windowed_specs(), num_samples=st.integers(1, 1_000_000))
    def test_spaced_windows_reach_both_ends_at_even_distances(self, spec: FeatureSpec, num_samples: int) -> None:
        starts = dataclasses.replace(spec, windows="spaced").window_starts(num_samples)
        if len(starts) > 1:
            gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
            assert max(gaps) - min(gaps) <= 1
            assert (starts[0], starts[-1]) == (0, num_samples - spec.window_samples)
        elif num_samples >= spec.window_samples:
            assert starts == [(num_samples - spec.window_samples) // 2]

    def test_random_starts_are_what_they_were(self) -> None:
        # Stored rows were cut there; if this fails, NUMERICS_VERSION must be raised.
        assert RANDOM.window_starts(100 * 16_000, "clip") == PINNED_STARTS

    def test_random_starts_follow_from_seed_clip_and_length_alone(self) -> None:
        first = RANDOM.window_starts(60 * 16_000, "a")
        np.random.seed(1)  # noqa: NPY002 - no global state may matter
        RANDOM.window_starts(60 * 16_000, "b")
        assert RANDOM.window_starts(60 * 16_000, "a") == first
        others = [
            RANDOM.window_starts(60 * 16_000, "b"),
            dataclasses.replace(RANDOM, window_seed=1).window_starts(60 * 16_000, "a"),
        ]
        assert first not in others

    def test_random_starts_are_spread_over_the_whole_clip(self) -> None:
        starts = [start for number in range(400) for start in RANDOM.window_starts(40 * 16_000, str(number))]
        counts, _ = np.histogram(starts, bins=3, range=(0, 30 * 16_000))
        assert counts.min() > 0.8 * counts.mean()

    def test_random_windows_without_a_clip_are_a_mistake(self) -> None:
        with pytest.raises(AssertionError, match="drawn for a clip"):
            RANDOM.window_starts(60 * 16_000)


RANDOM = FeatureSpec(windows="random", max_windows=3, window_s=10.0, window_hop_s=10.0, sample_rate_hz=16_000)
PINNED_STARTS = [818_449, 872_027, 884_433]

KALDI = FeatureSpec(
    representation="kaldi_fbank",
    sample_rate_hz=16_000,
    window_s=10.0,
    n_fft=512,
    frame_samples=400,
    hop_samples=160,
    num_mels=128,
    f_min_hz=20.0,
)
IQ = FeatureSpec(representation="iq_magnitude", sample_rate_hz=1_000_000, window_s=1024e-6, n_fft=64, hop_samples=16)


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


# One other value for every field.
OTHER_VALUES: dict[str, Any] = {
    "representation": "iq_channels",
    "sample_rate_hz": 32_000,
    "window_s": 4.0,
    "windows": "all",
    "window_hop_s": 2.5,
    "max_windows": 3,
    "window_seed": 1,
    "partial_window": "drop",
    "min_duration_s": 0.2,
    "n_fft": 1024,
    "hop_samples": 512,
    "frame_samples": 320,
    "frame_taper": "povey",
    "fixed_frames": 1024,
    "num_mels": 128,
    "f_min_hz": 20.0,
    "f_max_hz": 11_025.0,
    "mel_scale": "htk",
    "mel_norm": "none",
    "power": 1.0,
    "db_reference": 1.0,
    "amin": 1e-8,
    "top_db": None,
    "dtype": "float32",
    "uint8_range_db": (-100.0, 0.0),
    "variants": ("original", "noise(snr_db=15)"),
    "variant_seed": 1,
    "resampler": "soxr_vhq",
    "decoder": "other",
}


class TestFingerprint:
    def test_it_is_what_it_was(self) -> None:
        # Stored feature stores are found by it. If this fails and the numbers of the features did change, raise
        # NUMERICS_VERSION and pin the new value; if they did not, the change orphans every stored feature.
        assert FeatureSpec().fingerprint == "17ceb32357edd287"

    def test_every_field_has_another_value_to_try(self) -> None:
        assert set(OTHER_VALUES) == {field.name for field in dataclasses.fields(FeatureSpec)}

    @pytest.mark.parametrize("field", OTHER_VALUES)
    def test_every_field_changes_it(self, field: str) -> None:
        base = _spec_in_which_it_counts(field)
        changed = copy.copy(base)
        object.__setattr__(changed, field, OTHER_VALUES[field])  # some fields have a single valid value so far
        assert changed.fingerprint != base.fingerprint

    def test_no_two_single_changes_share_one(self) -> None:
        fingerprints = set()
        for field, value in OTHER_VALUES.items():
            changed = copy.copy(_spec_in_which_it_counts(field))
            object.__setattr__(changed, field, value)
            fingerprints.add(changed.fingerprint)
        assert len(fingerprints) == len(OTHER_VALUES)

    def test_the_variant_seed_does_not_matter_while_there_are_originals_only(self) -> None:
        assert FeatureSpec(variant_seed=1).fingerprint == FeatureSpec().fingerprint

    @pytest.mark.parametrize(
        "unused",
        [
            {"max_windows": 3},
            {"window_seed": 1},
            {"windows": "spaced", "window_seed": 1},
            {"frame_samples": 400, "frame_taper": "povey", "fixed_frames": 1024},
        ],
    )
    def test_what_has_no_effect_does_not_matter(self, unused: dict[str, Any]) -> None:
        counted = {name: value for name, value in unused.items() if name == "windows"}
        assert FeatureSpec(**unused).fingerprint == FeatureSpec(**counted).fingerprint

    @pytest.mark.parametrize(
        ("base", "unused"),
        [
            (KALDI, {"mel_scale": "htk", "mel_norm": "none", "amin": 1e-3, "top_db": None, "db_reference": 1.0}),
            (IQ, {"num_mels": 99, "f_min_hz": 30.0, "mel_scale": "htk", "frame_samples": 3, "resampler": "soxr_vhq"}),
            (
                dataclasses.replace(IQ, representation="iq_channels"),
                {"power": 1.0, "top_db": None, "db_reference": 1.0, "amin": 1e-3},
            ),
        ],
    )
    def test_what_a_representation_does_not_use_does_not_matter(
        self, base: FeatureSpec, unused: dict[str, Any]
    ) -> None:
        assert dataclasses.replace(base, **unused).fingerprint == base.fingerprint

    def test_the_range_of_uint8_counts_as_it_is_used(self) -> None:
        assert FeatureSpec(uint8_range_db=(-90.0, 0.0)).fingerprint == FeatureSpec().fingerprint
        spelt_out = FeatureSpec(dtype="uint8", uint8_range_db=(-80, 0))
        assert spelt_out.fingerprint == FeatureSpec(dtype="uint8").fingerprint != FeatureSpec().fingerprint

    def test_all_spellings_and_orders_of_the_same_variants_share_one(self) -> None:
        first = FeatureSpec(variants=("original", "pitch(semitones=2)", "reverb(decay_s=0.4, wet=0.3)"))
        second = FeatureSpec(variants=("reverb( wet = 3e-1 )", "pitch(semitones=+2.0)", " original "))
        assert first == second
        assert first.fingerprint == second.fingerprint

    def test_spelling_out_defaults_in_any_order_does_not_change_it(self) -> None:
        values = {field.name: field.default for field in reversed(dataclasses.fields(FeatureSpec))}
        assert FeatureSpec(**values).fingerprint == FeatureSpec().fingerprint

    def test_equal_specs_have_equal_fingerprints(self) -> None:
        whole, decimal = FeatureSpec(window_s=5), FeatureSpec(window_s=5.0)
        assert whole == decimal
        assert whole.fingerprint == decimal.fingerprint


class TestValidation:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("window_s", float("nan")),
            ("window_hop_s", 1e-9),
            ("hop_samples", 512.5),
            ("n_fft", 2047),
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


def _spec_in_which_it_counts(field: str) -> FeatureSpec:
    if field in ("frame_samples", "frame_taper", "fixed_frames"):
        return KALDI
    return {
        "uint8_range_db": FeatureSpec(dtype="uint8"),
        "variant_seed": FeatureSpec(variants=("original", "gain(db=-6)")),
        "window_seed": FeatureSpec(windows="random"),
        "max_windows": FeatureSpec(windows="all"),
    }.get(field, FeatureSpec())


def _assert_refused(expected_field: str, **values: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        FeatureSpec(**values)
    assert refused.value.field == expected_field
