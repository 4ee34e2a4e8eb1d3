"""The weights that a trial begins with: which ones they are, what is told of them, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from models import create_model
from storage.checkpoints import Checkpoints
from storage.errors import InvalidInput, StorageError
from storage.object_store import open_store
from training import TrialConfig, TrialData, run_trial
from training.first_weights import first_weights, fit_weights, name_of_published, told_of


def _file(path: Path, architecture: str = "cnn", *, num_classes: int, in_channels: int = 1) -> str:
    options = {"width": 4} if architecture == "cnn" else {}
    model = create_model(architecture, num_classes=num_classes, in_channels=in_channels, seed=3, options=options)
    save_file(model.state_dict(), path)
    return str(path)


def test_a_result_says_what_was_loaded(trial_config: TrialConfig, trial_data: TrialData, tmp_path: Path) -> None:
    weights = _file(tmp_path / "w.safetensors", num_classes=5, in_channels=3)
    config = replace(trial_config, weights=weights, epochs=1)
    result = run_trial(config, trial_data, lambda **_: None, Checkpoints(open_store(str(tmp_path)), "trial"))
    for seed in result.seeds:
        (told,) = seed.events
        assert f"it began with 36 tensors of {weights}, stages.0.0.weight adapted to one channel" in told
        assert "and the head began at random; ignored: head.linear.bias, head.linear.weight" in told


def test_a_head_that_was_loaded_is_told(trial_config: TrialConfig, tmp_path: Path) -> None:
    config = replace(trial_config, weights=_file(tmp_path / "w.safetensors", num_classes=3))
    model = create_model("cnn", num_classes=3, seed=0, options={"width": 4})
    weights = first_weights(config)
    assert weights is not None
    told = told_of(config, fit_weights(model, config, weights))
    assert told.endswith("w.safetensors, the head's among them")


def test_weights_of_another_architecture_are_an_error_of_the_user(trial_config: TrialConfig, tmp_path: Path) -> None:
    config = replace(trial_config, weights=_file(tmp_path / "w.safetensors", "timm/test_resnet", num_classes=3))
    weights = first_weights(config)
    assert weights is not None
    with pytest.raises(InvalidInput, match=r"trial\.weights: .*w\.safetensors.*weights of cnn.* lack stages"):
        fit_weights(create_model("cnn", num_classes=3, seed=0, options={"width": 4}), config, weights)


class TestPublished:
    @pytest.fixture
    def hub(self, trial_config: TrialConfig) -> TrialConfig:
        return replace(trial_config, architecture="timm/test_resnet", model={}, weights="hub")

    def test_another_version_of_them_is_another_trial(self, hub: TrialConfig) -> None:
        planned = replace(hub, weights_hash=name_of_published(hub))
        assert planned.weights_hash == "timm/test_resnet.r160_in1k"
        assert replace(planned, weights_hash="timm/test_resnet.r224_in1k").trial_id != planned.trial_id

    def test_where_the_library_means_others_by_now_they_are_refused(
        self, hub: TrialConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetched: list[str] = []

        def fetch(name: str, **_: object) -> torch.nn.Module:
            fetched.append(name)
            return torch.nn.Linear(1, 1)

        monkeypatch.setattr(timm, "create_model", fetch)
        assert first_weights(replace(hub, weights_hash=name_of_published(hub))) is not None
        with pytest.raises(
            StorageError, match=r"planned with .*timm/test_resnet\.old, .*give timm/test_resnet\.r160_in1k"
        ):
            first_weights(replace(hub, weights_hash="timm/test_resnet.old"))
        assert fetched == ["test_resnet"]

    def test_weights_that_nobody_publishes_are_refused_without_a_network(self, hub: TrialConfig) -> None:
        with pytest.raises(InvalidInput, match=r"trial\.weights: got 'hub'.*'cnn' has no published weights"):
            first_weights(replace(hub, architecture="cnn"))
