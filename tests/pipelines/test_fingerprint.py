"""What the fingerprint of a spec depends on: all that changes the numbers, and nothing else."""

import copy
import dataclasses
from typing import Any

import pytest
from spec_toys import IQ, KALDI

from pipelines.feature_spec import FeatureSpec

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


def _spec_in_which_it_counts(field: str) -> FeatureSpec:
    if field in ("frame_samples", "frame_taper", "fixed_frames"):
        return KALDI
    return {
        "uint8_range_db": FeatureSpec(dtype="uint8"),
        "variant_seed": FeatureSpec(variants=("original", "gain(db=-6)")),
        "window_seed": FeatureSpec(windows="random"),
        "max_windows": FeatureSpec(windows="all"),
    }.get(field, FeatureSpec())
