"""Heads on embeddings: the same numbers as with the frozen backbone run in every epoch, and never a mixture of both."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models import create_model
from storage.checkpoints import Checkpoint, Checkpoints
from storage.embedding_store import Embeddings
from storage.errors import InvalidInput, StorageError
from storage.object_store import open_store
from sweeps.embeddings import Embedder
from training import TrialConfig, TrialData, TrialResult, load_trial_data, run_trial
from training.config import with_values
from training.embedding_spec import EmbeddingSpec
from training.embeddings import (
    can_train_head,
    data_for,
    embedding_spec,
    frozen_backbone,
    hash_of_backbone,
    with_embeddings,
)
from training.first_weights import first_weights
from training.recipe import AugmentConfig

from .conftest import make_features, make_split


def write_weights(path: Path, *, seed: int, num_classes: int = 5) -> str:
    model = create_model("cnn", num_classes=num_classes, seed=seed, options={"width": 4})
    save_file(model.state_dict(), path)
    return str(path)


@pytest.fixture
def frozen(trial_config: TrialConfig, tmp_path: Path) -> TrialConfig:
    weights = write_weights(tmp_path / "weights.safetensors", seed=7)
    return replace(trial_config, weights=weights, freeze="backbone", augment=AugmentConfig(), epochs=3)


def spec_of(config: TrialConfig, data: TrialData) -> EmbeddingSpec:
    weights = first_weights(config)
    assert weights is not None
    return embedding_spec(config, data, hash_of_backbone(frozen_backbone(config, weights).backbone))


def embedded(config: TrialConfig, data: TrialData) -> TrialData:
    features, weights, spec = make_features(), first_weights(config), spec_of(config, data)
    assert weights is not None
    made = Embeddings(
        embedding=Embedder(frozen_backbone(config, weights), spec).embed(torch.from_numpy(features.log_mel)),
        clip_ids=features.clip_ids,
        variants=features.variants,
        windows=features.windows,
    )
    return with_embeddings(data, spec, made, make_split(features))


class Curve:
    """Remembers every epoch; may die after some."""

    def __init__(self, *, die_after: int | None = None) -> None:
        self.epochs: list[tuple[float, ...]] = []
        self._die_after = die_after

    def __call__(self, *, seed: int, seed_epoch: int, objective: float, metrics: Any) -> None:
        self.epochs.append((seed, metrics.epoch, metrics.train_loss, metrics.validation_loss, objective))
        if len(self.epochs) == self._die_after:
            raise KeyboardInterrupt


def run(config: TrialConfig, data: TrialData, folder: Path) -> tuple[TrialResult, list[tuple[float, ...]]]:
    curve = Curve()
    return run_trial(config, data, curve, Checkpoints(open_store(str(folder)), "trial")), curve.epochs


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"input.scaling": "unit", "input.channels": 3, "input.height": 24, "input.width": 32, "model.head": "mlp"},
        {"loop.ema_decay": 0.9, "optimizer.accumulate": 2, "optimizer.layer_decay": 0.5, "model.dropout": 0.5},
        {"loop.channels_last": True, "loop.sampling": "balanced", "optimizer.clip_norm": 0.1, "model.pooling": "max"},
    ],
    ids=["plain", "image", "averaged", "channels_last"],
)
def test_a_head_on_embeddings_trains_to_the_numbers_of_the_whole_frozen_model(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path, values: dict[str, Any]
) -> None:
    config = with_values(frozen, values)
    whole, whole_curve = run(config, trial_data, tmp_path / "whole")
    head, head_curve = run(config, embedded(config, trial_data), tmp_path / "head")
    assert whole_curve[0] != whole_curve[1]
    np.testing.assert_allclose(head_curve, whole_curve, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(head.seeds, whole.seeds, strict=True):
        assert (ours.best_epoch, ours.num_parameters) == (theirs.best_epoch, theirs.num_parameters)
        np.testing.assert_allclose(ours.test.probabilities, theirs.test.probabilities, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(ours.test_embeddings, theirs.test_embeddings, rtol=1e-4, atol=1e-5)
        assert ours.best_weights.keys() == theirs.best_weights.keys()
        for name, tensor in theirs.best_weights.items():
            torch.testing.assert_close(ours.best_weights[name], tensor, rtol=1e-4, atol=1e-6)
    assert ["embeddings" in seed.events[0] for seed in head.seeds] == [True, True]


def test_a_checkpoint_holds_no_backbone_and_a_resumed_head_equals_the_undisturbed_one_bit_for_bit(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    data = embedded(frozen, trial_data)
    expected, _ = run(frozen, data, tmp_path / "a")
    checkpoints = Checkpoints(open_store(str(tmp_path / "b")), "trial")
    with pytest.raises(KeyboardInterrupt):
        run_trial(frozen, data, Curve(die_after=3), checkpoints)
    found = checkpoints.newest("seed=1")
    assert found is not None
    assert not any("backbone" in name or "stages" in name for name in found.tensors)
    resumed = run_trial(frozen, data, Curve(), checkpoints)
    for ours, theirs in zip(resumed.seeds, expected.seeds, strict=True):
        assert np.array_equal(ours.test.probabilities, theirs.test.probabilities)


@pytest.mark.parametrize("begins_with", ["log-mels", "embeddings"])
def test_a_seed_does_not_change_its_way_in_the_middle(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path, begins_with: str
) -> None:
    ways = [trial_data, embedded(frozen, trial_data)]
    first, second = ways if begins_with == "log-mels" else ways[::-1]
    checkpoints = Checkpoints(open_store(str(tmp_path / "store")), "trial")
    with pytest.raises(KeyboardInterrupt):
        run_trial(frozen, first, Curve(die_after=2), checkpoints)
    with pytest.raises(StorageError, match=rf"seed 1 was made on {begins_with}.*this run trains on"):
        run_trial(frozen, second, Curve(), checkpoints)


def test_a_checkpoint_from_before_embeddings_goes_on_with_log_mels(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(open_store(str(tmp_path / "store")), "trial")
    with pytest.raises(KeyboardInterrupt):
        run_trial(frozen, trial_data, Curve(die_after=2), checkpoints)
    found = checkpoints.newest("seed=1")
    assert found is not None
    checkpoints.delete_all()
    state = {name: value for name, value in found.state.items() if name != "inputs"}
    checkpoints.save("seed=1", Checkpoint(step=found.step, tensors=found.tensors, state=state))
    assert run_trial(frozen, trial_data, Curve(), checkpoints).state == "finished"


def test_weights_that_changed_since_the_embeddings_were_made_are_refused(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    data = embedded(frozen, trial_data)
    write_weights(Path(frozen.weights), seed=8)
    with pytest.raises(StorageError, match="were made by a backbone with the hash"):
        run(frozen, data, tmp_path)


def test_weights_of_another_architecture_are_refused(frozen: TrialConfig, trial_data: TrialData) -> None:
    with pytest.raises(InvalidInput, match=r"trial\.weights.*weights of cnn.*do not fit the backbone"):
        spec_of(with_values(frozen, {"model.width": 8}), trial_data)


def test_embeddings_of_other_inputs_are_refused_and_not_chosen(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    data = embedded(frozen, trial_data)
    other = with_values(frozen, {"input.scaling": "unit"})
    assert data_for(frozen, trial_data, (data,)) is data
    assert data_for(other, trial_data, (data,)) is trial_data
    assert data_for(with_values(frozen, {"augment.roll": True}), trial_data, (data,)) is trial_data
    with pytest.raises(InvalidInput, match="of other inputs or another backbone"):
        run(other, data, tmp_path)


def test_the_identity_is_that_of_the_backbones_tensors_and_of_what_it_sees(
    frozen: TrialConfig, trial_data: TrialData, tmp_path: Path
) -> None:
    mine = spec_of(frozen, trial_data).embedding_id
    other_weights = write_weights(tmp_path / "other.safetensors", seed=8)
    other_head = write_weights(tmp_path / "head.safetensors", seed=7, num_classes=2)
    others = [
        with_values(frozen, {name: value})
        for name, value in {
            "weights": other_weights,
            "fingerprint": "e" * 16,
            "model.pooling": "max",
            "input.scaling": "unit",
            "input.channels": 3,
            "loop.precision": "bf16",
            "loop.channels_last": True,
        }.items()
    ]
    ids = [spec_of(config, trial_data).embedding_id for config in others]
    ids += [spec_of(with_values(frozen, {"input.height": 24, "input.width": 32}), trial_data).embedding_id]
    ids += [spec_of(frozen, replace(trial_data, mean_db=-50.0)).embedding_id]
    assert len({mine, *ids}) == 1 + len(others) + 2
    same = {
        "weights": other_head,
        "model.dropout": 0.5,
        "model.head": "mlp",
        "input.train_windows": "random",
        "optimizer.learning_rate": 0.1,
        "batch_size": 4,
    }
    for name, value in same.items():
        assert spec_of(with_values(frozen, {name: value}), trial_data).embedding_id == mine, name


def test_unit_scaling_does_not_belong_to_a_split(frozen: TrialConfig, trial_data: TrialData) -> None:
    config = with_values(frozen, {"input.scaling": "unit"})
    assert spec_of(config, trial_data) == spec_of(config, replace(trial_data, mean_db=-50.0, deviation_db=3.0))


def test_clips_that_were_left_out_for_their_labels_have_no_embeddings_either(
    frozen: TrialConfig, trial_data: TrialData
) -> None:
    features = make_features()
    split = make_split(features)
    left_out = split.clip_ids("test")[0]
    labels = tuple(
        ("unknown",) if clip_id == left_out else of_clip
        for clip_id, of_clip in zip(features.clip_ids, features.labels, strict=True)
    )
    data = load_trial_data(replace(features, labels=labels), split, unseen_labels="drop")
    values = np.arange(2 * len(features.clip_ids), dtype=np.float32).reshape(-1, 2)
    made = Embeddings(
        embedding=values, clip_ids=features.clip_ids, variants=features.variants, windows=features.windows
    )
    test = with_embeddings(data, spec_of(frozen, trial_data), made, split).parts["test"]
    assert left_out not in test.clip_ids
    expected = [values[features.clip_ids.index(clip_id)].tolist() for clip_id in test.clip_ids]
    assert test.log_mel.tolist() == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"freeze": "none"}, "freeze is none"),
        ({"freeze": "until(stages.0)"}, "freeze is until"),
        ({"weights": ""}, "random backbone of its own"),
        ({"augment.roll": True}, r"augment\.roll"),
        ({"augment.flip_probability": 0.5}, r"augment\.flip_probability"),
        ({"augment.frequency_flip_probability": 0.5}, r"augment\.frequency_flip_probability"),
        ({"augment.shift_frames": 2}, r"augment\.shift_frames"),
        ({"augment.shift_bands": 2}, r"augment\.shift_bands"),
        ({"augment.gain_db": 3.0}, r"augment\.gain_db"),
        ({"augment.inaugment_probability": 0.5}, r"augment\.inaugment_probability"),
        ({"augment.time_mask_frames": 4}, r"augment\.time_mask_frames"),
        ({"augment.frequency_mask_bands": 4}, r"augment\.frequency_mask_bands"),
        ({"augment.mix_alpha": 0.2}, r"augment\.mix_alpha"),
        ({"loop.swa_epochs": 2}, r"loop\.swa_epochs"),
        ({"loop.compile": True}, r"loop\.compile"),
    ],
)
def test_what_needs_the_backbone_in_every_epoch_is_told(
    frozen: TrialConfig, values: dict[str, Any], reason: str
) -> None:
    found = can_train_head(with_values(frozen, values))
    assert found is not None
    assert re.search(reason, found)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"augment.time_mask_frames": 4, "augment.time_masks": 0},
        {"augment.mix_alpha": 0.2, "augment.mix_probability": 0.0},
        {"augment.shift_frames": 2, "augment.shift_bands": 2, "augment.shift_probability": 0.0},
        {"loop.ema_decay": 0.9, "loop.channels_last": True},
    ],
)
def test_a_frozen_backbone_with_undisturbed_inputs_leaves_its_head_alone_to_train(
    frozen: TrialConfig, values: dict[str, Any]
) -> None:
    assert can_train_head(with_values(frozen, values)) is None
