"""A trial's data: feature rows through a split, with statistics from its train part alone.

Enters: features and a split, both at rest. Leaves: `TrialData`, plain arrays that travel to workers; `inputs.py` brings
them onto the device.
"""

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput, first_few
from storage.feature_store import Features
from storage.split import PARTS, Part, Split
from training.embedding_spec import EmbeddingSpec
from training.moments import moments, selected_rows
from training.recipe import UnseenLabels

_LEAST_DEVIATION_DB = 1e-6  # what is below is rounding: a constant train part (all silence) has none to divide by


@dataclass(frozen=True, kw_only=True, slots=True)
class PartData:
    """The rows of one part.

    Attributes:
        log_mel: (rows, num_mels, num_frames), dB, as stored; of embedded data float32 (rows, embedding_size).
        has_label: bool (rows, labels).
        first_label: int64 (rows,), index into the labels of the one that the corpus names first.
        clip_ids, groups: one per row; a clip cut into several windows has several rows.
    """

    log_mel: NDArray[np.floating[Any]]
    has_label: NDArray[np.bool_]
    first_label: NDArray[np.int64]
    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialData:
    """All parts, with the label vocabulary, mean and deviation (dB) of the train part.

    Attributes:
        embedding: what made the embeddings that stand in the place of log-mels; None for log-mels.
        events: what a reader of the numbers should know, one sentence each.
    """

    labels: tuple[str, ...]
    mean_db: float
    deviation_db: float
    parts: Mapping[Part, PartData]
    embedding: EmbeddingSpec | None = None
    events: tuple[str, ...] = ()

    @property
    def is_multi_label(self) -> bool:
        """Whether any clip has more labels than one."""
        return any(bool((part.has_label.sum(axis=1) > 1).any()) for part in self.parts.values())


def load_trial_data(features: Features, split: Split, *, unseen_labels: UnseenLabels = "refuse") -> TrialData:
    """Selects every part's rows. Validation and test see original recordings only, train sees all variants.

    Args:
        unseen_labels: what becomes of labels that no train clip has (`LossConfig.unseen_labels`).

    Raises:
        InvalidInput: features of two channels, a clip without label, a label that no train clip has and that is not to
            be dropped, or a part all of whose clips were quarantined or dropped.
    """
    _refuse_channels(features)
    rows = {part: rows_of_part(features.clip_ids, features.variants, split, part) for part in PARTS}
    trained = {label for row in rows["train"] for label in features.labels[row]}
    events: tuple[str, ...] = ()
    vocabulary = trained
    if unseen_labels == "drop":
        vocabulary = {label for of_clip in features.labels for label in of_clip}
        features, rows, events = _without(vocabulary - trained, features, rows)
    labels = tuple(sorted(vocabulary))
    parts = {part: _part(features, rows[part], part, labels) for part in PARTS}
    train = moments(selected_rows(features.log_mel, rows["train"]))
    deviation_db = float(train.deviation) if train.deviation > _LEAST_DEVIATION_DB else 1.0
    return TrialData(labels=labels, mean_db=float(train.mean), deviation_db=deviation_db, parts=parts, events=events)


def _without(
    unseen: Set[str], features: Features, rows: Mapping[Part, list[int]]
) -> tuple[Features, dict[Part, list[int]], tuple[str, ...]]:
    """Features without some labels, the rows that have others, and what happened, in words."""
    labels = tuple(tuple(label for label in of_clip if label not in unseen) for of_clip in features.labels)
    kept = {part: [row for row in of_part if labels[row] or not features.labels[row]] for part, of_part in rows.items()}
    for part, of_part in kept.items():
        _refuse_nothing(of_part, part, "Draw a split in which more labels are trained on.")
    left_out = {part: _clips(features, rows[part]) - _clips(features, kept[part]) for part in PARTS}
    told = ", ".join(f"{len(clips)} of {part}" for part, clips in left_out.items() if clips)
    left = f"; clips left out, as they have no other label: {told}" if told else ""
    names = first_few(sorted(unseen))
    event = f"no training clip has the labels {names}, which were dropped from validation and test{left}"
    return dataclasses.replace(features, labels=labels), kept, (event,) if unseen else ()


def _clips(features: Features, rows: list[int]) -> set[str]:
    return {features.clip_ids[row] for row in rows}


def _part(features: Features, rows: list[int], part: Part, labels: tuple[str, ...]) -> PartData:
    index = {label: position for position, label in enumerate(labels)}
    has_label = np.zeros((len(rows), len(labels)), dtype=np.bool_)
    first_label = np.zeros(len(rows), dtype=np.int64)
    for position, row in enumerate(rows):
        of_clip = features.labels[row]
        if not of_clip or not index.keys() >= set(of_clip):
            raise InvalidInput(
                f"the {part} part",
                given=f"clip {features.clip_ids[row]} with the labels {list(of_clip)}",
                allowed="labels that the train part has, at least one a clip",
                remedy="Give clips without one a label, draw a split in which every label is trained on, or set "
                "trial.loss.unseen_labels=drop.",
            )
        has_label[position, [index[label] for label in of_clip]] = True
        first_label[position] = index[of_clip[0]]
    return PartData(
        log_mel=features.log_mel[rows],
        has_label=has_label,
        first_label=first_label,
        clip_ids=tuple(features.clip_ids[row] for row in rows),
        groups=tuple(features.groups[row] for row in rows),
    )


def _refuse_channels(features: Features) -> None:
    shape = features.log_mel.shape[1:]
    if len(shape) != 2:
        raise InvalidInput(
            "the features",
            given=f"shape {shape}",
            allowed="(bands, frames), as the architectures take one channel",
            remedy="Train on features.representation=iq_magnitude instead.",
        )


def rows_of_part(clip_ids: Sequence[str], variants: Sequence[str], split: Split, part: Part) -> list[int]:
    """Row numbers of a part, of rows with these clip ids and variants.

    Raises:
        InvalidInput: there are none.
    """
    rows = [
        row
        for row, (clip_id, variant) in enumerate(zip(clip_ids, variants, strict=True))
        if split.has(clip_id, part) and (part == "train" or variant == "original")
    ]
    _refuse_nothing(rows, part, "See the quarantine of the features.")
    return rows


def _refuse_nothing(rows: Sequence[int], part: Part, remedy: str) -> None:
    if not rows:
        raise InvalidInput(f"the {part} part", given="no feature rows", allowed="at least one", remedy=remedy)
