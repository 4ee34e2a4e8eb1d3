"""A model file brings back what was put into it, and nothing else passes for one."""

import dataclasses

import pytest
import safetensors.torch
import torch

from storage.errors import InvalidInput, StorageError
from storage.model_file import ModelCard, from_bytes, model_key, to_bytes

CARD = ModelCard(
    architecture="cnn",
    options={"width": 4, "dropout": 0.3},
    labels=("Hund", "chat", "犬"),
    is_multi_label=False,
    features={"num_mels": 64, "variants": ["original"]},
    fingerprint="f" * 16,
    inputs={"scaling": "standard"},
    mean_db=-40.1,
    deviation_db=0.1 + 0.2,
    dataset="esc-1",
    split_hash="5" * 16,
    trial={"seeds": [1, 2]},
    seed=1,
    best_epoch=7,
    scores={"test": {"accuracy": 0.5, "macro_auc": None}},
)
TENSORS = {"head.weight": torch.arange(6.0).reshape(2, 3), "tied": torch.ones(3)[:2], "steps": torch.tensor(3)}


def test_weights_and_card_come_back_exactly() -> None:
    tensors, card = from_bytes(to_bytes(TENSORS, CARD), name="m")
    assert card == CARD
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_same_model_is_the_same_file() -> None:
    assert to_bytes(TENSORS, CARD) == to_bytes(dict(reversed(TENSORS.items())), CARD)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"<html>404</html>",
        safetensors.torch.save({"w": torch.ones(1)}),
        to_bytes(TENSORS, CARD)[:-3],
        to_bytes(TENSORS, CARD).replace(b'\\"format\\": 1', b'\\"format\\": 9'),
    ],
    ids=["empty", "zeros", "a web page", "weights without a card", "cut off", "of a later version"],
)
def test_what_is_no_model_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(StorageError, match=r"best\.safetensors is no model of melsweep"):
        from_bytes(data, name="best.safetensors")


def test_a_model_of_other_features_is_refused() -> None:
    CARD.check_fingerprint("f" * 16)
    with pytest.raises(InvalidInput, match=r"trained on features ffffffffffffffff.*a model of features 0000"):
        CARD.check_fingerprint("0" * 16)


def test_keys_follow_from_the_trial_alone() -> None:
    assert model_key("s", "t", 42) == "models/s/t/seed=42.safetensors"
    assert dataclasses.replace(CARD, seed=2) != CARD
