"""The identity of embeddings: everything that decides what a frozen backbone makes of a stored log-mel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.identity import content_hash

# Raised by one whenever the same spec gives other embeddings than before.
EMBEDDING_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingSpec:
    """Everything that decides the embeddings of a stored log-mel, whatever is trained on them.

    Attributes:
        fingerprint: of the features.
        architecture, options: of `models.create_model`, without those of the head.
        backbone_hash: of the tensors in the backbone (`hash_of_backbone`). Not the file's hash: published weights have
            no file, and files that differ in their heads alone make the same embeddings.
        scaling, channels, height, width: of `InputConfig`.
        mean_db, deviation_db: of the train part, with `standard` scaling; the embeddings then belong to a split.
        precision, channels_last, device: as of the trial.
    """

    fingerprint: str
    architecture: str
    options: Mapping[str, Any]
    backbone_hash: str
    scaling: str
    channels: int
    height: int
    width: int
    mean_db: float | None
    deviation_db: float | None
    precision: str
    channels_last: bool
    device: str

    @property
    def embedding_id(self) -> str:
        """The identity (16 hexadecimal digits)."""
        return content_hash({"embedding": self, "embedding_version": EMBEDDING_VERSION})
