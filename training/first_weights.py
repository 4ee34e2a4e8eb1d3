"""The weights that a trial's model begins with: none, a library's published ones, or a file's.

Enters: a configuration. Leaves: tensors by name, read once for all seeds of the trial.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from models import hub_weights, read_weights
from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.object_store import open_store
from training.config import TrialConfig

HUB = "hub"


def first_weights(config: TrialConfig) -> Mapping[str, torch.Tensor] | None:
    """Reads or fetches the weights; None for a model that begins at random.

    Raises:
        InvalidInput: there is no such file, it holds no weights, or nobody publishes any.
        StorageError: the file is another one than the configuration was made with.
    """
    if not config.weights:
        return None
    try:
        if config.weights == HUB:
            return hub_weights(config.architecture, config.model)
        data = _read(config.weights)
        if config.weights_hash and weights_hash(data) != config.weights_hash:
            raise StorageError(
                f"{config.weights} has changed: its hash is {weights_hash(data)}, the trial was planned with "
                f"{config.weights_hash}. Put the old file back, or run the same command to plan with the new one."
            )
        return read_weights(data)
    except ValueError as e:
        raise _refused(config.weights, str(e)) from e


def hash_of_weights(uri: str) -> str:
    """`weights_hash` of a file; empty for no weights and for published ones, whose name is their identity.

    Raises:
        InvalidInput: there is no such file.
    """
    return "" if uri in ("", HUB) else weights_hash(_read(uri))


def weights_hash(data: bytes) -> str:
    """16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def _read(uri: str) -> bytes:
    try:
        if uri.startswith("s3://"):
            folder, _, name = uri.rpartition("/")
            return open_store(folder).get(name)
        return Path(uri.removeprefix("file://")).read_bytes()
    except (ObjectNotFound, OSError) as e:
        raise _refused(uri, f"It cannot be read ({e}).") from e


def _refused(uri: str, reason: str) -> InvalidInput:
    return InvalidInput(
        "trial.weights",
        given=uri,
        allowed="hub, or a path or s3:// uri of a safetensors file or a state dict",
        remedy=reason,
    )
