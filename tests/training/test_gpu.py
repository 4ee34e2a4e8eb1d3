"""What is exact on the CPU, on a GPU: resumed runs, seeds that train together, half precision, memory orders.

With `loop.deterministic` a resumed run equals the undisturbed one bit for bit. Without it the order of atomic additions
differs from run to run; over these 15 steps probabilities may then differ by 1e-3 in fp32 and by 0.05 in bf16. Seeds
that train together give separate seeds' numbers within 1e-5 in fp32 without TF32, which cuDNN otherwise uses in
convolutions.
"""

import functools
import itertools
from collections.abc import Iterator
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
from training.seed_group import SeedGroup
from training.seed_run import SeedRun
from training.seed_turns import Paused

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]

FUSED_TOLERANCE = 1e-5
TOLERANCES = {"fp32": 1e-3, "bf16": 0.05}
_LAYOUTS: dict[str, dict[str, Any]] = {
    "fp32": {"loop.precision": "fp32"},
    "bf16": {"loop.precision": "bf16"},
    "fp16": {"loop.precision": "fp16"},
    "channels last": {"loop.precision": "fp32", "loop.channels_last": True, "input.channels": 3},
    "channels last, sgd, ema": {
        "loop.precision": "bf16",
        "loop.channels_last": True,
        "optimizer.kind": "sgd",
        "loop.ema_decay": 0.9,
    },
}


@pytest.fixture
def config(trial_config: TrialConfig) -> TrialConfig:
    return with_values(trial_config, {"device": "cuda", "seeds": (1,), "epochs": 3, "model.dropout": 0.3})


@pytest.fixture
def _without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def undisturbed(config: TrialConfig, data: TrialData, folder: Path) -> SeedResult:
    return run_trial(config, data, lambda **_: None, Checkpoints(open_store(str(folder)), "trial")).seeds[0]


def _is_over(steps: Iterator[int], most: int) -> bool:
    return next(steps) >= most


def put_down_at_random_steps(config: TrialConfig, data: TrialData, folder: Path) -> SeedResult:
    checkpoints, chance, num_pauses = Checkpoints(open_store(str(folder)), "trial"), np.random.default_rng(5), 0
    while True:
        steps = itertools.count()
        most = int(chance.integers(1, 4))
        try:
            result = run_trial(
                config, data, lambda **_: None, checkpoints, pause=functools.partial(_is_over, steps, most)
            )
        except Paused:
            num_pauses += 1
            torch.rand(3, device="cuda")  # another process has another global state
            continue
        assert num_pauses >= 3
        return result.seeds[0]


@pytest.mark.parametrize("values", _LAYOUTS.values(), ids=_LAYOUTS.keys())
def test_a_resumed_run_equals_the_undisturbed_one_bit_for_bit_with_deterministic_operations(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path, values: dict[str, Any]
) -> None:
    config = with_values(config, {"loop.deterministic": True, **values})
    ours = put_down_at_random_steps(config, trial_data, tmp_path / "a")
    theirs = undisturbed(config, trial_data, tmp_path / "b")
    assert ours.best_epoch == theirs.best_epoch
    for name, tensor in theirs.best_weights.items():
        assert torch.equal(ours.best_weights[name], tensor), name
    assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)


@pytest.mark.parametrize("precision", TOLERANCES)
def test_without_them_it_does_within_the_tolerance(
    config: TrialConfig, trial_data: TrialData, tmp_path: Path, precision: str
) -> None:
    config = with_values(config, {"loop.precision": precision})
    ours = put_down_at_random_steps(config, trial_data, tmp_path / "a")
    theirs = undisturbed(config, trial_data, tmp_path / "b")
    assert ours.epochs_trained == theirs.epochs_trained
    if ours.best_epoch == theirs.best_epoch:  # rounding may decide between two epochs that are as good
        difference = np.abs(ours.test.probabilities - theirs.test.probabilities).max()
        assert difference < TOLERANCES[precision]


