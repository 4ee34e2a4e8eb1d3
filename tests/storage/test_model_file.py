"""A model file brings back what was put into it, and nothing else passes for one."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from storage.errors import InvalidInput, StorageError
from storage.model_file import ModelCard, delete_models, from_bytes, model_key, read_model, save_model, to_bytes
from storage.object_store import ObjectStore, open_store

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


def with_card(card: object) -> bytes:
    """Weights with a card of this content."""
    whole: bytes = safetensors.torch.save({"w": torch.ones(1)}, {"melsweep_model": json.dumps(card)})
    return whole


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"<html>404</html>",
        safetensors.torch.save({"w": torch.ones(1)}),
        to_bytes(TENSORS, CARD)[:-3],
        to_bytes(TENSORS, CARD).replace(b'\\"format\\": 1', b'\\"format\\": 9'),
        with_card("cnn"),
        with_card(["cnn"]),
        with_card(None),
        with_card({"format": 1, "labels": None}),
    ],
    ids=[
        "empty",
        "zeros",
        "a web page",
        "weights without a card",
        "cut off",
        "of a later version",
        "a word for a card",
        "a list for a card",
        "null for a card",
        "a card without fields",
    ],
)
def test_what_is_no_model_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(StorageError, match=r"best\.safetensors is no model of melsweep"):
        from_bytes(data, name="best.safetensors")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("mean_db", value) for value in ("x", None, True, float("nan"))),
        *(("deviation_db", value) for value in ("x", float("inf"), 0.0, -1.0)),
    ],
)
def test_a_card_whose_scaling_is_none_is_refused(field: str, value: object) -> None:
    card = {"format": 1, **dataclasses.asdict(CARD), field: value}
    with pytest.raises(StorageError, match=rf"best\.safetensors is no model of melsweep.*its {field} is"):
        from_bytes(with_card(card), name="best.safetensors")


def test_a_model_of_other_features_is_refused() -> None:
    CARD.check_fingerprint("f" * 16)
    with pytest.raises(InvalidInput, match=r"trained on features ffffffffffffffff.*a model of features 0000"):
        CARD.check_fingerprint("0" * 16)


def test_every_seed_of_every_trial_has_a_key_of_its_own() -> None:
    assert model_key("s", "t", 42) == "models/s/t/seed=42.safetensors"
    keys = [model_key(*names) for names in itertools.product(("s", "s1"), ("t", "1t"), (1, 11))]
    assert len(set(keys)) == 8


def test_a_path_in_the_root_folder_is_not_looked_for_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "best.safetensors").write_bytes(to_bytes(TENSORS, CARD))
    monkeypatch.chdir(tmp_path)
    elsewhere = open_store(str(tmp_path / "empty"))
    assert read_model("best.safetensors", store=elsewhere) == to_bytes(TENSORS, CARD)
    with pytest.raises(InvalidInput, match=r"model: got '/best\.safetensors'"):
        read_model("/best.safetensors", store=elsewhere)


def test_a_model_is_found_by_key_by_path_and_by_uri(store: ObjectStore, tmp_path: Path) -> None:
    key = model_key("s", "t", 42)
    save_model(store, key, TENSORS, CARD)
    data = to_bytes(TENSORS, CARD)
    assert read_model(key, store=store) == data
    elsewhere = open_store(str(tmp_path / "empty"))
    assert read_model(f"{store.uri}/{key}", store=elsewhere) == data
    with pytest.raises(InvalidInput, match=rf"Did you mean '{key}'"):
        read_model("models/s/t/seed=43.safetensors", store=store)
    for place in ("nowhere", "/nowhere/x", "../x", "s3:/x"):
        with pytest.raises(InvalidInput, match="one of 0 keys"):
            read_model(place, store=elsewhere)


def test_the_models_of_one_trial_are_deleted(store: ObjectStore) -> None:
    for trial_id, seed in (("t", 1), ("t", 2), ("tt", 1)):
        save_model(store, model_key("s", trial_id, seed), TENSORS, CARD)
    delete_models(store, "s", "t")
    delete_models(store, "s", "t")
    assert [info.key for info in store.list("models/")] == [model_key("s", "tt", 1)]
