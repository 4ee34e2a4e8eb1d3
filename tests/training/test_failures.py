"""A seed that fails loses nothing that was achieved: not its epochs, its best weights, nor the other seeds."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoint, Checkpoints
from storage.errors import InvalidInput
from storage.object_store import open_store
from training import SeedResult, TrainingFailed, TrialConfig, TrialData, run_trial
from training.config import with_values
from training.fuse_choice import FuseSeeds
from training.inputs import device_data
from training.losses import Loss
from training.progress import EpochMetrics
from training.seed_group import SeedGroup
from training.seed_run import SeedRun
from training.steps import OutOfMemory

STEPS_PER_EPOCH = 5


class Trial:
    """A trial in a folder, and what its caller has heard."""

    def __init__(self, config: TrialConfig, data: TrialData, folder: Path) -> None:
        self._config, self._data = config, data
        self.checkpoints = Checkpoints(open_store(str(folder)), "trial")
        self.heard: list[tuple[int, int]] = []
        self.received: list[SeedResult] = []

    def run(self, *, fuse_seeds: FuseSeeds = "never", **more: Any) -> None:
        def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> None:
            self.heard.append((seed, metrics.epoch))

        run_trial(
            self._config,
            self._data,
            report,
            self.checkpoints,
            on_seed=self.received.append,
            fuse_seeds=fuse_seeds,
            **more,
        )


def make_nan_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of this step, counted from 1 over all seeds, and of those after it is NaN."""
    calls, healthy = [0], Loss.__call__

    def sick(self: Loss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return healthy(self, logits, targets) * (float("nan") if calls[0] >= call else 1.0)

    monkeypatch.setattr(Loss, "__call__", sick)


def newest(trial: Trial, name: str) -> Checkpoint:
    found = trial.checkpoints.newest(name)
    assert found is not None
    return found


def are_finite(checkpoint: Checkpoint) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in checkpoint.tensors.values())


def test_a_seed_that_diverges_late_keeps_its_epochs_its_best_weights_and_the_finished_seeds(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(with_values(trial_config, {"seeds": (1, 2, 3)}), trial_data, tmp_path)
    make_nan_at(4 * STEPS_PER_EPOCH + 2 * STEPS_PER_EPOCH + 3, monkeypatch)
    with pytest.raises(TrainingFailed, match="seed 2, after epoch 3: the training loss is not finite from step 3 on"):
        trial.run()
    assert trial.heard == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]
    assert [result.seed for result in trial.received] == [1]
    kept = newest(trial, "seed=2")
    assert kept.step == 2 * STEPS_PER_EPOCH
    assert are_finite(kept)
    assert any(name.startswith("best.") for name in kept.tensors)
    assert trial.checkpoints.newest("seed=3") is None


