"""A trial goes on from any epoch, and a seed from any step, as if nothing had happened."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trial_toys import Interrupted, Recorder, numbers, run

from storage.checkpoints import Checkpoint, Checkpoints
from storage.object_store import ObjectStore, open_store
from training import TrialConfig, TrialData, run_trial
from training.config import with_values
from training.inputs import device_data
from training.seed_run import SeedRun
from training.seed_turns import Paused

_RESUMED_OFTEN = {("cosine", 3), ("plateau", 4)}


@pytest.mark.parametrize(
    ("schedule", "die_after"),
    [
        pytest.param(schedule, die_after, marks=() if (schedule, die_after) in _RESUMED_OFTEN else pytest.mark.slow)
        for schedule in ("cosine", "one_cycle", "plateau", "constant")
        for die_after in (0, 1, 3, 4, 6)
    ],
)
def test_a_resumed_trial_equals_the_undisturbed_one_bit_for_bit(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Any, schedule: Any, die_after: int
) -> None:
    config = with_values(trial_config, {"schedule.kind": schedule, "schedule.plateau_patience": 0})
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


def test_a_checkpoint_holds_no_pickle(trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore) -> None:
    run(trial_config, trial_data, disk, Recorder())
    keys = [info.key for info in disk.list("trial/")]
    assert keys == ["trial/seed=1/step-00000020.safetensors", "trial/seed=2/step-00000020.safetensors"]
    assert SeedRun.__module__.encode() not in disk.get(keys[0])


# Everything that keeps a state between steps; each with its own random draws.
_STATEFUL: dict[str, dict[str, Any]] = {
    "plain": {},
    "sgd": {"optimizer.kind": "sgd", "optimizer.clip_norm": 0.5},
    "accumulated": {"optimizer.accumulate": 2},
    "ema": {"loop.ema_decay": 0.9},
    "swa": {"loop.swa_epochs": 2, "loop.swa_learning_rate": 0.001, "augment.frequency_flip_probability": 0.5},
    "shifted": {"augment.shift_frames": 3, "augment.shift_bands": 2, "loop.select_by": "kl"},
    "bf16": {"loop.precision": "bf16"},
    "cutmix": {"augment.mix": "cutmix", "augment.mix_probability": 0.5, "augment.gain_db": 6.0},
    "resizemix": {"augment.mix": "resizemix", "augment.inaugment_probability": 0.5, "augment.flip_probability": 0.5},
    "balanced": {"loop.sampling": "balanced", "schedule.kind": "plateau", "schedule.plateau_patience": 0},
    "larger": {"input.height": 24, "input.width": 32, "input.channels": 3, "input.scaling": "unit"},
    "layer-wise": {"optimizer.layer_decay": 0.8, "optimizer.decay_norms": False, "schedule.warmup_epochs": 0.5},
    "focal": {"loss.kind": "focal", "loss.class_weights": "balanced", "loss.label_smoothing": 0.1},
    "one cycle": {"schedule.kind": "one_cycle", "optimizer.kind": "adam"},
    "windows": {"input.train_windows": "random"},
    "channels last": {"loop.channels_last": True, "input.channels": 3},
    "frozen": {"freeze": "until(stages.0)", "loop.swa_epochs": 1},
    "early": {"epochs": 10, "loop.early_stopping_patience": 1, "loop.select_by": "loss"},
}


_OFTEN_TESTED = {"accumulated", "swa", "bf16", "resizemix", "balanced", "windows", "channels last"}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(values, id=name, marks=() if name in _OFTEN_TESTED else pytest.mark.slow)
        for name, values in _STATEFUL.items()
    ],
)
def test_a_seed_put_down_at_random_steps_equals_the_undisturbed_one_bit_for_bit(
    trial_config: TrialConfig,
    trial_data: TrialData,
    windowed_trial_data: TrialData,
    disk: ObjectStore,
    values: dict[str, Any],
) -> None:
    config = with_values(trial_config, {"epochs": 3, "seeds": (1,), **values})
    has_windows = config.input.train_windows == "random"
    data = device_data(windowed_trial_data if has_windows else trial_data, config, torch.device("cpu"))
    with torch.random.fork_rng():
        expected, epochs = SeedRun(config, seed=1, data=data), []
        while not expected.finished:
            epochs.append(expected.train_epoch())
        chance = np.random.default_rng(len(values))
        run = SeedRun(config, seed=1, data=data)
        while not run.finished:
            steps = iter(range(int(chance.integers(0, 4))))
            run.train_epoch(lambda steps=steps: next(steps, None) is None)  # type: ignore[misc]
            torch.rand(3)  # another process has another global state
            checkpoints = Checkpoints(disk, "trial")
            checkpoints.save("seed", run.checkpoint())
            found = checkpoints.newest("seed")
            assert found is not None
            run = SeedRun(config, seed=1, data=data)
            run.restore(found)
            for parameter, slots in run.optimizer.state.items():  # fused kernels refuse any other order in memory
                moments = [slot for slot in slots.values() if slot.shape == parameter.shape]
                assert all(moment.stride() == parameter.stride() for moment in moments)
        ours, theirs = run.checkpoint(), expected.checkpoint()
    assert [numbers(metrics) for metrics in run.history] == [numbers(metrics) for metrics in epochs if metrics]
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name in ours.tensors:
        assert torch.equal(ours.tensors[name], theirs.tensors[name]), name


def test_a_seed_whose_batches_are_computed_in_pieces_goes_on_so(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    config, checkpoints = with_values(trial_config, {"epochs": 2}), Checkpoints(disk, "trial")
    data = device_data(trial_data, config, torch.device("cpu"))
    with torch.random.fork_rng():
        expected, run, plain = (SeedRun(config, seed=1, data=data) for _ in range(3))
        expected.stepper.num_pieces = run.stepper.num_pieces = 2
        run.train_epoch(lambda: True)
        checkpoints.save("seed", run.checkpoint())
        found = checkpoints.newest("seed")
        assert found is not None
        again = SeedRun(config, seed=1, data=data)
        again.restore(found)
        for one in (expected, again, plain):
            while not one.finished:
                one.train_epoch()
    assert list(map(numbers, again.history)) == list(map(numbers, expected.history))
    assert list(map(numbers, plain.history)) != list(map(numbers, expected.history))  # BatchNorm sees the pieces


def test_a_pause_loses_not_even_a_step(trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path) -> None:
    expected, _ = run(trial_config, trial_data, open_store(str(tmp_path / "a")), Recorder())
    checkpoints = Checkpoints(open_store(str(tmp_path / "b")), "trial")
    asked = iter([False, False, True, True])
    with pytest.raises(Paused):
        run_trial(trial_config, trial_data, Recorder(), checkpoints, pause=lambda: next(asked))
    found = checkpoints.newest("seed=1")
    assert found is not None
    assert found.step == 3
    resumed = run_trial(trial_config, trial_data, Recorder(), checkpoints)
    for ours, theirs in zip(resumed.seeds, expected.seeds, strict=True):
        assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)


def test_long_epochs_are_stored_before_they_end(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[int] = []
    save = Checkpoints.save

    def watched(self: Checkpoints, name: str, found: Checkpoint) -> None:
        stored.append(found.step)
        save(self, name, found)

    monkeypatch.setattr(Checkpoints, "save", watched)
    config = with_values(trial_config, {"seeds": (1,), "epochs": 1})
    run_trial(config, trial_data, Recorder(), Checkpoints(disk, "trial"), checkpoint_every_s=0.0)
    assert stored == [1, 2, 3, 4, 5]
