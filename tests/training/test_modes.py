"""torch's switches for a trial: half precision, compiling, deterministic operations, memory order."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoints
from storage.object_store import open_store
from training import SeedResult, TrialConfig, TrialData, run_trial
from training.config import with_values
from training.inputs import device_data
from training.seed_run import SeedRun


@pytest.fixture
def config(trial_config: TrialConfig) -> TrialConfig:
    return with_values(trial_config, {"seeds": (1,), "epochs": 3, "augment.mix_alpha": 0.0})


def train(config: TrialConfig, data: TrialData, folder: Path) -> SeedResult:
    return run_trial(config, data, lambda **_: None, Checkpoints(open_store(str(folder)), "trial")).seeds[0]


def test_fp16_scales_its_loss_and_goes_on_with_the_scale_that_it_had(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    config = with_values(config, {"loop.precision": "fp16", "optimizer.clip_norm": 1.0})
    data = device_data(trial_data, config, torch.device("cpu"))
    with torch.random.fork_rng():
        run, plain = (
            SeedRun(config, seed=1, data=data),
            SeedRun(with_values(config, {"loop.precision": "fp32"}), seed=1, data=data),
        )
        with run.stepper.autocast():
            assert run.model(run.example()).dtype == torch.float16
        run.train_epoch()
        plain.train_epoch()
        assert run.history[0].train_loss == pytest.approx(plain.history[0].train_loss, rel=0.05)
        assert run.history[0].train_loss != plain.history[0].train_loss
        checkpoints = Checkpoints(open_store(str(tmp_path)), "trial")
        checkpoints.save("seed", run.checkpoint())
        checkpoint = checkpoints.newest("seed")
        assert checkpoint is not None
        scaler = checkpoint.state["stepper"]["scaler"]
        assert scaler["scale"] > 1
        assert scaler["_growth_tracker"] > 0
        again = SeedRun(config, seed=1, data=data)
        again.restore(checkpoint)
        run.train_epoch()
        again.train_epoch()
    assert again.checkpoint().state["stepper"] == run.checkpoint().state["stepper"]
    assert again.history[1].train_loss == run.history[1].train_loss


def test_a_scale_that_is_too_large_skips_the_step_and_falls(config: TrialConfig, trial_data: TrialData) -> None:
    config = with_values(config, {"loop.precision": "fp16"})
    data = device_data(trial_data, config, torch.device("cpu"))
    with torch.random.fork_rng():
        run = SeedRun(config, seed=1, data=data)
        state = run.stepper.state()
        run.stepper.load({**state, "scaler": {**state["scaler"], "scale": 2.0**40}})
        before = [parameter.detach().clone() for parameter in run.model.parameters()]
        run.begin_epoch()
        loss = run.step(run.next_batches())
    assert loss.isfinite()
    assert all(torch.equal(old, new) for old, new in zip(before, run.model.parameters(), strict=True))
    assert run.stepper.state()["scaler"]["scale"] == 2.0**39


def _compiled_by(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = torch.compile

    def by_backend(model: Any) -> Any:
        return compile_(model, backend=backend)

    monkeypatch.setattr(torch, "compile", by_backend)


@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler here"),
            ],
        ),
    ],
)
def test_a_compiled_trial_trains_to_the_plain_ones_numbers_and_has_its_weights_names(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    if backend == "inductor":
        broken = "torch was installed over another version here: its compiler cannot be imported"
        pytest.importorskip("torch._inductor.compile_fx", reason=broken, exc_type=ImportError)
    config = with_values(config, {"epochs": 2, "model.dropout": 0.0})  # inductor draws dropout's masks its own way
    plain = train(config, trial_data, tmp_path / "a")
    _compiled_by(backend, monkeypatch)
    compiled = train(with_values(config, {"loop.compile": True}), trial_data, tmp_path / "b")
    assert compiled.best_weights.keys() == plain.best_weights.keys()
    np.testing.assert_allclose(compiled.test.probabilities, plain.test.probabilities, atol=1e-3)


def test_channels_last_trains_to_the_same_numbers(config: TrialConfig, trial_data: TrialData, tmp_path: Path) -> None:
    config = with_values(config, {"input.channels": 3})
    plain = train(config, trial_data, tmp_path / "a")
    last = train(with_values(config, {"loop.channels_last": True}), trial_data, tmp_path / "b")
    np.testing.assert_allclose(last.test.probabilities, plain.test.probabilities, atol=1e-3)


@pytest.mark.parametrize("was_set", [False, True])
def test_deterministic_and_anomaly_mode_last_as_long_as_the_trial(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, was_set: bool
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if was_set:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    plain = train(config, trial_data, tmp_path / "a")
    config = with_values(config, {"loop.deterministic": True, "loop.detect_anomaly": True})
    seen: list[tuple[bool, bool, str]] = []

    def watch(**_: Any) -> None:
        workspace = os.environ["CUBLAS_WORKSPACE_CONFIG"]
        seen.append((torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(), workspace))

    checkpoints = Checkpoints(open_store(str(tmp_path / "b")), "trial")
    (ours,) = run_trial(config, trial_data, watch, checkpoints).seeds
    assert seen == [(True, True, ":16:8" if was_set else ":4096:8")] * config.epochs
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_anomaly_enabled()
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":16:8" if was_set else None)
    assert np.array_equal(ours.test.probabilities, plain.test.probabilities)  # the CPU has no other operations
