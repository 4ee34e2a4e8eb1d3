"""A trial learns, stops when told, and goes on from any epoch as if nothing had happened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoint, Checkpoints
from storage.object_store import ObjectStore, open_store
from training import SeedResult, TrialConfig, TrialData, run_trial
from training.config import with_values
from training.inputs import device_data
from training.progress import EpochMetrics
from training.run_trial import TrialResult
from training.seed_group import SeedGroup
from training.seed_run import SeedRun
from training.seed_turns import Paused
from training.steps import TrainingFailed


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
        metrics.validation_score,
        metrics.learning_rate,
    )


def test_a_trial_learns_bands_that_a_ruler_could_tell_apart(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    result, received = run(
        with_values(trial_config, {"seeds": (2, 4), "epochs": 20, "augment.mix_alpha": 0.0}),
        trial_data,
        disk,
        Recorder(),
    )
    assert result.state == "finished"
    assert [seed.seed for seed in received] == [2, 4]
    assert min(seed.test.score for seed in result.seeds) > 0.8
    assert result.objective == pytest.approx(np.mean([seed.validation.score for seed in result.seeds]))


_RESUMED_OFTEN = {("cosine", 3), ("one_cycle", 1), ("plateau", 4), ("constant", 0)}


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
    config = with_values(trial_config, {"epochs": 40, "loop.early_stopping_patience": 3, "augment.mix_alpha": 0.0})
    result, _ = run(config, trial_data, disk, Recorder())
    assert result.state == "finished"
    assert all(seed.epochs_trained == seed.best_epoch + 3 < 40 for seed in result.seeds)


def test_a_loss_that_is_not_finite_fails_the_trial(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    with pytest.raises(TrainingFailed, match=r"not finite|loss is"):
        run(with_values(trial_config, {"optimizer.learning_rate": 1e30}), trial_data, disk, Recorder())


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
    best = max(epochs, key=lambda metrics: (metrics.validation_score, -metrics.validation_loss))
    seed = result.seeds[0]
    assert seed.best_epoch == best.epoch
    assert seed.validation.loss == best.validation_loss


def test_the_epoch_with_the_lowest_kl_divergence_is_chosen_where_asked_to(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    recorder = Recorder()
    config = with_values(trial_config, {"seeds": (1,), "epochs": 8, "loop.select_by": "kl", "loss.kind": "bce"})
    result, _ = run(config, trial_data, disk, recorder)
    epochs = [metrics for _, _, _, metrics in recorder.reported]
    best = min(epochs, key=lambda metrics: metrics.validation_kl)
    assert result.seeds[0].best_epoch == best.epoch
    assert result.seeds[0].validation.scores["kl"] == pytest.approx(best.validation_kl)
    assert result.objective == best.validation_score


def test_a_seed_that_stops_before_its_average_begins_says_so(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore
) -> None:
    values = {"seeds": (1,), "epochs": 40, "loop.early_stopping_patience": 2, "loop.swa_epochs": 3}
    result, _ = run(with_values(trial_config, values), trial_data, disk, Recorder())
    (seed,) = result.seeds
    assert seed.epochs_trained < 38
    assert seed.events == (
        f"the weights are those of epoch {seed.best_epoch} and no average (SWA): early stopping ended the seed after "
        f"epoch {seed.epochs_trained}, before SWA began in epoch 38",
    )


def test_another_seed_gives_another_run(trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore) -> None:
    recorder = Recorder()
    run(trial_config, trial_data, disk, recorder)
    losses = {seed: metrics.train_loss for seed, _, _, metrics in recorder.reported if metrics.epoch == 1}
    assert losses[1] != losses[2]


@pytest.mark.parametrize("values", [{}, {"loop.ema_decay": 0.9, "augment.gain_db": 3.0, "model.dropout": 0.5}])
def test_a_seed_is_the_same_in_every_trial(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path, values: dict[str, Any]
) -> None:
    alone = with_values(trial_config, {"seeds": (42,), "epochs": 2, **values})
    among = replace(alone, seeds=(7, 42, 999))
    assert alone.trial_id != among.trial_id
    (ours,), theirs = (
        run(config, trial_data, open_store(str(tmp_path / name)), Recorder())[0].seeds
        for name, config in (("a", alone), ("b", among))
    )
    assert ours.best_weights.keys() == theirs[1].best_weights.keys()
    for name, tensor in ours.best_weights.items():
        assert torch.equal(tensor, theirs[1].best_weights[name]), name
    assert np.array_equal(ours.test.probabilities, theirs[1].test.probabilities)


def test_two_configurations_begin_with_the_same_weights_and_order(
    trial_config: TrialConfig, trial_data: TrialData
) -> None:
    first, batches = [], []
    for rate in (1e-3, 1e-2):
        config = with_values(trial_config, {"optimizer.learning_rate": rate})
        seed = SeedRun(config, seed=1, data=device_data(trial_data, config, torch.device("cpu")))
        seed.begin_epoch()
        first.append(torch.cat([parameter.detach().reshape(-1) for parameter in seed.model.parameters()]))
        with torch.random.fork_rng():
            batches.append(seed.next_batches()[0]()[0])
    assert torch.equal(*first)
    assert torch.equal(*batches)


def test_a_last_batch_of_one_clip_joins_the_one_before_it(trial_config: TrialConfig, trial_data: TrialData) -> None:
    num_clips = len(trial_data.parts["train"].clip_ids)
    for batch_size, sizes in ((7, [7, 7, 7, 7, 8]), (35, [36]), (36, [36]), (1, [1] * 36), (8, [8, 8, 8, 8, 4])):
        assert sum(sizes) == num_clips
        config = with_values(trial_config, {"batch_size": batch_size, "epochs": 1})
        seed = SeedRun(config, seed=1, data=device_data(trial_data, config, torch.device("cpu")))
        seed.begin_epoch()
        seen = []
        while not seed.epoch_is_trained:
            (batch,) = seed.next_batches()
            seen.append(batch.num_clips)
            seed.took_step(torch.zeros(()))
        assert seen == sizes
        assert seed.num_steps == len(sizes)


def test_seeds_that_train_together_join_it_too(trial_config: TrialConfig, trial_data: TrialData) -> None:
    config = with_values(trial_config, {"batch_size": 7, "epochs": 2})
    data = device_data(trial_data, config, torch.device("cpu"))
    with torch.random.fork_rng():
        group = SeedGroup([SeedRun(config, seed=seed, data=data) for seed in (1, 2)])
        alone = SeedRun(config, seed=2, data=data)
        while not group.finished:
            group.train_epoch()
            alone.train_epoch()
    for ours, theirs in zip(group.runs[1].history, alone.history, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=1e-5)


@pytest.mark.parametrize(("select_by", "best"), [("loss", "validation_loss"), ("score", "validation_score")])
def test_the_best_epoch_is_best_by_what_the_configuration_names(
    trial_config: TrialConfig, trial_data: TrialData, disk: ObjectStore, select_by: str, best: str
) -> None:
    values = {"loop.select_by": select_by, "seeds": (3,), "epochs": 12, "optimizer.learning_rate": 3e-2}
    result, _ = run(with_values(trial_config, values), trial_data, disk, recorder := Recorder())
    epochs = [metrics for *_, metrics in recorder.reported]
    wanted = min(epochs, key=lambda metrics: metrics.validation_loss)
    if best == "validation_score":
        wanted = max(epochs, key=lambda metrics: (metrics.validation_score, -metrics.validation_loss))
    assert result.seeds[0].best_epoch == wanted.epoch
    assert result.seeds[0].validation.loss == wanted.validation_loss
    assert len({metrics.validation_loss for metrics in epochs}) == 12


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
