"""A trial learns, stops when told, and goes on from any epoch as if nothing had happened."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoints
from storage.object_store import ObjectStore, open_store
from training import SeedResult, TrialConfig, TrialData, run_trial
from training.run_trial import TrialResult
from training.seed_run import EpochMetrics, SeedRun, TrainingFailed


class Interrupted(Exception):
    """Stands for a process that dies."""


class Recorder:
    """A caller that remembers what was reported and may stop or die after a number of reports."""

    def __init__(self, *, stop_at: int | None = None, die_after: int | None = None) -> None:
        self.reported: list[tuple[int, int, float, EpochMetrics]] = []
        self._stop_at, self._die_after = stop_at, die_after

    def __call__(self, *, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> str | None:
        self.reported.append((seed, seed_epoch, objective, metrics))
        if self._die_after is not None and len(self.reported) > self._die_after:
            raise Interrupted
        return "stop" if seed_epoch == self._stop_at else None


@pytest.fixture
def disk(tmp_path: Any) -> ObjectStore:
    return open_store(str(tmp_path))


def run(
    config: TrialConfig, data: TrialData, store: ObjectStore, recorder: Recorder
) -> tuple[TrialResult, list[SeedResult]]:
    received: list[SeedResult] = []
    result = run_trial(config, data, recorder, Checkpoints(store, "trial"), on_seed=received.append)
    return result, received


def numbers(metrics: EpochMetrics) -> tuple[float, ...]:
    """Everything about an epoch that must repeat; its duration cannot."""
    return (
        metrics.epoch,
        metrics.train_loss,
        metrics.validation_loss,
        metrics.validation_accuracy,
        metrics.learning_rate,
    )


def test_a_trial_learns_bands_that_a_ruler_could_tell_apart(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    result, received = run(replace(trial_config, epochs=12, mixup_alpha=0.0), trial_data, disk, Recorder())
    assert result.state == "finished"
    assert [seed.seed for seed in received] == [1, 2]
    assert min(seed.test.accuracy for seed in result.seeds) > 0.8
    assert result.objective == pytest.approx(np.mean([seed.validation.accuracy for seed in result.seeds]))


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
@pytest.mark.parametrize("die_after", [0, 1, 3, 4, 6])
def test_a_resumed_trial_equals_the_undisturbed_one_bit_for_bit(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Any, schedule: Any, die_after: int
) -> None:
    config = replace(trial_config, schedule=schedule, plateau_patience=0)
    undisturbed = Recorder()
    expected, _ = run(config, trial_data, open_store(str(tmp_path / "a")), undisturbed)

    store = open_store(str(tmp_path / "b"))
    first = Recorder(die_after=die_after)
    with pytest.raises(Interrupted):
        run(config, trial_data, store, first)
    torch.rand(7)  # another process would have another global state
    second = Recorder()
    resumed, received = run(config, trial_data, store, second)

    heard = {(seed, metrics.epoch): numbers(metrics) for seed, _, _, metrics in [*first.reported, *second.reported]}
    assert heard == {(seed, metrics.epoch): numbers(metrics) for seed, _, _, metrics in undisturbed.reported}
    assert {seed.seed for seed in received} == {1, 2}
    for ours, theirs in zip(resumed.seeds, expected.seeds, strict=True):
        assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)
        assert ours.best_epoch == theirs.best_epoch


def test_the_last_epoch_is_reported_again_after_a_resume(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    first, second = Recorder(die_after=2), Recorder()
    with pytest.raises(Interrupted):
        run(trial_config, trial_data, disk, first)
    run(trial_config, trial_data, disk, second)
    assert second.reported[0][:2] == first.reported[-1][:2]


def test_a_stopped_trial_trains_no_further_epoch(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    recorder = Recorder(stop_at=2)
    result, received = run(trial_config, trial_data, disk, recorder)
    assert (result.state, result.seed_epochs, len(recorder.reported), received) == ("stopped", 2, 2, [])


def test_the_result_of_a_seed_is_received_before_its_last_epoch_is_reported(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    result, received = run(trial_config, trial_data, disk, Recorder(stop_at=trial_config.epochs))
    assert result.state == "stopped"
    assert [seed.seed for seed in received] == [1]


def test_early_stopping_ends_a_seed_and_the_next_one_begins(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    config = replace(trial_config, epochs=40, early_stopping_patience=3, mixup_alpha=0.0)
    result, _ = run(config, trial_data, disk, Recorder())
    assert result.state == "finished"
    assert all(seed.epochs_trained == seed.best_epoch + 3 < 40 for seed in result.seeds)


def test_a_loss_that_is_not_finite_fails_the_trial(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    with pytest.raises(TrainingFailed, match=r"not finite|loss is"):
        run(replace(trial_config, learning_rate=1e30), trial_data, disk, Recorder())


def test_the_callers_random_state_is_left_alone(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    before = torch.get_rng_state()
    run(trial_config, trial_data, disk, Recorder())
    assert torch.equal(before, torch.get_rng_state())


def test_the_best_epoch_is_chosen_on_validation_and_scored_with_its_own_weights(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    recorder = Recorder()
    result, _ = run(replace(trial_config, seeds=(1,), epochs=8), trial_data, disk, recorder)
    epochs = [metrics for _, _, _, metrics in recorder.reported]
    best = max(epochs, key=lambda metrics: (metrics.validation_accuracy, -metrics.validation_loss))
    seed = result.seeds[0]
    assert seed.best_epoch == best.epoch
    assert seed.validation.loss == best.validation_loss


def test_another_seed_gives_another_run(trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore) -> None:
    recorder = Recorder()
    run(trial_config, trial_data, disk, recorder)
    losses = {seed: metrics.train_loss for seed, _, _, metrics in recorder.reported if metrics.epoch == 1}
    assert losses[1] != losses[2]


def test_a_checkpoint_holds_no_pickle(trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore) -> None:
    run(trial_config, trial_data, disk, Recorder())
    keys = [info.key for info in disk.list("trial/")]
    assert keys == ["trial/seed=1/epoch-0004.safetensors", "trial/seed=2/epoch-0004.safetensors"]
    assert SeedRun.__module__.encode() not in disk.get(keys[0])
