"""A trial's data on its device: stored log-mels stay resident as they are, batches are made of them there.

Enters: `TrialData`. Leaves: `DevicePart`s, and from them batches, scaled, repeated over channels and resized. Shapes:
B = batch, C = channels, M = mel bands, T = frames, L = labels, D = size of an embedding.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from storage.errors import InvalidInput
from storage.split import PARTS, Part
from training.config import TrialConfig
from training.data import PartData, TrialData
from training.embedding_spec import EmbeddingSpec
from training.recipe import Activation, InputConfig, LossConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class DevicePart:
    """One part on the device.

    Attributes:
        log_mel: (rows, M, T) in dB, of the stored dtype: half the memory of float32; or embeddings, float32 (rows, D).
            On the CPU it may lie in memory that other processes read too: nobody writes to it.
        targets: float32 (rows, L), in [0, 1].
        clip_of_row: int64 (rows,), index into `clip_ids`; on the CPU, where orders are drawn.
        clip_ids, groups: one per clip, sorted by clip id.
        first_row: int64 (clips,), the first row of every clip.
        first_label: int64 (clips,), the label that the corpus names first; on the CPU.
    """

    log_mel: torch.Tensor
    targets: torch.Tensor
    clip_of_row: torch.Tensor
    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    first_row: torch.Tensor
    first_label: torch.Tensor

    @property
    def num_rows(self) -> int:
        return len(self.targets)


def to_device(data: TrialData, loss: LossConfig, device: torch.device) -> dict[Part, DevicePart]:
    """Brings every part to the device once. On the CPU log-mels stay where they are, and are shared; on a GPU every
    process has a copy of its own, which counts where a trial's memory is measured (`probe.py`).

    Raises:
        InvalidInput: a clip has several labels and the loss takes one, or the log-mels do not fit into the memory.
    """
    if data.is_multi_label and not loss.takes_several_labels:
        raise InvalidInput(
            "trial.loss.kind",
            given=loss.kind,
            allowed="bce or focal, as there are clips with several labels",
            remedy="Set sweep.trial.loss.kind=bce (or train.trial.loss.kind=bce), or keep one label a clip.",
        )
    return {part: _part_to_device(data.parts[part], loss, device) for part in PARTS}


def _part_to_device(part: PartData, loss: LossConfig, device: torch.device) -> DevicePart:
    targets = part.has_label * np.float32(loss.secondary_target)
    targets[np.arange(len(targets)), part.first_label] = 1.0
    clip_ids, first_row, clip_of_row = np.unique(np.array(part.clip_ids), return_index=True, return_inverse=True)
    return DevicePart(
        log_mel=_resident(part.log_mel, device),
        targets=torch.tensor(targets, device=device),
        clip_of_row=torch.from_numpy(clip_of_row),
        clip_ids=tuple(map(str, clip_ids)),
        groups=tuple(part.groups[row] for row in first_row),
        first_row=torch.from_numpy(first_row),
        first_label=torch.from_numpy(part.first_label[first_row]),
    )


def _resident(log_mel: NDArray[np.floating[Any]], device: torch.device) -> torch.Tensor:
    """On the device; on the CPU it shares the array's memory where it may."""
    try:
        return _tensor(log_mel).to(device)
    except torch.OutOfMemoryError as e:  # `ran_out_of_memory` knows it by its cause
        raise InvalidInput(
            "the features",
            given=f"{len(log_mel)} rows of together {log_mel.nbytes:,} bytes",
            allowed=f"what fits into the memory that {device} has left",
            remedy="Let fewer trials share the GPU (gpus_per_trial), make smaller features, or set gpus_per_trial=0.",
        ) from e


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    """Shares the array's memory, also where it is read-only: all processes of a node read one copy of Ray's.

    torch warns of such arrays, as a tensor cannot refuse to be written to; batches are copies of its rows.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """From dB to what the model sees.

    Attributes:
        mean_db, deviation_db: of the train part.
    """

    config: InputConfig
    mean_db: float
    deviation_db: float

    def scaled(self, log_mel_BMT: torch.Tensor) -> torch.Tensor:
        """float32 (B, 1, M, T): standardised, or each window's own range as 0 … 1 (a constant one as 0)."""
        x_BMT = log_mel_BMT.float()
        if self.config.scaling == "standard":
            x_BMT = (x_BMT - self.mean_db) / self.deviation_db
        else:
            low, high = x_BMT.amin(dim=(1, 2), keepdim=True), x_BMT.amax(dim=(1, 2), keepdim=True)
            x_BMT = (x_BMT - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
        return x_BMT.unsqueeze(1)

    def shaped(self, x_B1MT: torch.Tensor) -> torch.Tensor:
        """(B, C, height, width): resized first, as one channel costs a third of three, then repeated."""
        config = self.config
        if config.height and x_B1MT.shape[2:] != (config.height, config.width):
            size = (config.height, config.width)
            x_B1MT = F.interpolate(x_B1MT, size=size, mode="bilinear", align_corners=False, antialias=True)
        return x_B1MT.expand(-1, config.channels, -1, -1)

    def input_size(self, shape: Sequence[int]) -> int:
        """Values in one channel of what the model sees. Args: shape: of a log-mel, (M, T)."""
        return self.config.height * self.config.width or math.prod(shape)


class AsStored:
    """In the place of `Scaling` where the inputs are embeddings, which the head takes as they are."""

    def scaled(self, embedding_BD: torch.Tensor) -> torch.Tensor:
        return embedding_BD

    def shaped(self, embedding_BD: torch.Tensor) -> torch.Tensor:
        return embedding_BD

    def input_size(self, shape: Sequence[int]) -> int:
        """Values of an embedding. Args: shape: (D,)."""
        return math.prod(shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceData:
    """Everything that a seed trains and is scored on.

    Attributes:
        embedding: what made the embeddings that are trained on; None for log-mels.
        labels: the vocabulary; an index into it is a column of targets and logits.
        is_multi_label: whether any clip has several labels; it decides what a good answer is.
        activation: what makes probabilities of logits.
        events: what a reader of the numbers should know.
    """

    parts: Mapping[Part, DevicePart]
    scaling: Scaling | AsStored
    labels: tuple[str, ...]
    is_multi_label: bool
    activation: Activation
    device: torch.device
    embedding: EmbeddingSpec | None = None
    events: tuple[str, ...] = ()

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    @property
    def device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def device_data(data: TrialData, config: TrialConfig, device: torch.device) -> DeviceData:
    """Brings a trial's data onto its device.

    Raises:
        InvalidInput: a clip has several labels and the loss takes one, or the log-mels do not fit into the memory.
    """
    log_mels = Scaling(config=config.input, mean_db=data.mean_db, deviation_db=data.deviation_db)
    return DeviceData(
        parts=to_device(data, config.loss, device),
        scaling=log_mels if data.embedding is None else AsStored(),
        labels=data.labels,
        is_multi_label=data.is_multi_label,
        activation=config.loss.activation(is_multi_label=data.is_multi_label),
        device=device,
        embedding=data.embedding,
        events=data.events,
    )