@pytest.mark.usefixtures("_without_tf32")
@pytest.mark.parametrize("architecture", ["cnn", "alexnet"])
def test_seeds_that_train_together_become_what_they_become_alone(
    config: TrialConfig, trial_data: TrialData, large_trial_data: TrialData, architecture: str
) -> None:
    config = with_values(config, {"seeds": (1, 2), "optimizer.kind": "sgd"})
    if architecture == "alexnet":
        values = {"architecture": "alexnet", "batch_size": 4, "model": {"hidden_features": 16, "dropout": 0.3}}
        config = TrialConfig.from_dict({**config.to_dict(), **values})
    of_cnn = architecture == "cnn"
    data = device_data(trial_data if of_cnn else large_trial_data, config, torch.device("cuda"))
    with torch.random.fork_rng():
        group = SeedGroup([SeedRun(config, seed=seed, data=data) for seed in config.seeds])
        alone = [SeedRun(config, seed=seed, data=data) for seed in config.seeds]
        while not group.finished:
            group.train_epoch()
        for run in alone:
            while not run.finished:
                run.train_epoch()
        for ours, theirs in zip(group.runs, alone, strict=True):
            for together, separate in zip(ours.history, theirs.history, strict=True):
                assert together.train_loss == pytest.approx(separate.train_loss, abs=FUSED_TOLERANCE)
            left, right = ours.checkpoint().tensors, theirs.checkpoint().tensors
            for name, tensor in right.items():
                torch.testing.assert_close(left[name], tensor, atol=FUSED_TOLERANCE, rtol=0)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_is_used_and_trains_about_as_fp32_does(
    config: TrialConfig, trial_data: TrialData, precision: str, dtype: torch.dtype
) -> None:
    losses = {}
    for name in (precision, "fp32"):
        of_name = with_values(config, {"loop.precision": name})
        data = device_data(trial_data, of_name, torch.device("cuda"))
        with torch.random.fork_rng():
            run = SeedRun(of_name, seed=1, data=data)
            with run.stepper.autocast():
                assert run.model(run.example()).dtype == (torch.float32 if name == "fp32" else dtype)
            run.train_epoch()
        losses[name] = run.history[0].train_loss
        scaler = run.stepper.state()["scaler"]
        assert bool(scaler) == (name == "fp16")
    # The first steps of fp16 are skipped, until its scale has fallen far enough.
    assert losses[precision] == pytest.approx(losses["fp32"], rel=0.05 if precision == "bf16" else 0.25)
    assert losses[precision] != losses["fp32"]


def test_fp16_falls_back_from_a_scale_that_is_too_large(config: TrialConfig, trial_data: TrialData) -> None:
    config = with_values(config, {"loop.precision": "fp16", "optimizer.clip_norm": 1.0})
    data = device_data(trial_data, config, torch.device("cuda"))
    with torch.random.fork_rng():
        run = SeedRun(config, seed=1, data=data)
        state = run.stepper.state()
        run.stepper.load({**state, "scaler": {**state["scaler"], "scale": 2.0**40}})
        before = [parameter.detach().clone() for parameter in run.model.parameters()]
        run.begin_epoch()
        assert run.step(run.next_batches()).isfinite()
    assert all(torch.equal(old, new) for old, new in zip(before, run.model.parameters(), strict=True))
    assert run.stepper.state()["scaler"]["scale"] == 2.0**39


@pytest.mark.parametrize(
    ("architecture", "model"),
    [
        ("cnn", {"width": 4, "pooling": "avgmax"}),
        ("alexnet", {"hidden_features": 16}),
        ("timm/test_resnet", {"pooling": "avgmax"}),
        ("timm/test_resnet", {"pooling": "max"}),
    ],
)
def test_deterministic_operations_can_train_every_kind_of_pooling(
    config: TrialConfig, large_trial_data: TrialData, tmp_path: Path, architecture: str, model: dict[str, Any]
) -> None:
    values = {"architecture": architecture, "model": model, "epochs": 1, "batch_size": 4}
    config = TrialConfig.from_dict({**config.to_dict(), **values})
    config = with_values(config, {"loop.deterministic": True})
    assert undisturbed(config, large_trial_data, tmp_path).epochs_trained == 1
