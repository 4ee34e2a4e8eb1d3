"""A model as an ONNX file, for every runtime that reads one. The only file that imports onnx and onnxruntime.

session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(None, {"log_mel": log_mel})  # float32 (batch, bands, frames), dB
"""

import importlib.util
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InvalidInput

SUFFIX = ".onnx"

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # torch writes graphs by onnxscript
_MOST_BYTES = 2**31 - 2**24  # of weights in one protobuf message, with 16 MiB left for the graph


def encode(model: nn.Module, example_RMT: torch.Tensor, about: Mapping[str, str]) -> bytes:
    """The file; `about` are its metadata_props.

    Raises:
        InvalidInput: a package is missing, the model has an operation that ONNX has not, or 2 GiB or more.
    """
    _require_packages()
    import onnx

    if sum(tensor.nbytes for tensor in model.state_dict().values()) > _MOST_BYTES:
        raise _refusal("2 GiB of weights or more")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        program: Any = torch.onnx.export(
            model,
            (example_RMT,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=["log_mel"],
            output_names=["probabilities"],
            verbose=False,
        )
    except (RuntimeError, ValueError) as e:  # torch's errors of export are of these two
        raise _refusal((str(e).strip().splitlines() or [type(e).__name__])[0]) from e
    proto = program.model_proto
    _name_batch(proto)
    onnx.helper.set_model_props(proto, dict(about))
    return bytes(proto.SerializeToString())


def answers(data: bytes, log_mel_RMT: NDArray[np.float32]) -> NDArray[np.float32]:
    """What onnxruntime says of windows, on the CPU."""
    (found,) = _session(data).run(None, {"log_mel": log_mel_RMT})
    return np.asarray(found, dtype=np.float32)


def about(data: bytes) -> dict[str, str]:
    """The metadata_props of an ONNX file."""
    return dict(_session(data).get_modelmeta().custom_metadata_map)


def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _name_batch(proto: Any) -> None:
    """Gives the free dimension a name that people understand; torch calls it s48 or the like."""
    (given,) = proto.graph.input
    old = given.type.tensor_type.shape.dim[0].dim_param
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == old:
                dim.dim_param = "batch"


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidInput(
            "format",
            given="onnx",
            allowed=f"torch here, as {', '.join(missing)} is not installed",
            remedy="Install them with pip install 'melsweep[export]'.",
        )


def _refusal(reason: str) -> InvalidInput:
    return InvalidInput(
        "format", given=f"onnx for this model ({reason})", allowed="torch", remedy="Take format=torch instead."
    )
