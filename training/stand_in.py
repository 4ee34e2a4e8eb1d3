"""Data in the place of a trial's own, to measure what a trial costs before there are any features.

Enters: the shape of a row and the labels of some clips. Leaves: `TrialData` of noise. How long a step takes, and how
much memory, follows from shapes and sizes alone.
"""

from collections.abc import Sequence

import numpy as np

from storage.split import PARTS
from training.config import TrialConfig
from training.data import PartData, TrialData

_SCORED_ROWS = 256  # the most that a probe answers at once
_SEED = 0


def stand_in(
    config: TrialConfig, *, feature_shape: tuple[int, ...], labels_of_clips: Sequence[Sequence[str]], num_scored: int
) -> TrialData:
    """As many rows as a few steps need.

    Args:
        feature_shape: (bands, frames).
        labels_of_clips: of the data set's clips; every label is among those of some train row.
        num_scored: rows of validation, of which no more than 256 are made.
    """
    names = tuple(sorted({name for names in labels_of_clips for name in names}))
    first_of = {name: place for place, of_clip in enumerate(labels_of_clips) for name in of_clip}
    several = max(labels_of_clips, key=len)  # whether clips have several labels decides what is computed
    chosen = [*(labels_of_clips[place] for place in first_of.values()), several]
    sizes = {
        "train": max(2 * config.batch_size * config.optimizer.accumulate, len(chosen)),
        "validation": max(1, min(num_scored, _SCORED_ROWS)),
        "test": 1,
    }
    generator = np.random.default_rng(_SEED)
    return TrialData(
        labels=names,
        mean_db=-40.0,
        deviation_db=20.0,
        parts={part: _part(sizes[part], feature_shape, chosen, names, generator) for part in PARTS},
    )


def _part(
    num_rows: int,
    feature_shape: tuple[int, ...],
    labels: Sequence[Sequence[str]],
    names: Sequence[str],
    generator: np.random.Generator,
) -> PartData:
    has_label = np.zeros((num_rows, len(names)), dtype=np.bool_)
    for row in range(num_rows):
        has_label[row, [names.index(name) for name in labels[row % len(labels)]]] = True
    rows = tuple(f"row {row}" for row in range(num_rows))
    return PartData(
        log_mel=generator.uniform(-80, 0, (num_rows, *feature_shape)).astype(np.float16),
        has_label=has_label,
        first_label=has_label.argmax(axis=1).astype(np.int64),
        clip_ids=rows,
        groups=rows,
    )
