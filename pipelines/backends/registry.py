"""What a backend owes, and which there are."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.feature_spec import FeatureSpec
from storage.errors import InvalidInput, nearest

_NAMES = ("cpu", "dali", "torch")


class LogMelBackend(Protocol):
    """Turns windows into log-mels.

    An implementer owes numbers within its stated tolerance of librosa (`tests/pipelines/backends/test_contract.py`),
    results for a window that do not depend on the other windows of the call, and windows back in the order given.
    Instances are used by one thread and are not pickled: every worker makes its own.
    """

    name: str
    tolerance_db: float

    def log_mel(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes log-mels.

        Args:
            windows: float32 (windows, window_samples) at the spec's sample rate.

        Returns:
            float32 (windows, num_mels, num_frames) in dB.
        """
        ...


def list_backends() -> tuple[str, ...]:
    return _NAMES


def create_backend(name: str, spec: FeatureSpec, *, device: str = "cpu") -> LogMelBackend:
    """Makes the backend `name` for `spec`.

    Args:
        device: `cpu` or `cuda`; only backends that know a device look at it.

    Raises:
        InvalidInput: an unknown name, or a device that the backend cannot use here.
    """
    if name == "cpu":
        from pipelines.backends.cpu import CpuBackend

        return CpuBackend(spec)
    if name == "dali":
        from pipelines.backends.dali import DaliBackend  # heavy, and optional where there is no x86-64 Linux

        return DaliBackend(spec, device=device)
    if name == "torch":
        from pipelines.backends.torch import TorchBackend  # seconds to import; the other backends do without

        return TorchBackend(spec, device=device)
    raise InvalidInput(
        "pipeline.backend", given=name, allowed=", ".join(_NAMES), remedy=f"{nearest(name, _NAMES)}Choose one of these."
    )
