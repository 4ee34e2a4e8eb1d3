"""A model as a .pt2 file of torch.export: a graph without Python, for torch alone.

program = torch.export.load("model.pt2").module()
probabilities = program(log_mel)  # float32 (batch, bands, frames), dB
"""

import io
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InvalidInput

SUFFIX = ".pt2"


def encode(model: nn.Module, example_RMT: torch.Tensor, about: Mapping[str, str]) -> bytes:
    """The file; `about` are its extra files, by name.

    Raises:
        InvalidInput: the model does what no graph can say.
    """
    try:
        program = torch.export.export(model, (example_RMT,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    except (RuntimeError, ValueError) as e:  # torch's errors of export are of these two
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise InvalidInput(
            "format", given=f"torch for this model ({reason})", allowed="onnx", remedy="Take format=onnx instead."
        ) from e
    file = io.BytesIO()
    torch.export.save(program, file, extra_files=dict(about))
    return file.getvalue()


def answers(data: bytes, log_mel_RMT: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the loaded file says of windows."""
    program = torch.export.load(io.BytesIO(data)).module()
    with torch.inference_mode():
        found: NDArray[np.float32] = program(torch.from_numpy(log_mel_RMT)).numpy()
    return found


def about(data: bytes, *names: str) -> dict[str, str]:
    """Extra files of a .pt2 file, as text."""
    found = dict.fromkeys(names, "")
    torch.export.load(io.BytesIO(data), extra_files=found)
    return found
