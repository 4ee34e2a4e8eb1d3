"""A trial's data: feature rows through a split, with statistics from its train part alone.

Enters: features and a split, both at rest. Leaves: `TrialData`, plain arrays that travel to workers, and `DeviceData`,
the same as normalised tensors that stay resident on the device for the whole trial.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from storage.errors import InvalidInput
from storage.feature_store import Features
from storage.split import PARTS, Part, Split
from training.moments import moments, selected_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class PartData:
    """The rows of one part.

    Attributes:
        log_mel: (rows, num_mels, num_frames), dB, as stored.
        targets: int64 (rows,), index into the labels.
        clip_ids: one per row; a clip cut into several windows has several rows.
    """

    log_mel: NDArray[np.floating[Any]]
    targets: NDArray[np.int64]
    clip_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialData:
    """All parts, with the label vocabulary, mean and deviation (dB) of the train part."""

    labels: tuple[str, ...]
    mean_db: float
    deviation_db: float
    parts: Mapping[Part, PartData]


def load_trial_data(features: Features, split: Split) -> TrialData:
    """Selects every part's rows. Validation and test see original recordings only, train sees all variants.

    Raises:
        InvalidInput: features of two channels, a clip with several labels, a label that no train clip has, or a part
            all of whose clips were quarantined.
    """
    _refuse_channels(features)
    _refuse_multi_label(features)
    rows = {part: _rows_of_part(features, split, part) for part in PARTS}
    labels = tuple(sorted({features.labels[row][0] for row in rows["train"]}))
    index = {label: position for position, label in enumerate(labels)}
    for part in PARTS:
        unseen = sorted({features.labels[row][0] for row in rows[part]} - index.keys())
        if unseen:
            raise InvalidInput(
                f"the {part} part",
                given=f"label {unseen[0]!r}",
                allowed="labels that the train part has",
                remedy="Draw a split in which every label is trained on.",
            )
    train = moments(selected_rows(features.log_mel, rows["train"]))
    parts: dict[Part, PartData] = {
        part: PartData(
            log_mel=features.log_mel[rows[part]],
            targets=np.array([index[features.labels[row][0]] for row in rows[part]], dtype=np.int64),
            clip_ids=tuple(features.clip_ids[row] for row in rows[part]),
        )
        for part in PARTS
    }
    # A constant train part (all silence) has no deviation to divide by.
    deviation_db = float(train.deviation) or 1.0
    return TrialData(labels=labels, mean_db=float(train.mean), deviation_db=deviation_db, parts=parts)


def _refuse_channels(features: Features) -> None:
    shape = features.log_mel.shape[1:]
    if len(shape) != 2:
        raise InvalidInput(
            "the features",
            given=f"shape {shape}",
            allowed="(bands, frames), as the architectures take one channel",
            remedy="Train on features.representation=iq_magnitude instead.",
        )


def _refuse_multi_label(features: Features) -> None:
    for clip_id, labels in zip(features.clip_ids, features.labels, strict=True):
        if len(labels) != 1:
            raise InvalidInput(
                f"labels of clip {clip_id}",
                given=list(labels),
                allowed="one label a clip",
                remedy="Multi-label training does not exist yet; keep one label.",
            )


def _rows_of_part(features: Features, split: Split, part: Part) -> list[int]:
    rows = [
        row
        for row, (clip_id, variant) in enumerate(zip(features.clip_ids, features.variants, strict=True))
        if split.parts.get(clip_id) == part and (part == "train" or variant == "original")
    ]
    if not rows:
        raise InvalidInput(
            f"the {part} part",
            given="no feature rows",
            allowed="at least one",
            remedy="See the quarantine of the features.",
        )
    return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class DevicePart:
    """One part on the device: inputs float32 (rows, 1, num_mels, num_frames), normalised; targets int64 (rows,)."""

    inputs: torch.Tensor
    targets: torch.Tensor
    clip_ids: tuple[str, ...]


def to_device(data: TrialData, device: torch.device) -> dict[Part, DevicePart]:
    """Copies every part to the device once, normalised with the train part's mean and deviation."""
    return {part: _part_to_device(data, data.parts[part], device) for part in PARTS}


def _part_to_device(data: TrialData, part: PartData, device: torch.device) -> DevicePart:
    # torch.tensor copies: arrays out of Ray's object store are read-only.
    log_mel = torch.tensor(part.log_mel, device=device).float()
    return DevicePart(
        inputs=((log_mel - data.mean_db) / data.deviation_db).unsqueeze(1),
        targets=torch.tensor(part.targets, device=device),
        clip_ids=part.clip_ids,
    )
