"""The manifest: one row per clip, whatever the corpus. Sources build it, everything later reads only it.

Enters: rows from a source. Leaves: a validated `Manifest` with a dataset id that follows from its content.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from storage.errors import InvalidInput
from storage.identity import content_hash


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One row of the manifest.

    Attributes:
        clip_id: unique in the manifest.
        recording_id: shared by everything cut or derived from one recording.
        uri: path, absolute or relative to the manifest's root; file://, s3:// or http(s)://.
        offset_s, duration_s: the part of the file that is the clip; None means to the end of the file.
        labels: one for single-label data.
        fold: the corpus's official fold, where there is one.
        group: what must never straddle a split; defaults to recording_id.
        size_bytes, content: of the file: its size and a mark of its content, so that a changed file is a changed data
            set; see `content_marks.py`.
        columns: what else the source knows (speaker, snr_db …).
    """

    clip_id: str
    recording_id: str
    uri: str
    labels: tuple[str, ...]
    offset_s: float = 0.0
    duration_s: float | None = None
    fold: int | None = None
    group: str = ""
    size_bytes: int | None = None
    content: str = ""
    columns: dict[str, str | int | float | bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.recording_id)


# Of at most four bytes each, which a worker's shared memory holds (isolation/clip_in_hand.py).
MAX_CLIP_ID_CHARACTERS = 16_000
_NAME = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All clips of a data set, sorted by clip_id.

    Attributes:
        name: what people call the data set; the id adds a hash of the content.
        root: what relative uris are relative to.
        endpoint_url: the S3 server of s3:// uris; None for the environment's. Neither this nor the root is part of the
            identity, so a moved tree is the same data set.
        left_out: files of the tree that did not become clips, for people to know; no part of the identity either.
    """

    name: str
    root: str
    clips: tuple[Clip, ...]
    endpoint_url: str | None = None
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.clips:
            raise InvalidInput(
                "data.root", given=self.root, allowed="a data set with at least one clip", remedy="Check the path."
            )
        if not _NAME.fullmatch(self.name):  # it becomes a folder of every store
            raise InvalidInput(
                "data.name",
                given=self.name,
                allowed="a name without / and \\ that does not begin with a dot",
                remedy="Give the data set another name: data.name=…",
            )
        repeated = [clip_id for clip_id, count in Counter(clip.clip_id for clip in self.clips).items() if count > 1]
        if repeated:
            raise InvalidInput(
                "manifest column clip_id",
                given=repeated[:3],
                allowed="every clip_id once",
                remedy="Remove the repeated rows, or give them clip ids of their own.",
            )
        long = next((clip.clip_id for clip in self.clips if len(clip.clip_id) > MAX_CLIP_ID_CHARACTERS), None)
        if long is not None:
            raise InvalidInput(
                "manifest column clip_id",
                given=f"{long[:80]}… ({len(long):,} characters)",
                allowed=f"at most {MAX_CLIP_ID_CHARACTERS:,} characters",
                remedy="Give the clip an id of its own.",
            )
        odd = next((clip for clip in self.clips for label in clip.labels if not label or label != label.strip()), None)
        if odd is not None:  # "dog " would be a class of its own beside "dog"
            raise InvalidInput(
                f"labels of clip {odd.clip_id}",
                given=list(odd.labels),
                allowed="labels that are not empty and have no blanks around them",
                remedy="Correct the table, or the names of the folders.",
            )
        object.__setattr__(self, "clips", tuple(sorted(self.clips, key=lambda clip: clip.clip_id)))

    @functools.cached_property
    def dataset(self) -> str:
        """The data set's id in every store: its name and a hash of all its rows, computed once."""
        return f"{self.name}-{content_hash(list(self.clips), length=12)}"

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that any clip has, sorted."""
        return tuple(sorted({label for clip in self.clips for label in clip.labels}))


def shards(clips: Sequence[Clip], clips_per_shard: int) -> Iterable[tuple[Clip, ...]]:
    """Cuts clips into runs of `clips_per_shard`; the same clips always give the same shards."""
    for start in range(0, len(clips), clips_per_shard):
        yield tuple(clips[start : start + clips_per_shard])
