"""A trained model at rest: weights and a card that says all that is needed to use it, in one safetensors file.

    models/<sweep_id>/<trial_id>/seed=<seed>.safetensors

Enters: tensors and a `ModelCard`. Leaves: the same, checked. Nothing is pickled. Sizes with the
default options: 1.2 MB for the CNN, 94 MB for a ResNet-50, 228 MB for AlexNet.
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from storage.errors import InvalidInput, ObjectNotFound, StorageError, nearest
from storage.json_text import parse_json
from storage.object_store import ObjectStore, open_store

_CARD = "melsweep_model"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """Attributes:
    architecture, options: of `models.create_model`.
    labels: one per output, in their order.
    is_multi_label: whether a clip may have several labels.
    activation: what makes probabilities of the outputs: `sigmoid`, each by itself, or `softmax`, all together. Cards
        without it are of a time when several labels and a sigmoid were one thing.
    features: the feature spec, field by field; `fingerprint` is its hash.
    inputs: from a log-mel to what the model sees, field by field (training/recipe.py, InputConfig).
    mean_db, deviation_db: of the part it was trained on, for `standard` scaling.
    dataset, split_hash: what it was trained on.
    trial: the whole configuration.
    seed, best_epoch: whose weights these are.
    scores: part → metric → number.
    """

    architecture: str
    options: Mapping[str, Any]
    labels: tuple[str, ...]
    is_multi_label: bool
    features: Mapping[str, Any]
    fingerprint: str
    inputs: Mapping[str, Any]
    mean_db: float
    deviation_db: float
    dataset: str
    split_hash: str
    trial: Mapping[str, Any]
    seed: int
    best_epoch: int
    scores: Mapping[str, Any]
    activation: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` where the scaling is none: every answer would be of other inputs."""
        for name in ("mean_db", "deviation_db"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"its {name} is {value!r}")
        if self.deviation_db <= 0:
            raise ValueError(f"its deviation_db is {self.deviation_db!r}")
        if not self.activation:
            object.__setattr__(self, "activation", "sigmoid" if self.is_multi_label else "softmax")

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuses features of another spec.

        Raises:
            InvalidInput: naming both.
        """
        if fingerprint != self.fingerprint:
            raise InvalidInput(
                "model",
                given=f"one that was trained on features {self.fingerprint}",
                allowed=f"a model of features {fingerprint}",
                remedy="Compute features with the model's own spec, or take a model of these features.",
            )


def model_key(sweep_id: str, trial_id: str, seed: int) -> str:
    """Where the model of a seed lies in a store."""
    return f"models/{sweep_id}/{trial_id}/seed={seed}.safetensors"


def save_model(store: ObjectStore, key: str, tensors: Mapping[str, torch.Tensor], card: ModelCard) -> None:
    """Stores a model, in the place of an earlier one. A seed that is trained again gives the same one on a CPU alone:
    whoever has recorded what the first one predicts does not replace it."""
    store.put(key, to_bytes(tensors, card))


def delete_models(store: ObjectStore, sweep_id: str, trial_id: str) -> None:
    """Deletes the models of all seeds of a trial; may be repeated."""
    for info in list(store.list(f"models/{sweep_id}/{trial_id}/")):
        store.delete(info.key)


def read_model(place: str, *, store: ObjectStore, endpoint_url: str | None = None) -> bytes:
    """The bytes of a model file.

    Args:
        place: a path, an `s3://` uri, or a key of `store`.
        endpoint_url: of the S3 server of an `s3://` uri; None for the environment's.

    Raises:
        InvalidInput: there is no such file.
        StorageError: it cannot be read.
    """
    folder, _, name = place.rpartition("/")
    try:
        if place.startswith("models/") and not os.path.isfile(place):
            return store.get(place)
        return open_store(folder or ("/" if place.startswith("/") else "."), endpoint_url=endpoint_url).get(name)
    except ObjectNotFound as e:
        keys = [info.key for info in store.list("models/")]
        raise InvalidInput(
            "model",
            given=place,
            allowed=f"a model file: a path, an s3:// uri, or one of {len(keys)} keys below models/ of {store.uri}",
            remedy=f"{nearest(place, keys)}jobs/sweep.py and jobs/train.py store the models of trials that finish.",
        ) from e


def to_bytes(tensors: Mapping[str, torch.Tensor], card: ModelCard) -> bytes:
    """The whole file; the same model gives the same bytes."""
    text = json.dumps({"format": _FORMAT, **dataclasses.asdict(card)}, sort_keys=True)
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return bytes(safetensors.torch.save(copies, {_CARD: text}))


def from_bytes(data: bytes, *, name: str) -> tuple[dict[str, torch.Tensor], ModelCard]:
    """Reads a file.

    Args:
        name: of the file, for messages.

    Raises:
        StorageError: no safetensors file, or one without a card of ours.
    """
    try:
        tensors = safetensors.torch.load(data)  # first, as it holds the header to what the file has
        header_size = int.from_bytes(data[:8], "little")
        values = parse_json(parse_json(data[8 : 8 + header_size])["__metadata__"][_CARD])
        if values.pop("format") != _FORMAT:
            raise ValueError("a later version of melsweep wrote it")
        card = ModelCard(**{**values, "labels": tuple(values["labels"])})
        return tensors, card
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise StorageError(
            f"{name} is no model of melsweep ({type(e).__name__}: {e}). Take one from models/ of the sweep's store."
        ) from e
