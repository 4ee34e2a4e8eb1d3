"""The weights that a trial's model begins with: none, a library's published ones, or a file's.

Enters: a configuration. Leaves: tensors by name, read once for all seeds of the trial.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from models import Classifier, WeightsReport, hub_weights, hub_weights_name, load_weights, read_weights
from storage.errors import InvalidInput, ObjectNotFound, StorageError, StoreOutOfReach, first_few
from storage.object_store import open_store
from training.config import TrialConfig

HUB = "hub"


def first_weights(config: TrialConfig) -> Mapping[str, torch.Tensor] | None:
    """Reads or fetches the weights; None for a model that begins at random.

    Raises:
        InvalidInput: there is no such file, it holds no weights, or nobody publishes any.
        StorageError: the weights are other ones than the configuration was made with.
    """
    if not config.weights:
        return None
    if config.weights == HUB:
        return _published(config)
    try:
        data = _read(config.weights)
        if config.weights_hash and weights_hash(data) != config.weights_hash:
            raise StorageError(
                f"{config.weights} has changed: its hash is {weights_hash(data)}, the trial was planned with "
                f"{config.weights_hash}. Put the old file back, or run the same command to plan with the new one."
            )
        return read_weights(data)
    except ValueError as e:
        raise _refused(config.weights, str(e)) from e


def fit_weights(model: Classifier, config: TrialConfig, weights: Mapping[str, torch.Tensor]) -> WeightsReport:
    """Fills a model with its first weights.

    Raises:
        InvalidInput: they are of another architecture.
    """
    try:
        return load_weights(model, weights)
    except ValueError as e:
        raise InvalidInput(
            "trial.weights", given=config.weights, allowed=f"weights of {config.architecture}", remedy=f"{e}."
        ) from e


def told_of(config: TrialConfig, report: WeightsReport) -> str:
    """What was loaded, in a sentence for a result's events."""
    source = config.weights_hash if config.weights == HUB else config.weights
    channels = "one channel" if config.input.channels == 1 else f"{config.input.channels} channels"
    adapted = f", {first_few(report.adapted)} adapted to {channels}" if report.adapted else ""
    head = "the head's among them" if report.head_loaded else "and the head began at random"
    ignored = f"; ignored: {first_few(report.ignored)}" if report.ignored else ""
    return f"it began with {report.num_loaded} tensors of {source}{adapted}, {head}{ignored}"


def name_of_published(config: TrialConfig) -> str:
    """`weights_hash` of published weights: their full name. Needs no network.

    Raises:
        InvalidInput: nobody publishes any.
    """
    try:
        return hub_weights_name(config.architecture, config.model)
    except ValueError as e:
        raise _refused(config.weights, str(e)) from e


def _published(config: TrialConfig) -> Mapping[str, torch.Tensor]:
    name = name_of_published(config)
    if config.weights_hash and name != config.weights_hash:
        raise StorageError(
            f"the trial was planned with the published weights {config.weights_hash}, and the libraries here "
            f"give {name}. Install the same versions everywhere, or run the same command to plan with these."
        )
    try:
        return hub_weights(config.architecture, config.model)
    except ValueError as e:
        raise _refused(config.weights, str(e)) from e


def hash_of_weights(uri: str) -> str:
    """`weights_hash` of a file; empty for no weights and for published ones, which have no file.

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
    except StoreOutOfReach as e:  # another store than the results': nothing says that those are out of reach
        raise StorageError(str(e)) from e


def _refused(uri: str, reason: str) -> InvalidInput:
    return InvalidInput(
        "trial.weights",
        given=uri,
        allowed="hub, or a path or s3:// uri of a safetensors file or a state dict",
        remedy=reason,
    )
