"""Every backend on every device, for the contracts."""

from collections.abc import Callable

import pytest
import torch

from pipelines.backends import LogMelBackend, create_backend, list_backends
from pipelines.feature_spec import FeatureSpec

_DEVICES = {"cpu": ("cpu",), "dali": ("cpu", "cuda"), "torch": ("cpu", "cuda")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`make_backend` is each backend that the module names in BACKENDS, or each there is, on each of its devices."""
    if "make_backend" in metafunc.fixturenames:
        names = getattr(metafunc.module, "BACKENDS", list_backends())
        placed = [_param(name, device) for name in names for device in _DEVICES[name]]
        metafunc.parametrize("make_backend", placed, indirect=True)


@pytest.fixture
def make_backend(request: pytest.FixtureRequest) -> Callable[[FeatureSpec], LogMelBackend]:
    name, device = request.param
    return lambda spec: create_backend(name, spec, device=device)


def _param(name: str, device: str) -> object:
    marks = []
    if device == "cuda":
        no_cuda = not torch.cuda.is_available()
        marks = [pytest.mark.gpu, pytest.mark.skipif(no_cuda, reason="no CUDA device here")]
    return pytest.param((name, device), id=name if _DEVICES[name] == ("cpu",) else f"{name}-{device}", marks=marks)
