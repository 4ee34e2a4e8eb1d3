"""What is held before anything is computed: the model, its inputs and its weights."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from models import create_model
from storage.errors import InvalidInput
from sweeps import ExperimentPlan, ExperimentSettings
from sweeps.configurations import with_weights_hash


def make_plan(architecture: str = "cnn", **trial: Any) -> ExperimentPlan:
    return ExperimentPlan(
        settings=ExperimentSettings(architecture=architecture, begin_with="plain", trial=trial),
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hashes={1: "5" * 16},
        device="cpu",
    )


def weights_of(architecture: str, path: Path) -> str:
    save_file(create_model(architecture, num_classes=7, in_channels=3, seed=1).state_dict(), path)
    return str(path)


def test_weights_of_another_architecture_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    trial = with_weights_hash({"weights": weights_of("timm/test_resnet", tmp_path / "w.safetensors")})
    make_plan("timm/test_resnet", **trial).check(feature_shape=(64, 64))
    with pytest.raises(InvalidInput, match=r"trial\.weights: .*w\.safetensors.*allowed: weights of timm/test_convnext"):
        make_plan("timm/test_convnext", **trial).check(feature_shape=(64, 64))


def test_a_file_that_holds_no_weights_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"<!DOCTYPE html>")
    trial = with_weights_hash({"weights": str(tmp_path / "w.safetensors")})
    with pytest.raises(InvalidInput, match=r"trial\.weights: .*neither safetensors nor a state dict"):
        make_plan(**trial).check(feature_shape=(64, 64))


def test_published_weights_are_planned_by_their_full_name_and_not_fetched() -> None:
    plan = make_plan("timm/test_resnet", weights="hub")
    plan.check(feature_shape=(64, 64))
    assert plan.trial_config(1).weights_hash == "timm/test_resnet.r160_in1k"
    assert make_plan("timm/test_resnet").trial_config(1).weights_hash == ""


def test_published_weights_that_nobody_publishes_are_refused_when_the_plan_is_made() -> None:
    with pytest.raises(InvalidInput, match=r"trial\.weights: got 'hub'.*'cnn' has no published weights"):
        make_plan(weights="hub").trial_config(1)
