"""Mean and deviation in one pass, held against numpy's two passes in float64."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from feature_toys import commit_rows, make_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.affine_scale import AffineScale
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore
from storage.split import Part, Split
from training import moments, stored_train_moments
from training.moments import selected_rows


def _far_from_zero(num_rows: int, *shape: int, dtype: str = "float16") -> np.ndarray[Any, Any]:
    """Mean 2,000, deviation 1 to 2: a sum of squares in float32 would lose it altogether."""
    return (2000 + np.random.default_rng(3).normal(0, 1, (num_rows, *shape))).astype(dtype)


def test_values_far_from_zero_keep_their_deviation() -> None:
    values = _far_from_zero(1000, 64, 108)
    found, exact = moments([values]), values.astype(np.float64)
    assert found.num_values == values.size
    assert found.mean == pytest.approx(exact.mean(), rel=1e-14)
    assert found.deviation == pytest.approx(exact.std(), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), per_band=st.booleans())
def test_the_pieces_do_not_matter(cuts: list[int], per_band: bool) -> None:
    values = _far_from_zero(60, 8, 10, dtype="float32")
    found = moments(np.split(values, sorted(cuts)), per_band=per_band)
    axes = (0, 2) if per_band else None
    exact = values.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(axis=axes), rtol=1e-14)
    np.testing.assert_allclose(found.deviation, exact.std(axis=axes), rtol=1e-11)


def test_bands_are_the_last_axis_but_one_of_any_shape() -> None:
    values = _far_from_zero(20, 2, 5, 7)
    found = moments([values], per_band=True)
    np.testing.assert_allclose(found.mean, values.astype(np.float64).mean(axis=(0, 1, 3)), rtol=1e-14)
    assert (found.deviation.shape, found.num_values) == ((5,), 20 * 2 * 7)


def test_equal_values_have_no_deviation_and_no_values_no_mean() -> None:
    assert float(moments([np.full((3000, 64, 10), -80.3, dtype=np.float16)]).deviation) < 1e-12
    with pytest.raises(ValueError, match="no log-mel"):
        moments([np.empty((0, 4, 5))])


def test_memory_is_that_of_blocks_not_of_the_features() -> None:
    values = np.zeros((12_000, 64, 108), dtype=np.float16)  # 166 MB; 664 MB as float64
    tracemalloc.start()
    moments(selected_rows(values, list(range(0, 12_000, 2))))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 40e6


@pytest.mark.parametrize("scale", [None, AffineScale(low_db=-80.0, high_db=0.0)])
def test_stored_features_give_those_of_their_train_part(store: ObjectStore, scale: AffineScale | None) -> None:
    values = np.random.default_rng(0).uniform(-80, 0, (40, 4, 6)).astype(np.float16)
    stored = scale.encode(values) if scale else values
    features = FeatureStore(store, dataset="toy", fingerprint="f")
    variants = ("original", "noise")
    halves = [
        make_rows(stored[20 * half : 20 * half + 20], first=10 * half, variants=variants, scale=scale)
        for half in range(2)
    ]
    commit_rows(features, halves)
    names = [f"c{number:05d}" for number in range(20)]
    turns: tuple[Part, ...] = ("train", "validation", "train", "test")
    parts = {name: turns[number % 4] for number, name in enumerate(names)}
    split = Split(dataset="toy", policy="by hand", parts=parts, groups=dict(zip(names, names, strict=True)))
    loaded = features.load()
    train = loaded.log_mel[[parts[clip_id] == "train" for clip_id in loaded.clip_ids]].astype(np.float64)
    assert len(train) == 20
    found = stored_train_moments(features, split, per_band=True)
    np.testing.assert_allclose(found.mean, train.mean(axis=(0, 2)), rtol=1e-13)
    np.testing.assert_allclose(found.deviation, train.std(axis=(0, 2)), rtol=1e-13)
