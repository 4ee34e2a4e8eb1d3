"""A model taken from its file says what its trial said of the same clips, whatever was done to the inputs."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from storage.checkpoints import Checkpoints
from storage.errors import InvalidInput, StorageError
from storage.model_file import ModelCard, from_bytes, to_bytes
from storage.object_store import open_store
from training import SeedResult, TrialConfig, TrialData, run_trial
from training.inference import InferenceModel, Predictor, of_recordings
from training.model_card import model_card
from training.recipe import InputConfig, LossConfig

FEATURES = {"num_mels": 16, "variants": ("original",), "uint8_range_db": None}


def trained(config: TrialConfig, data: TrialData, folder: object) -> SeedResult:
    config = dataclasses.replace(config, seeds=(1,), epochs=2)
    checkpoints = Checkpoints(open_store(str(folder)), "checkpoints")
    return run_trial(config, data, lambda **_: None, checkpoints).seeds[0]


def predictor_of(config: TrialConfig, data: TrialData, result: SeedResult) -> Predictor:
    """By way of the bytes of the model's file."""
    card = model_card(config, result, data, features=FEATURES)
    return Predictor(*from_bytes(to_bytes(result.best_weights, card), name="toy"))


@pytest.mark.parametrize(
    ("inputs", "loss"),
    [
        (InputConfig(), LossConfig()),
        (InputConfig(scaling="unit", channels=3, height=24, width=32), LossConfig()),
        (InputConfig(), LossConfig(kind="bce")),
        (InputConfig(), LossConfig(kind="focal")),
    ],
    ids=["standard", "unit, three channels, resized", "one by one", "focal"],
)
def test_a_model_says_what_its_trial_said(
    trial_config: TrialConfig, trial_data: TrialData, inputs: InputConfig, loss: LossConfig, tmp_path: object
) -> None:
    config = dataclasses.replace(trial_config, input=inputs, loss=loss)
    result = trained(config, trial_data, tmp_path)
    part = trial_data.parts["test"]
    found = predictor_of(config, trial_data, result)(part.log_mel)
    order = [part.clip_ids.index(clip_id) for clip_id in result.test.clip_ids]
    np.testing.assert_allclose(found[order], result.test.probabilities, atol=1e-6)
    assert np.ptp(found) > 0.01
    assert (loss.kind == "bce") == (not np.allclose(found.sum(axis=1), 1, atol=1e-3))
    assert not result.test.is_multi_label
    assert result.test.score == result.test.accuracy


def test_a_card_of_before_activations_were_named_keeps_its_meaning(card: ModelCard) -> None:
    old = {name: value for name, value in dataclasses.asdict(card).items() if name != "activation"}
    assert ModelCard(**old).activation == "softmax"
    assert ModelCard(**{**old, "is_multi_label": True}).activation == "sigmoid"


def test_the_batches_do_not_matter(trial_config: TrialConfig, trial_data: TrialData, tmp_path: object) -> None:
    predictor = predictor_of(trial_config, trial_data, trained(trial_config, trial_data, tmp_path))
    log_mel = trial_data.parts["train"].log_mel
    whole = predictor(log_mel)
    predictor.batches.most_rows = 8
    np.testing.assert_allclose(predictor(log_mel), whole, atol=1e-6)
    assert predictor(log_mel[:0]).shape == (0, 3)


def test_the_card_says_where_a_model_comes_from(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: object
) -> None:
    result = trained(trial_config, trial_data, tmp_path)
    card = model_card(trial_config, result, trial_data, features=FEATURES)
    assert card.labels == trial_data.labels
    assert card.scores["test"]["accuracy"] == result.test.accuracy
    assert TrialConfig.from_dict(card.trial) == trial_config
    assert from_bytes(to_bytes({}, card), name="toy")[1] == card


def test_recordings_are_summed_up_by_mean_or_max() -> None:
    windows = np.array([[0.2, 0.8], [0.5, 0.5], [0.6, 0.4]], dtype=np.float32)
    place = np.array([0, 1, 0])
    np.testing.assert_allclose(of_recordings(windows, place, aggregate="mean"), [[0.4, 0.6], [0.5, 0.5]])
    np.testing.assert_allclose(of_recordings(windows, place, aggregate="max"), [[0.6, 0.8], [0.5, 0.5]])
    assert of_recordings(windows[:0], place[:0], aggregate="mean").shape == (0, 2)
    assert of_recordings(windows[:0], place[:0], aggregate="max").shape == (0, 2)


@pytest.fixture
def card(trial_config: TrialConfig, trial_data: TrialData, tmp_path: object) -> ModelCard:
    result = trained(trial_config, trial_data, tmp_path)
    return model_card(trial_config, result, trial_data, features=FEATURES)


def test_what_does_not_fit_together_is_refused(card: ModelCard) -> None:
    with pytest.raises(StorageError, match="do not make a cnn of 3 labels"):
        InferenceModel({}, card)
    with pytest.raises(StorageError, match="do not make a cnnn"):
        InferenceModel({}, dataclasses.replace(card, architecture="cnnn"))


def test_windows_of_another_size_than_the_architecture_takes_are_refused(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: object
) -> None:
    predictor = predictor_of(trial_config, trial_data, trained(trial_config, trial_data, tmp_path))
    with pytest.raises(InvalidInput, match=r"windows of shape \(4, 20\)"):
        predictor(np.zeros((1, 4, 20), dtype=np.float32))


def test_windows_that_do_not_fit_at_once_are_predicted_in_halves(
    trial_config: TrialConfig, trial_data: TrialData, tmp_path: object
) -> None:
    result = trained(trial_config, trial_data, tmp_path)
    card, log_mel = model_card(trial_config, result, trial_data, features=FEATURES), trial_data.parts["train"].log_mel
    events: list[str] = []
    predictor = Predictor(result.best_weights, card, on_event=events.append)
    whole, most_rows = predictor(log_mel), 5

    def hold(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if len(inputs[0]) > most_rows:
            raise torch.OutOfMemoryError

    predictor.model.register_forward_pre_hook(hold)
    np.testing.assert_allclose(predictor(log_mel), whole, atol=1e-6)
    assert events == ["out of memory: rows are now answered 4 at once"]
    most_rows = 0
    with pytest.raises(InvalidInput, match=r"device: got 'cpu'.*one clip needs more memory than cpu has left"):
        predictor(log_mel)


@pytest.mark.parametrize(
    "trial", [{"no_such_field": 1}, {}, {"seeds": None}, {"freeze": 3}], ids=["unknown", "empty", "null", "a number"]
)
def test_a_card_of_another_version_is_refused(card: ModelCard, trial: dict[str, object]) -> None:
    other = dataclasses.replace(card, trial=trial if not trial else {**card.trial, **trial})
    with pytest.raises(StorageError, match=r"the model's trial cannot be read.*the version of melsweep that wrote it"):
        Predictor({}, other)
