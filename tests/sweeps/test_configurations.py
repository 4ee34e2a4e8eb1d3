"""What is told before anything is computed: labels that cannot be trained, and weights that do not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models import create_model
from storage.errors import InvalidInput
from storage.split import Part, Split
from sweeps.configurations import check_first_weights, check_labels
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


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(2)}, path)
    with pytest.raises(InvalidInput, match=r"trial\.weights.*weights of cnn"):
        check_first_weights(config(weights=str(path)))


def test_weights_that_nobody_publishes_are_refused_and_those_that_fit_are_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no published weights"):
        check_first_weights(config(weights="hub"))
    save_file(create_model("cnn", num_classes=5, seed=1).state_dict(), tmp_path / "cnn.safetensors")
    check_first_weights(config(weights=str(tmp_path / "cnn.safetensors")))
    check_first_weights(config())
