"""What is held before anything is computed: labels, the model, its inputs and its weights."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from models import create_model
from storage.errors import InvalidInput
from storage.split import Part, Split
from sweeps import ExperimentPlan, ExperimentSettings
from sweeps.configurations import check_labels, check_published_weights, with_weights_hash
from training import TrialConfig
from training.recipe import LossConfig

PARTS: dict[str, Part] = {"a": "train", "b": "train", "c": "validation", "d": "test"}
SPLIT = Split(dataset="toy", policy="by hand", parts=PARTS, groups={clip_id: clip_id for clip_id in PARTS})
GOOD = {"a": ["dog"], "b": ["cat"], "c": ["dog"], "d": ["cat"]}


def config(**values: object) -> TrialConfig:
    return TrialConfig(architecture="cnn", dataset="d", fingerprint="f", split_hash="s", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"d": ["owl"]}, r"the test part of fold 2: got \"clip d with the labels \['owl'\]\""),
        ({"c": []}, r"the validation part of fold 2: got 'clip c with the labels \[\]'"),
        ({"a": ["dog", "cat"]}, r"train\.trial\.loss\.kind: got 'cross_entropy'.*bce or focal.*a first"),
    ],
)
def test_labels_that_cannot_be_trained_are_refused(changes: dict[str, list[str]], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        check_labels(GOOD | changes, SPLIT, config(), section="train", where=" of fold 2")


def test_several_labels_are_fine_for_a_loss_that_takes_them() -> None:
    several = config(loss=LossConfig(kind="bce"))
    check_labels({**GOOD, "a": ["dog", "cat"]}, SPLIT, several, section="train")
    check_labels(GOOD, SPLIT, config(), section="train")


def test_a_part_all_of_whose_clips_were_quarantined_is_refused() -> None:
    usable = {clip_id: labels for clip_id, labels in GOOD.items() if clip_id != "d"}
    with pytest.raises(InvalidInput, match=r"the test part: got 'no clip with features'"):
        check_labels(usable, SPLIT, config(), section="train")


def test_weights_that_nobody_publishes_are_refused_and_those_that_fit_are_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no published weights"):
        check_published_weights(config(weights="hub"))
    save_file(create_model("cnn", num_classes=5, seed=1).state_dict(), tmp_path / "cnn.safetensors")
    make_plan(weights=str(tmp_path / "cnn.safetensors")).check(feature_shape=(64, 64))
    check_published_weights(config())


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