def test_a_checkpoint_within_an_epoch_never_holds_a_nan(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(with_values(trial_config, {"seeds": (1,)}), trial_data, tmp_path)
    make_nan_at(2 * STEPS_PER_EPOCH + 3, monkeypatch)
    with pytest.raises(TrainingFailed, match=r"seed 1, epoch 3, after 3 steps: .* from step 3 on"):
        trial.run(checkpoint_every_s=0.0)
    kept = newest(trial, "seed=1")
    assert kept.step == 2 * STEPS_PER_EPOCH + 2
    assert are_finite(kept)


def test_weights_that_a_finite_loss_has_ruined_are_not_stored_either(
    trial_config: TrialConfig, trial_data: TrialData
) -> None:
    run = SeedRun(trial_config, seed=1, data=device_data(trial_data, trial_config, torch.device("cpu")))

    def ruin() -> bool:
        next(run.model.parameters()).data.fill_(float("inf"))
        return True

    with torch.random.fork_rng(), pytest.raises(TrainingFailed, match="after 1 steps: a weight is not finite"):
        run.train_epoch(ruin)


def fail_in(monkeypatch: pytest.MonkeyPatch, *, seed: int, epoch: int) -> None:
    """Spoils a seed's weights at the end of an epoch."""
    finish = SeedRun.finish_epoch

    def sick(self: SeedRun, *, train_seconds: float) -> EpochMetrics:
        if self.seed == seed and len(self.history) + 1 == epoch:
            next(self.model.parameters()).data.fill_(float("nan"))
        return finish(self, train_seconds=train_seconds)

    monkeypatch.setattr(SeedRun, "finish_epoch", sick)


@pytest.mark.parametrize("sick", [1, 2])
def test_a_seed_that_fails_leaves_the_group_and_the_others_end_as_without_it(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sick: int
) -> None:
    config = with_values(trial_config, {"seeds": (1, 2, 3), "epochs": 3})
    healthy = Trial(config, trial_data, tmp_path / "healthy")
    healthy.run(fuse_seeds="always")
    trial = Trial(config, trial_data, tmp_path / "sick")
    fail_in(monkeypatch, seed=sick, epoch=2)
    with pytest.raises(
        TrainingFailed, match=f"seed {sick}, after epoch 2: the model's output on validation is not finite"
    ):
        trial.run(fuse_seeds="always")
    assert trial.heard == [(seed, epoch) for seed in (1, 2, 3) for epoch in (1, 2, 3) if seed != sick or epoch == 1]
    assert [result.seed for result in trial.received] == [seed for seed in (1, 2, 3) if seed != sick]
    expected = {result.seed: result.test.probabilities for result in healthy.received}
    for result in trial.received:
        np.testing.assert_allclose(result.test.probabilities, expected[result.seed], atol=1e-5, rtol=0)


def test_a_group_keeps_the_best_weights_of_the_seed_that_left_it(
    trial_config: TrialConfig, trial_data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = device_data(trial_data, trial_config, torch.device("cpu"))
    fail_in(monkeypatch, seed=2, epoch=2)
    with torch.random.fork_rng():
        group = SeedGroup([SeedRun(trial_config, seed=seed, data=data) for seed in (1, 2)])
        for _ in range(3):
            group.train_epoch()
        again = SeedGroup([SeedRun(trial_config, seed=seed, data=data) for seed in (1, 2)])
    again.restore(group.checkpoint())
    left = again.runs[1]
    assert "not finite" in left.failure
    assert [metrics.epoch for metrics in left.history] == [1]
    assert [len(run.history) for run in group.runs] == [3, 1]
    assert left.result().best_epoch == 1


def test_a_group_that_is_put_down_when_all_of_its_seeds_have_failed_ends(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_nan_at(1, monkeypatch)
    trial = Trial(trial_config, trial_data, tmp_path)
    with pytest.raises(TrainingFailed, match="seed 1, epoch 1, after 1 steps: the training loss is not finite"):
        trial.run(fuse_seeds="always", checkpoint_every_s=0.0)
    assert trial.heard == []


@pytest.mark.filterwarnings("ignore:Error detected")
def test_anomaly_mode_names_the_operation_and_ends_the_trial_as_failed(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loss, "__call__", lambda self, logits, targets: (logits * 0).sum().sqrt())
    trial = Trial(with_values(trial_config, {"loop.detect_anomaly": True}), trial_data, tmp_path)
    with pytest.raises(TrainingFailed, match="seed 1, after epoch 0: the gradient of MulBackward0 is NaN"):
        trial.run()


@pytest.mark.parametrize(("name", "what"), [("device_data", "the data"), ("SeedRun", "the model")])
def test_what_does_not_fit_into_memory_before_the_first_step_is_named(
    trial_config: TrialConfig,
    trial_data: TrialData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    what: str,
) -> None:
    def scarce(*arguments: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(importlib.import_module("training.run_trial"), name, scarce)
    with pytest.raises(OutOfMemory, match=f"^{what} needs more memory than cpu has left. Use a smaller model"):
        Trial(trial_config, trial_data, tmp_path).run()


def test_a_gpu_that_only_emulates_bf16_is_refused_with_what_to_do(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    config = with_values(trial_config, {"device": "cuda", "loop.precision": "auto"})
    with pytest.raises(InvalidInput, match=r"got 'auto'; allowed: fp16 or fp32.*precision=fp16 or fp32"):
        Trial(config, trial_data, tmp_path).run()
