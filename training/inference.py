"""A trained model in use: log-mels in dB go in, probabilities come out, scaled on the way as in its training.

Enters: tensors and a `ModelCard` (storage/model_file.py). Leaves: probabilities of windows, and of recordings. What is
exported is the same module, so nobody has to scale or resize by hand. Shapes: R = rows (windows), M = mel bands,
T = frames, L = labels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models import check_shapes, create_model
from storage.errors import InvalidInput, StorageError
from storage.model_file import ModelCard
from training.config import TrialConfig
from training.inputs import Scaling
from training.recipe import InputConfig
from training.row_batches import RowBatches
from training.scoring import clip_means
from training.steps import OutOfMemory, autocast

Aggregate = Literal["mean", "max"]


class InferenceModel(nn.Module):
    """Maps stored log-mels in dB to probabilities: scaling, resizing, channels, the trained model, softmax or sigmoid.

    Raises:
        StorageError: the weights are not those of the card's architecture, or the card names what no longer exists.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], card: ModelCard) -> None:
        super().__init__()
        try:
            inputs = InputConfig(**card.inputs)
            num_labels, channels = len(card.labels), inputs.channels
            check_shapes(card.architecture, tensors, num_classes=num_labels, in_channels=channels, options=card.options)
            self.model: nn.Module = create_model(
                card.architecture, num_classes=num_labels, in_channels=channels, seed=0, options=card.options
            )
            self.model.load_state_dict(dict(tensors))
        except (ValueError, TypeError, AttributeError, RuntimeError) as e:
            raise StorageError(
                f"the weights do not make a {card.architecture} of {len(card.labels)} labels ({e}). "
                "Use the model with the version of melsweep that wrote it."
            ) from e
        self._scaling = Scaling(config=inputs, mean_db=card.mean_db, deviation_db=card.deviation_db)
        self._activation = card.activation
        self.eval()

    def forward(self, log_mel_RMT: torch.Tensor) -> torch.Tensor:
        """(R, M, T) in dB, of any float type, to float32 (R, L)."""
        logits_RL = self.model(self._scaling.shaped(self._scaling.scaled(log_mel_RMT))).float()
        return logits_RL.sigmoid() if self._activation == "sigmoid" else logits_RL.softmax(dim=1)

    def input_size(self, shape: Sequence[int]) -> int:
        """Values in one channel of what the trained model sees. Args: shape: of a log-mel, (M, T)."""
        return self._scaling.input_size(shape)


class Predictor:
    """Predicts windows batch by batch on one device.

    On the kind of device that the model was trained on it computes with the trial's precision, so that its numbers are
    those of the trial's own evaluation; elsewhere in float32.

    Args:
        device: `cpu`, `cuda`, or `auto` for a GPU where this process has one.
        on_event: hears, in one sentence, what a reader of the log should know.

    Raises:
        InvalidInput: `device: cuda`, and this process has no GPU.
        StorageError: as `InferenceModel` and `precision_on`.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        card: ModelCard,
        *,
        device: str = "cpu",
        on_event: Callable[[str], None] = lambda event: None,
    ) -> None:
        has_gpu = torch.cuda.is_available()
        if device == "auto":
            device = "cuda" if has_gpu else "cpu"
        if device == "cuda" and not has_gpu:
            raise InvalidInput("device", given=device, allowed="cpu in this process", remedy="Use device=cpu.")
        self.card, self._device = card, torch.device(device)
        self._precision = precision_on(device, card)
        self.model = InferenceModel(tensors, card).to(self._device)
        self.batches = RowBatches(self._device, on_event=on_event)

    def __call__(self, log_mel: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Probabilities of every window.

        Args:
            log_mel: float16 or float32 (R, M, T), dB.

        Returns:
            float32 (R, L), in the order of the card's labels.

        Raises:
            InvalidInput: the architecture cannot take windows of this shape, or a single one does not fit into the
                device's memory.
        """

        def of_rows(rows: slice) -> torch.Tensor:
            # torch.tensor copies: arrays out of Parquet are read-only.
            found: torch.Tensor = self.model(torch.tensor(log_mel[rows], device=self._device))
            return found.cpu()

        input_size = self.model.input_size(log_mel.shape[1:])
        with torch.inference_mode(), autocast(self._precision, self._device):
            try:
                found = [batch.numpy() for batch in self.batches.answers(len(log_mel), of_rows, input_size=input_size)]
            except ValueError as e:
                raise InvalidInput(
                    "the features",
                    given=f"windows of shape {log_mel.shape[1:]}",
                    allowed="those that the model was trained on",
                    remedy=str(e),
                ) from e
            except OutOfMemory as e:
                raise InvalidInput(
                    "device", given=self._device.type, allowed="one with more memory left", remedy=f"{e}."
                ) from e
        return np.concatenate([np.empty((0, len(self.card.labels)), dtype=np.float32), *found])


def precision_on(device: str, card: ModelCard) -> str:
    """`fp32`, `bf16` or `fp16`: the trial's own on the kind of device that it ran on, float32 elsewhere.

    Args:
        device: `cpu` or `cuda`.

    Raises:
        StorageError: the card's trial is not one that this version of melsweep knows.
    """
    try:
        config = TrialConfig.from_dict(card.trial)
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise StorageError(
            f"the model's trial cannot be read ({type(e).__name__}: {e}). "
            "Use the model with the version of melsweep that wrote it."
        ) from e
    return config.precision_resolved if config.device == device else "fp32"


def of_recordings(
    probabilities_RL: NDArray[np.float32], recording_of_row: NDArray[np.int64], *, aggregate: Aggregate
) -> NDArray[np.float32]:
    """One row per recording, from its windows.

    Args:
        recording_of_row: 0, 1, 2 …, every number at least once.
        aggregate: `mean` as in the trial's evaluation, or the `max` of each label, which does not sum to 1.
    """
    num_recordings = int(recording_of_row.max(initial=-1)) + 1
    if aggregate == "mean":
        of_rows, places = torch.from_numpy(probabilities_RL), torch.from_numpy(recording_of_row)
        return clip_means(of_rows, places, num_recordings).numpy().astype(np.float32)
    found = np.zeros((num_recordings, probabilities_RL.shape[1]), dtype=np.float32)
    np.maximum.at(found, recording_of_row, probabilities_RL)
    return found
