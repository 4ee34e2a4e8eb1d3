"""From names and values, as people and searchers give them, to a checked trial configuration.

Enters: `optimizer.learning_rate` → 0.01 and the like. Leaves: a `TrialConfig` whose model takes the features.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models import check_architecture, create_model, freeze
from storage.errors import InvalidInput, nearest
from storage.split import PARTS, Split
from training import TrialConfig
from training.config import list_names, with_values
from training.embeddings import frozen_backbone
from training.first_weights import HUB, first_weights, fit_weights, hash_of_weights, name_of_published

# What a plan itself fixes for every trial.
_NOT_OF_A_TRIAL = {
    "architecture",
    "dataset",
    "fingerprint",
    "split_hash",
    "quarantine_hash",
    "seeds",
    "epochs",
    "device",
}


def configuration(plain: TrialConfig, values: Mapping[str, Any], *, section: str) -> TrialConfig:
    """`plain` with other values, and with the full name of published weights, which decides what is computed.

    Args:
        section: what users write before the names (`sweep.trial`), for messages.

    Raises:
        InvalidInput: an unknown name, a value that is not allowed, or published weights that nobody publishes.
    """
    check_value_names(values, section=section)
    config = with_values(plain, values)
    if config.weights == HUB and not config.weights_hash:
        return dataclasses.replace(config, weights_hash=_published_name(config, section))
    return config


def _published_name(config: TrialConfig, section: str) -> str:
    try:
        return name_of_published(config)
    except InvalidInput as e:  # of a trial, which knows no section
        raise InvalidInput(f"{section}.weights", given=e.given, allowed=e.allowed, remedy=e.remedy) from e


def check_value_names(values: Mapping[str, Any], *, section: str) -> None:
    """Holds that these are names of values of a trial.

    Args:
        section: what users write before the names (`sweep.trial`), for messages.

    Raises:
        InvalidInput: a name is unknown.
    """
    known = set(list_names()) - _NOT_OF_A_TRIAL
    unknown = sorted(name for name in values if name not in known and not name.startswith("model."))
    if unknown:
        raise InvalidInput(
            f"{section}.{unknown[0]}",
            given=values[unknown[0]],
            allowed="a known name, or model.<option>",
            remedy=f"{nearest(unknown[0], known)}Known: {', '.join(sorted(known))}.",
        )


def with_weights_hash(values: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what the named weights file holds, so that another file of the same name makes another trial.

    Raises:
        InvalidInput: there is no such file.
    """
    weights_hash = hash_of_weights(str(values.get("weights", "")))
    return {**values, "weights_hash": weights_hash} if weights_hash else dict(values)


def check_name(architecture: str, *, field: str) -> None:
    """Holds that there is such an architecture. Comes before `configuration`, which asks whose weights are published.

    Args:
        field: the setting that named it, for messages.

    Raises:
        InvalidInput: there is none.
    """
    try:
        check_architecture(architecture)
    except ValueError as e:
        raise InvalidInput(field, given=architecture, allowed="a known architecture", remedy=str(e)) from e


def check_model(config: TrialConfig, *, feature_shape: tuple[int, ...], field: str) -> None:
    """Holds, before anything is computed, that the architecture has these options and takes features and weights.

    Args:
        feature_shape: of a stored row: (bands, frames).
        field: the setting that named the architecture, for messages.

    Raises:
        InvalidInput: there is no such architecture, an option is unknown or has a bad value, or the features are too
            small for it or have two channels; or the weights file is of another architecture.
        StorageError: the weights file has changed since it was hashed.
    """
    if len(feature_shape) != 2:
        raise InvalidInput(
            "features.representation",
            given=f"features of shape {feature_shape}",
            allowed="features of one channel, (bands, frames), in a trial",
            remedy="Set features.representation=iq_magnitude; jobs/featurize.py makes two channels all the same.",
        )
    shape = config.input.shape_of(feature_shape)
    try:
        model = create_model(
            config.architecture, num_classes=2, in_channels=config.input.channels, seed=0, options=config.model
        )
        freeze(model, config.freeze)
        # Published weights fit by their name, and fetching them may need a network that the workers alone have.
        weights = first_weights(config) if config.weights != HUB else None
        if weights is not None:
            fit_weights(model, config, weights)
        # On the device `meta` shapes are worked out and no memory is taken, however large the features.
        model.to("meta")(torch.zeros(2, *shape, device="meta"))
    except InvalidInput:
        raise
    except ValueError as e:
        raise InvalidInput(
            f"{field}: {config.architecture}",
            given={**config.model, "freeze": config.freeze, "input": shape},
            allowed="options of the architecture, and inputs that are large enough for it",
            remedy=str(e),
        ) from e


def check_published_weights(config: TrialConfig) -> None:
    """Holds, before anything is computed, that published weights can be fetched and fit; `check_model` fits a file's.

    Raises:
        InvalidInput: there are none, they cannot be had, or they are of another model.
    """
    if config.weights == HUB:
        weights = first_weights(config)
        assert weights is not None
        frozen_backbone(config, weights)


def check_labels(
    labels_of_clip: Mapping[str, Sequence[str]], split: Split, config: TrialConfig, *, section: str, where: str = ""
) -> None:
    """Holds, before anything is trained, that train has all labels of the other parts, and that the loss takes them.

    Args:
        labels_of_clip: of the clips that have features, or of all, as long as nobody knows which will have some.
        section: what users write before the names (`sweep`).
        where: of which split, for messages.

    Raises:
        InvalidInput: a part without clips, a clip without labels or with one that no train clip has, or several labels
            for a loss that takes one.
    """
    parts = {part: [clip_id for clip_id in split.clip_ids(part) if clip_id in labels_of_clip] for part in PARTS}
    trained = {label for clip_id in parts["train"] for label in labels_of_clip[clip_id]}
    if config.loss.unseen_labels == "drop":
        every = {label for labels in labels_of_clip.values() for label in labels}
        parts = {part: [clip for clip in clips if trained & set(labels_of_clip[clip])] for part, clips in parts.items()}
        trained = every
    for part, clip_ids in parts.items():
        if not clip_ids:
            raise InvalidInput(
                f"the {part} part{where}",
                given="no clip with features",
                allowed="at least one",
                remedy="See the quarantine of the features.",
            )
        for clip_id in clip_ids:
            labels = labels_of_clip[clip_id]
            if not labels or not trained >= set(labels):
                raise InvalidInput(
                    f"the {part} part{where}",
                    given=f"clip {clip_id} with the labels {list(labels)}",
                    allowed="labels that the train part has, at least one a clip",
                    remedy="Draw a split in which every label is trained on, or set "
                    f"{section}.trial.loss.unseen_labels=drop.",
                )
            if len(set(labels)) > 1 and not config.loss.takes_several_labels:
                raise InvalidInput(
                    f"{section}.trial.loss.kind",
                    given=config.loss.kind,
                    allowed=f"bce or focal, as there are clips with several labels, {clip_id} first",
                    remedy=f"Set {section}.trial.loss.kind=bce, or keep one label a clip.",
                )
