"""Memory of a GPU is shown while a trial trains on it, and of no CPU."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from sweep_toys import make_plan

from cluster.metrics import GPU_MEMORY_BYTES, Metric
from sweeps import trial_actor
from training import TrialConfig


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Metric, Any, dict[str, str]]]:
    """Filled while something is shown."""
    found: list[tuple[Metric, Any, dict[str, str]]] = []

    @contextlib.contextmanager
    def showing(metric: Metric, value: Callable[[], float], **tags: str) -> Iterator[None]:
        found.append((metric, value, tags))
        yield
        found.pop()

    monkeypatch.setattr(trial_actor, "showing", showing)
    return found


def config_on(device: Any) -> TrialConfig:
    return dataclasses.replace(make_plan().trial_config("cnn", {}), device=device)


def test_it_is_shown_for_as_long_as_a_trial_trains_on_a_gpu(shown: list[Any]) -> None:
    with trial_actor._gpu_memory_shown(config_on("cuda"), "s"):
        ((metric, value, tags),) = shown
        assert (metric, tags) == (GPU_MEMORY_BYTES, {"sweep": "s", "architecture": "cnn"})
        assert value() == torch.cuda.memory_reserved()
    assert shown == []


def test_of_a_cpu_there_is_nothing_to_show(shown: list[Any]) -> None:
    with trial_actor._gpu_memory_shown(config_on("cpu"), "s"):
        assert shown == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_is_shown_is_what_torch_holds(shown: list[Any]) -> None:
    kept = torch.zeros(64 << 20, dtype=torch.uint8, device="cuda")
    with trial_actor._gpu_memory_shown(config_on("cuda"), "s"):
        assert shown[0][1]() >= kept.numel()
