"""A trained model for other programs, as one file that takes log-mels in dB and gives probabilities.

Enters: an `InferenceModel` and its card. Leaves: the file's bytes, held against the model itself. Scaling, resizing and
channels are inside the file; the card travels in its metadata. The formats: onnx_file.py, torch_file.py.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from storage.errors import InvalidInput
from storage.model_file import ModelCard
from training import onnx_file, torch_file
from training.inference import InferenceModel

Format = Literal["onnx", "torch"]

TOLERANCE = 1e-4  # of a probability
_NUM_WINDOWS = 5


class PortableFormat(Protocol):
    """What the file of a format owes. Both functions may be called again, and keep nothing."""

    SUFFIX: str

    def encode(self, model: InferenceModel, example_RMT: torch.Tensor, about: Mapping[str, str]) -> bytes:
        """The file's bytes, for batches of any size, with `about` in its metadata.

        Raises:
            InvalidInput: a package is missing, or the format cannot express the model.
        """
        ...

    def answers(self, data: bytes, log_mel_RMT: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the file, loaded again, says of windows.

        Raises:
            Exception: of the format's runtime, whatever it has.
        """
        ...


_FORMATS: dict[Format, PortableFormat] = {"onnx": onnx_file, "torch": torch_file}


@dataclass(frozen=True, kw_only=True, slots=True)
class PortableModel:
    """Attributes:
    largest_difference: of any probability, to the model itself, over a few random windows and a silent one.
    """

    data: bytes
    suffix: str
    largest_difference: float


def portable_model(
    tensors: Mapping[str, torch.Tensor], card: ModelCard, *, shape: tuple[int, ...], format: Format
) -> PortableModel:
    """Writes a model in another format and checks that it says the same.

    Args:
        shape: of one window, (bands, frames).

    Raises:
        InvalidInput: the format cannot express the model or a package for it is missing, the file cannot be run, or its
            probabilities differ by more than 1e-4.
        StorageError: the weights are not those of the card's architecture.
    """
    model, form = InferenceModel(tensors, card), _FORMATS[format]
    windows = _windows(card, shape)
    data = form.encode(model, torch.from_numpy(windows[:2]), describe(card))
    # np.max, as of several numbers it tells of a NaN wherever it stands.
    difference = float(
        np.max([_difference(model, _answers(format, data, batch), batch) for batch in _batches(windows)])
    )
    if not difference <= TOLERANCE:
        given = f"{format}, whose probabilities differ from the model's by {difference:.1e}"
        raise _refused(format, given, f"one that differs by at most {TOLERANCE:g}")
    return PortableModel(data=data, suffix=form.SUFFIX, largest_difference=difference)


def describe(card: ModelCard) -> dict[str, str]:
    """The metadata of the file: what a program needs by itself, and the whole card, as JSON."""
    return {
        "input": "log_mel: float32 (batch, bands, frames), dB, as the features say; any batch",
        "output": "probabilities: float32 (batch, labels), "
        + ("one by one" if card.activation == "sigmoid" else "summing to 1"),
        "labels": json.dumps(card.labels),
        "features": json.dumps(dict(card.features), sort_keys=True),
        "fingerprint": card.fingerprint,
        "melsweep_model": json.dumps(dataclasses.asdict(card), sort_keys=True),
    }


def _windows(card: ModelCard, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise with the moments of the training's log-mels, and silence, which has no range to be scaled by."""
    found = np.random.default_rng(0).normal(card.mean_db, card.deviation_db, (_NUM_WINDOWS, *shape))
    found[-1] = card.mean_db
    return found.astype(np.float32)


def _batches(windows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """All, two with the silent one, and, as a batch of one is often a case of its own, one of noise and the silent."""
    return [windows, windows[-2:], windows[:1], windows[-1:]]


def _answers(format: Format, data: bytes, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        return _FORMATS[format].answers(data, windows)
    except Exception as e:  # each runtime has errors of its own
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise _refused(format, f"{format}, whose file cannot be run ({reason})", "one that runs") from e


def _difference(model: InferenceModel, found: NDArray[np.float32], windows: NDArray[np.float32]) -> float:
    with torch.inference_mode():
        expected = model(torch.from_numpy(windows)).numpy()
    return float(np.abs(found - expected).max())


def _refused(format: Format, given: str, allowed: str) -> InvalidInput:
    other = next(other for other in _FORMATS if other != format)
    return InvalidInput("format", given=given, allowed=allowed, remedy=f"Take format={other}.")
