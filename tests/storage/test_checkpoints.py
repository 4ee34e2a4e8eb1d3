"""Checkpoints: the newest one comes back bit for bit, the older ones go, a damaged one is named."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from store_toys import keys_of

from storage.checkpoints import Checkpoint, Checkpoints
from storage.errors import ObjectNotFound, StorageError
from storage.object_store import ObjectStore, open_store

_PREFIX = "checkpoints/sweep-a/t0"


def _checkpoint(step: int, **state: Any) -> Checkpoint:
    return Checkpoint(step=step, tensors={"weight": torch.full((3,), float(step))}, state=state)


@pytest.fixture
def checkpoints(store: ObjectStore) -> Checkpoints:
    return Checkpoints(store, _PREFIX)


def test_before_the_first_save_there_is_none(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest("seed=42") is None


def test_tensors_come_back_bit_for_bit(checkpoints: Checkpoints) -> None:
    generator = torch.Generator().manual_seed(7)
    tensors = {
        "float64": torch.randn(4, 5, generator=generator, dtype=torch.float64),
        "bfloat16": torch.randn(100, generator=generator).to(torch.bfloat16),
        "rng": generator.get_state(),  # uint8
        "step": torch.tensor(12, dtype=torch.int64),  # no dimension
        "empty": torch.zeros(0, 3),
        "special": torch.tensor([math.nan, math.inf, -math.inf, -0.0, 5e-324], dtype=torch.float64),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "channels_last": torch.randn(2, 3, 4, 5, generator=generator).to(memory_format=torch.channels_last),
        "gradient": torch.ones(2, requires_grad=True),
    }
    checkpoints.save("seed=42", Checkpoint(step=3, tensors=tensors, state={}))
    found = checkpoints.newest("seed=42")
    assert found is not None
    assert found.step == 3
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype, name
        assert found.tensors[name].shape == tensor.shape, name
        again = found.tensors[name].contiguous().flatten().view(torch.uint8)
        assert torch.equal(again, tensor.detach().contiguous().flatten().view(torch.uint8)), name


def test_tensors_that_share_memory_are_stored(checkpoints: Checkpoints) -> None:
    tied = torch.arange(10.0)
    checkpoints.save("seed=42", Checkpoint(step=1, tensors={"in": tied, "out": tied, "head": tied[:5]}, state={}))
    found = checkpoints.newest("seed=42")
    assert found is not None
    assert torch.equal(found.tensors["in"], tied)
    assert torch.equal(found.tensors["out"], tied)
    assert torch.equal(found.tensors["head"], tied[:5])


def test_the_state_comes_back_exactly(checkpoints: Checkpoints) -> None:
    state = {
        "learning_rate": 0.1 + 0.2,
        "smallest": 5e-324,
        "best": math.inf,
        "worst": -math.inf,
        "seed": 2**63 - 1,
        "rng": [[1, 2], {"position": None}],
        "label": "dög",
        "stopped": True,
    }
    checkpoints.save("seed=42", _checkpoint(1, **state))
    found = checkpoints.newest("seed=42")
    assert found is not None
    assert found.state == state


def test_the_newest_stays_and_the_older_ones_go(store: ObjectStore, checkpoints: Checkpoints) -> None:
    for step in (1, 2, 10):
        checkpoints.save("seed=42", _checkpoint(step))
    assert keys_of(store) == [f"{_PREFIX}/seed=42/step-00000010.safetensors"]


def test_steps_are_ordered_as_numbers(checkpoints: Checkpoints) -> None:
    for step in (9_999, 10_000, 10_001):
        checkpoints.save("seed=42", _checkpoint(step))
        found = checkpoints.newest("seed=42")
        assert found is not None
        assert found.step == step


def test_a_run_killed_before_the_older_one_was_deleted_resumes_from_the_newer(
    store: ObjectStore, checkpoints: Checkpoints
) -> None:
    checkpoints.save("seed=42", _checkpoint(1))
    older = store.get(f"{_PREFIX}/seed=42/step-00000001.safetensors")
    checkpoints.save("seed=42", _checkpoint(2))
    store.put(f"{_PREFIX}/seed=42/step-00000001.safetensors", older)
    found = checkpoints.newest("seed=42")
    assert found is not None
    assert found.step == 2


def test_seeds_and_trials_do_not_touch_each_other(store: ObjectStore, checkpoints: Checkpoints) -> None:
    neighbour = Checkpoints(store, _PREFIX + "0")
    for owner, name in ((checkpoints, "seed=4"), (checkpoints, "seed=42"), (neighbour, "seed=4")):
        owner.save(name, _checkpoint(1, owner=name))
    checkpoints.save("seed=4", _checkpoint(2))
    found = checkpoints.newest("seed=42")
    assert found is not None
    assert found.step == 1
    checkpoints.delete_all()
    assert keys_of(store) == [f"{_PREFIX}0/seed=4/step-00000001.safetensors"]
    assert checkpoints.newest("seed=4") is None


def test_a_reader_that_loses_the_race_with_a_save_gets_the_newer_one(
    store: ObjectStore, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save("seed=42", _checkpoint(1))
    get = store.get

    def get_late(key: str) -> bytes:
        if key.endswith("step-00000001.safetensors"):  # between the listing and this read, step 2 has come
            monkeypatch.undo()
            checkpoints.save("seed=42", _checkpoint(2))
            with pytest.raises(ObjectNotFound):
                get(key)
        return get(key)

    monkeypatch.setattr(store, "get", get_late)
    found = checkpoints.newest("seed=42")
    assert found is not None
    assert found.step == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-4],
        lambda data: b"\xff" * len(data),
        lambda data: (2).to_bytes(8, "little") + b"[]",
        lambda data: data.replace(b"melsweep_state", b"melsweep_other"),
        lambda data: data.replace(b"melsweep_state", b"melsweep_st\xff\xff\xff"),
    ],
    ids=["empty", "header cut", "data cut", "noise", "a list", "no state", "no text"],
)
def test_a_damaged_checkpoint_is_named(local_uri: str, damage: Callable[[bytes], bytes]) -> None:
    store = open_store(local_uri)
    checkpoints = Checkpoints(store, _PREFIX)
    checkpoints.save("seed=42", _checkpoint(7, note="x"))
    key = f"{_PREFIX}/seed=42/step-00000007.safetensors"
    store.put(key, damage(store.get(key)))
    with pytest.raises(StorageError, match=f"{store.uri}: the checkpoint '{key}' is damaged.*Delete it"):
        checkpoints.newest("seed=42")
