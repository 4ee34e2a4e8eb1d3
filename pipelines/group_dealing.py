"""Deals whole groups to parts so that each part has its share of every label: for more groups than scikit-learn is for.

Enters: the label and the group of every clip, as numbers. Leaves: the part of every group. Time and memory grow with
the clips, not with groups × labels.
"""

import numpy as np
from numpy.typing import NDArray


def deal_groups(
    labels: NDArray[np.integer], groups: NDArray[np.integer], *, num_parts: int, generator: np.random.Generator
) -> NDArray[np.integer]:
    """Assigns groups to parts one after the other, each to the part that has least of the group's labels so far.

    With c the clips of a label in a part and n those in all, the sum over labels and parts of (c / n)² is kept small:
    the variance of the parts' shares, where scikit-learn's StratifiedGroupKFold takes the mean of the standard
    deviations. A group of g clips of a label adds 2 Σ c g / n² to it, and a term that is the same for all parts; so
    only the labels that a group has are looked at. Ties go to the part with the fewest clips. Groups that hold the most
    of a label come first, in an order drawn among equals, so that small change comes last.

    Args:
        labels, groups: (clips,), each numbered from 0 without gaps.
        generator: decides among groups that weigh the same.

    Returns:
        (groups,), numbers from 0 to num_parts - 1; the same for the same arguments and state of the generator.
    """
    group, label, count = _counts(labels, groups)
    num_groups = int(group[-1]) + 1
    per_label = np.bincount(labels)[label]
    first = np.flatnonzero(np.diff(group, prepend=-1))
    drawn = generator.permutation(num_groups)
    weight = np.add.reduceat(np.square(count / per_label), first)
    order = drawn[np.argsort(-weight[drawn], kind="stable")]
    return _dealt(order, first, label, count, count / per_label**2, num_parts)


def _counts(
    labels: NDArray[np.integer], groups: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]:
    """Groups ascending, the labels that they have, and the clips of each; three arrays of one length."""
    num_labels = int(labels.max()) + 1
    pairs, count = np.unique(groups.astype(np.int64) * num_labels + labels, return_counts=True)
    return pairs // num_labels, pairs % num_labels, count


def _dealt(
    order: NDArray[np.integer],
    first: NDArray[np.integer],
    label: NDArray[np.integer],
    count: NDArray[np.integer],
    cost: NDArray[np.floating],
    num_parts: int,
) -> NDArray[np.integer]:
    """Plain lists on purpose: groups have a handful of labels, and numpy's calls would take ten times as long."""
    labels, counts, costs = label.tolist(), count.tolist(), cost.tolist()
    bounds = [*first.tolist(), len(labels)]
    loads = [[0] * num_parts for _ in range(int(label.max()) + 1)]
    sizes = [0] * num_parts
    part_of = np.empty(len(order), dtype=np.int64)
    for group in order.tolist():
        cells = range(bounds[group], bounds[group + 1])
        added = [0.0] * num_parts
        for cell in cells:
            for part, load in enumerate(loads[labels[cell]]):
                added[part] += load * costs[cell]
        best = min(zip(added, sizes, range(num_parts), strict=True))[2]
        part_of[group] = best
        for cell in cells:
            loads[labels[cell]][best] += counts[cell]
            sizes[best] += counts[cell]
    return part_of
