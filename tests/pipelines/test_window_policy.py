"""The laws of where windows begin: whole samples, none lost, none twice, drawn for the clip alone."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.feature_spec import FeatureSpec, seconds_to_samples

RANDOM = FeatureSpec(windows="random", max_windows=3, window_s=10.0, window_hop_s=10.0, sample_rate_hz=16_000)
PINNED_STARTS = [818_449, 872_027, 884_433]


@st.composite
def windowed_specs(draw: st.DrawFn) -> FeatureSpec:
    """Specs with `windows: all` whose windows leave no gaps."""
    window_s = draw(st.floats(0.05, 10.0))
    return FeatureSpec(
        sample_rate_hz=draw(st.integers(1_000, 96_000)),
        windows="all",
        window_s=window_s,
        window_hop_s=window_s * draw(st.floats(0.05, 1.0)),
        n_fft=256,
        num_mels=8,
    )


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
