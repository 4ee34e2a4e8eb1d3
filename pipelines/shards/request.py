"""What a worker is asked for, one shard, and what it answers: plain data, on its way through Ray and pipes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.isolation.outcomes import raise_error
from pipelines.manifest import Clip
from storage.identity import canonical_json
from storage.shards import Shard


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierPart:
    """A part of an earlier version of the data set, and those of its clips that are unchanged."""

    dataset: str
    index: int
    clips_hash: str
    clip_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardRequest:
    """A shard to compute: its place, the hash that names it, its clips and where their files lie.

    Attributes:
        earlier: where rows of some of the clips stand already; they are copied.
    """

    index: int
    clips_hash: str
    root: str
    endpoint_url: str | None
    clips: tuple[Clip, ...]
    earlier: tuple[EarlierPart, ...] = ()

    @property
    def num_clips_copied(self) -> int:
        """Clips whose rows are copied rather than computed."""
        return sum(len(part.clip_ids) for part in self.earlier)

    def to_json(self) -> str:
        """As a plain string, the one type that every Ray block format carries as it is."""
        return canonical_json(self)

    @classmethod
    def from_json(cls, text: str) -> "ShardRequest":
        """What `to_json` wrote."""
        values = json.loads(text)
        clips = tuple(Clip(**{**clip, "labels": tuple(clip["labels"])}) for clip in values["clips"])
        earlier = tuple(EarlierPart(**{**part, "clip_ids": tuple(part["clip_ids"])}) for part in values["earlier"])
        return cls(**{**values, "clips": clips, "earlier": earlier})


def shard_of(outcome: Mapping[str, Any]) -> Shard:
    """The shard that `IsolatedWorker.outcome` tells of, or the error.

    Raises:
        InvalidInput, StorageError: what the worker raised.
        RuntimeError: it raised something else.
    """
    raise_error(outcome)
    return Shard(**outcome)
