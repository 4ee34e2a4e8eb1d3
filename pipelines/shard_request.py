"""What a worker is asked for: one shard, as plain text on its way through Ray."""

import dataclasses
import json
from dataclasses import dataclass

from pipelines.manifest import Clip


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
        return sum(len(part.clip_ids) for part in self.earlier)

    def to_json(self) -> str:
        """As a plain string, the one type that every Ray block format carries as it is."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ShardRequest":
        values = json.loads(text)
        clips = tuple(Clip(**{**clip, "labels": tuple(clip["labels"])}) for clip in values["clips"])
        earlier = tuple(EarlierPart(**{**part, "clip_ids": tuple(part["clip_ids"])}) for part in values["earlier"])
        return cls(**{**values, "clips": clips, "earlier": earlier})
