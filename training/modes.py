"""Where a trial trains, and torch's switches while it does."""

import contextlib
import os
from collections.abc import Iterator

import torch

from storage.errors import InvalidInput
from training.config import TrialConfig

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def modes(config: TrialConfig) -> Iterator[None]:
    """torch's switches for the length of a trial."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    sets_workspace = config.loop.deterministic and _CUBLAS_WORKSPACE not in os.environ
    if sets_workspace:
        os.environ[_CUBLAS_WORKSPACE] = ":4096:8"  # cuBLAS asks for it before its first call
    if config.loop.deterministic:
        torch.use_deterministic_algorithms(True)
    try:
        with torch.autograd.set_detect_anomaly(config.loop.detect_anomaly):
            yield
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
        if sets_workspace:
            del os.environ[_CUBLAS_WORKSPACE]


def device_of(config: TrialConfig) -> torch.device:
    """The device that the configuration asks for.

    Raises:
        InvalidInput: it asks for a GPU, or for bf16 on one, and this process has none.
    """
    if config.device == "cuda":
        if not torch.cuda.is_available():
            raise InvalidInput("trial.device", given="cuda", allowed="cpu in this process", remedy="Use device=cpu.")
        # Emulated bf16 is slower than fp32; and `auto` may not mean another precision on another GPU.
        if config.precision_resolved == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise InvalidInput(
                "trial.loop.precision",
                given=config.loop.precision,
                allowed="fp16 or fp32, as this GPU has no bf16",
                remedy="Set trial.loop.precision=fp16 or fp32.",
            )
    return torch.device(config.device)
