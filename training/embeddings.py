"""A frozen backbone is run once: what its embeddings depend on, and when a trial may train its head on them alone.

Enters: configurations, trial data and stored embeddings. Leaves: an `EmbeddingSpec`, whose hash is the embeddings'
identity, and trial data with embeddings in the place of log-mels. `sweeps/embeddings.py` computes them.

A trial's id does not tell which way it was computed: the numbers agree within float tolerance, as they do between two
numbers of threads. Its checkpoints do tell, so that no seed changes its way on the way (`SeedRun.restore`).
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from models import HEAD_OPTIONS, Classifier, create_model
from storage.embedding_store import Embeddings
from storage.errors import InvalidInput, StorageError
from storage.split import PARTS, Part, Split
from training.config import TrialConfig
from training.data import PartData, TrialData, rows_of_part
from training.embedding_spec import EmbeddingSpec
from training.first_weights import fit_weights
from training.inputs import Scaling
from training.recipe import AugmentConfig, InputConfig


def embedding_spec(config: TrialConfig, data: TrialData, backbone_hash: str) -> EmbeddingSpec:
    """What a trial's embeddings depend on."""
    is_standard = config.input.scaling == "standard"
    return EmbeddingSpec(
        fingerprint=config.fingerprint,
        architecture=config.architecture,
        options={name: value for name, value in config.model.items() if name not in HEAD_OPTIONS},
        backbone_hash=backbone_hash,
        scaling=config.input.scaling,
        channels=config.input.channels,
        height=config.input.height,
        width=config.input.width,
        mean_db=data.mean_db if is_standard else None,
        deviation_db=data.deviation_db if is_standard else None,
        precision=config.precision_resolved,
        channels_last=config.loop.channels_last,
        device=config.device,
    )


def input_scaling(spec: EmbeddingSpec) -> Scaling:
    """From dB to what the backbone sees, as in a trial on log-mels."""
    inputs: dict[str, Any] = {name: getattr(spec, name) for name in ("scaling", "channels", "height", "width")}
    mean_db, deviation_db = spec.mean_db or 0.0, 1.0 if spec.deviation_db is None else spec.deviation_db
    return Scaling(config=InputConfig(**inputs), mean_db=mean_db, deviation_db=deviation_db)


def can_train_head(config: TrialConfig) -> str | None:
    """Why a trial has to run its backbone in every epoch; None where training the head on embeddings gives the same."""
    if config.freeze != "backbone":
        return f"freeze is {config.freeze}, so the backbone changes"
    if not config.weights:
        return "there are no weights, so every seed has a random backbone of its own"
    disturbed = _disturbances(config.augment)
    if disturbed:
        return f"augment.{disturbed[0]} changes what the backbone sees from epoch to epoch"
    if config.loop.swa_epochs:
        return "loop.swa_epochs makes BatchNorm's statistics anew, in the backbone too"
    if config.loop.compile:
        return "loop.compile rounds otherwise than the backbone as it is"
    return None


def _disturbances(augment: AugmentConfig) -> list[str]:
    """The names of what is switched on."""
    is_on = {
        "roll": augment.roll,
        "flip_probability": augment.flip_probability > 0,
        "frequency_flip_probability": augment.frequency_flip_probability > 0,
        "shift_frames": augment.shift_frames * augment.shift_probability > 0,
        "shift_bands": augment.shift_bands * augment.shift_probability > 0,
        "gain_db": augment.gain_db > 0,
        "inaugment_probability": augment.inaugment_probability > 0,
        "time_mask_frames": augment.time_masks * augment.time_mask_frames * augment.mask_probability > 0,
        "frequency_mask_bands": augment.frequency_masks * augment.frequency_mask_bands * augment.mask_probability > 0,
        "mix_alpha": augment.mix_alpha * augment.mix_probability > 0,
    }
    return [name for name, switched in is_on.items() if switched]


def hash_of_backbone(backbone: nn.Module) -> str:
    """16 hexadecimal digits of SHA-256 over names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def frozen_backbone(config: TrialConfig, weights: Mapping[str, torch.Tensor]) -> Classifier:
    """A trial's model with its first weights, on the CPU, in evaluation mode; of its head nothing is meant.

    Raises:
        InvalidInput: the weights are not of this architecture.
    """
    model = create_model(
        config.architecture, num_classes=1, in_channels=config.input.channels, seed=0, options=config.model
    )
    fit_weights(model, config, weights)
    return model.requires_grad_(False).eval()


def with_embeddings(data: TrialData, spec: EmbeddingSpec, embeddings: Embeddings, split: Split) -> TrialData:
    """The same trial data, with the embeddings of its rows in the place of their log-mels.

    Raises:
        StorageError: the embeddings are not of these rows.
    """
    return dataclasses.replace(
        data,
        embedding=spec,
        parts={part: _with_embeddings(data.parts[part], embeddings, split, part) for part in PARTS},
    )


def _with_embeddings(data: PartData, embeddings: Embeddings, split: Split, part: Part) -> PartData:
    kept = set(data.clip_ids)  # clips whose labels were all dropped are not among them
    all_rows = rows_of_part(embeddings.clip_ids, embeddings.variants, split, part)
    rows = [row for row in all_rows if embeddings.clip_ids[row] in kept]
    if tuple(embeddings.clip_ids[row] for row in rows) != data.clip_ids:
        raise StorageError(f"the embeddings are not of the rows of the {part} part. Run the same command again.")
    return dataclasses.replace(data, log_mel=embeddings.embedding[rows])


def data_for(config: TrialConfig, data: TrialData, embedded: tuple[TrialData, ...]) -> TrialData:
    """The first of some embedded data that a trial can be trained on; `data` itself where there is none."""
    if can_train_head(config) is not None:
        return data
    fits = (found for found in embedded if found.embedding is not None and is_of(config, data, found.embedding))
    return next(fits, data)


def refuse_other_embeddings(config: TrialConfig, data: TrialData) -> None:
    """Holds that a trial can be trained on these data, if they are embeddings.

    Raises:
        InvalidInput: it needs log-mels, or other embeddings.
    """
    if data.embedding is None:
        return
    reason = can_train_head(config)
    if reason is None and not is_of(config, data, data.embedding):
        reason = f"the embeddings {data.embedding.embedding_id} are of other inputs or another backbone"
    if reason is not None:
        raise InvalidInput(
            "trial data",
            given="embeddings",
            allowed="log-mels",
            remedy=f"Of this trial {reason}; choose its data by training.embeddings.data_for.",
        )


def is_of(config: TrialConfig, data: TrialData, spec: EmbeddingSpec) -> bool:
    """Whether embeddings are what this trial's backbone makes, as far as the configuration tells; the backbone's
    tensors are compared when the trial has made it."""
    return embedding_spec(config, data, spec.backbone_hash) == spec
