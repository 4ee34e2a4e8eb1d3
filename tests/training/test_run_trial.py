"""A trial learns, stops when told, and goes on from any epoch as if nothing had happened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trial_toys import Recorder, run

from storage.object_store import ObjectStore, open_store
from training import TrialConfig, TrialData
from training.config import with_values
from training.inputs import device_data
from training.seed_group import SeedGroup
from training.seed_run import SeedRun
from training.steps import TrainingFailed


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
