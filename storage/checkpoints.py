"""Checkpoints: tensors and JSON in one safetensors object each, so that none is ever half there.

    checkpoints/<sweep_id>/<trial_id>/seed=<seed>/step-00000420.safetensors

The one with the most steps wins; the one before it is deleted only after the newer one is stored. Nothing is pickled.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from storage.errors import ObjectNotFound, StorageError
from storage.json_text import parse_json
from storage.object_store import ObjectStore

_STATE = "melsweep_state"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a stopped run needs to go on.

    Attributes:
        step: optimizer steps taken.
        tensors: name → tensor, on the CPU.
        state: everything else, JSON.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints under one prefix (a trial's). One process writes a prefix at a time; reading is always safe."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix.rstrip("/") + "/"

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Stores the checkpoint as the newest of `name` (a seed), then removes the older ones."""
        metadata = {_STATE: json.dumps(dict(checkpoint.state))}
        # Copies, because safetensors refuses tensors that share memory (tied weights, views of one buffer).
        tensors = {key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in checkpoint.tensors.items()}
        key = f"{self._prefix}{name}/step-{checkpoint.step:08d}.safetensors"
        self._store.put(key, safetensors.torch.save(tensors, metadata))
        for older in self._keys(name):
            if _step(older) < checkpoint.step:
                self._store.delete(older)

    def newest(self, name: str) -> Checkpoint | None:
        """The newest checkpoint of `name`, or None.

        Raises:
            StorageError: it is there but damaged.
        """
        while keys := self._keys(name):
            with contextlib.suppress(ObjectNotFound):  # a newer one has taken its place since the listing
                return self._load(max(keys, key=_step))
        return None

    def delete_all(self) -> None:
        """Removes every checkpoint of this prefix; called once the trial's results are committed."""
        for info in list(self._store.list(self._prefix)):
            self._store.delete(info.key)

    def _keys(self, name: str) -> list[str]:
        return [info.key for info in self._store.list(f"{self._prefix}{name}/step-")]

    def _load(self, key: str) -> Checkpoint:
        data = self._store.get(key)
        try:
            tensors = safetensors.torch.load(data)  # first, as it holds the header to what the file has
            header_size = int.from_bytes(data[:8], "little")
            state = parse_json(parse_json(data[8 : 8 + header_size])["__metadata__"][_STATE])
        except (SafetensorError, ValueError, KeyError, TypeError) as e:
            raise StorageError(
                f"{self._store.uri}: the checkpoint {key!r} is damaged ({e}). Delete it to start the seed anew."
            ) from e
        return Checkpoint(step=_step(key), tensors=tensors, state=state)


def _step(key: str) -> int:
    return int(key.rpartition("step-")[2].removesuffix(".safetensors"))
