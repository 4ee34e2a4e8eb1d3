"""Groups that are dealt to parts: each once, the same way every time, and labels as even as scikit-learn has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipelines.group_dealing import deal_groups

NUM_PARTS = 5
Corpus = tuple[NDArray[np.int64], NDArray[np.int64]]


def _deal(corpus: Corpus, num_parts: int = NUM_PARTS, seed: int = 0) -> NDArray[np.integer]:
    return deal_groups(*corpus, num_parts=num_parts, generator=np.random.default_rng(seed))


def _pure(num_groups: int, num_labels: int) -> Corpus:
    """1 to 7 clips of one label in a group; the second label is half as common as the first, and so on."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 8, num_groups)
    labels = np.repeat(_zipf(rng, num_groups, num_labels), sizes)
    return _without_gaps(labels), np.repeat(np.arange(num_groups), sizes)


def _mixed(num_groups: int, num_labels: int) -> Corpus:
    """Groups of 2 clips to 200, of any labels: speakers, sites."""
    rng = np.random.default_rng(2)
    sizes = np.minimum(1 + rng.geometric(0.15, num_groups), 200)
    labels = _zipf(rng, int(sizes.sum()), num_labels)
    return _without_gaps(labels), np.repeat(np.arange(num_groups), sizes)


def _zipf(rng: np.random.Generator, number: int, num_labels: int) -> NDArray[np.int64]:
    weights = 1 / np.arange(1, num_labels + 1)
    return rng.choice(num_labels, number, p=weights / weights.sum())


def _without_gaps(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(labels, return_inverse=True)[1]


def _deviations(labels: NDArray[np.int64], part_of_clip: NDArray[np.integer]) -> NDArray[np.float64]:
    """By how much the share of each label in each part differs from an even one."""
    counts = np.zeros((NUM_PARTS, labels.max() + 1))
    np.add.at(counts, (part_of_clip, labels), 1)
    return np.abs(counts / np.bincount(labels) - 1 / NUM_PARTS)


def _by_sklearn(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.integer]:
    parts = np.full(len(labels), -1)
    folds = StratifiedGroupKFold(NUM_PARTS, shuffle=True, random_state=0)
    for part, (_, rows) in enumerate(folds.split(labels, labels, groups)):
        parts[rows] = part
    return parts


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize(
    "corpus",
    [_pure(200, 10), _pure(2_000, 40), _mixed(100, 6), _mixed(200, 10), _mixed(2_000, 10), _mixed(2_000, 200)],
    ids=["pure 200", "pure 2000", "mixed 100", "mixed 200", "mixed 2000", "mixed 2000 of many labels"],
)
def test_labels_are_as_even_as_scikit_learn_has_them(corpus: Corpus) -> None:
    labels, groups = corpus
    dealt, drawn = (_deviations(labels, parts) for parts in (_deal(corpus)[groups], _by_sklearn(labels, groups)))
    assert dealt.max() <= drawn.max() * 1.05 + 1e-9
    assert dealt.mean() <= drawn.mean() * 1.05 + 1e-9


def test_single_clips_differ_by_one_at_most() -> None:
    labels = np.random.default_rng(3).integers(0, 24, 5_000)
    parts = _deal((labels, np.arange(len(labels))))
    counts = np.zeros((NUM_PARTS, 24), dtype=int)
    np.add.at(counts, (parts, labels), 1)
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(np.bincount(parts)) <= 1


def test_a_seed_deals_one_way_and_another_seed_another() -> None:
    first, again, other = (_deal(_pure(500, 5), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_order_of_clips_within_groups_changes_nothing() -> None:
    labels, groups = _mixed(300, 8)
    shuffled = np.random.default_rng(0).permutation(len(labels))
    np.testing.assert_array_equal(_deal((labels, groups)), _deal((labels[shuffled], groups[shuffled])))


@given(
    clips=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=100),
    num_parts=st.integers(2, 7),
    seed=st.integers(0, 3),
)
def test_every_group_has_one_part_and_no_part_stays_empty_while_there_are_groups(
    clips: list[tuple[int, int]], num_parts: int, seed: int
) -> None:
    groups, labels = (_without_gaps(np.array(column)) for column in zip(*clips, strict=True))
    parts = _deal((labels, groups), num_parts, seed)
    assert parts.shape == (len(np.unique(groups)),)
    assert set(parts.tolist()) == set(range(min(num_parts, len(parts))))
