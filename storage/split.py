"""A split at rest: which clip is in train, validation or test. `pipelines` draws it; here it is verified and stored.

Enters: an assignment of clips with their groups. Leaves: a `Split` that cannot be leaky, addressed by its hash.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.identity import canonical_json, content_hash
from storage.json_text import parse_json
from storage.object_store import ObjectStore

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

Protocol = Literal["honest", "literature"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Which part every clip is in. Building one in which a group straddles two parts is an error.

    Attributes:
        dataset: id of the data set it was drawn over.
        policy: how it was drawn, in words for the report.
        parts: clip_id → part.
        groups: clip_id → group.
        protocol: `honest`, or `literature`, which has no validation part: epochs are chosen on the test part itself, as
            many papers do, and the test numbers are too good by what that choice is worth.
    """

    dataset: str
    policy: str
    parts: Mapping[str, Part]
    groups: Mapping[str, str]
    protocol: Protocol = "honest"

    def __post_init__(self) -> None:
        if self.parts.keys() != self.groups.keys():
            raise InvalidInput(
                "split",
                given="clips without group",
                allowed="a group for every clip",
                remedy="Draw the split from a manifest.",
            )
        unknown = set(self.parts.values()) - set(PARTS)
        if unknown:
            raise InvalidInput(
                "split", given=sorted(unknown), allowed=", ".join(PARTS), remedy="Put every clip in one of these parts."
            )
        self._refuse_empty_parts()
        self._refuse_leaks()

    def _refuse_empty_parts(self) -> None:
        wanted = set(PARTS) if self.protocol == "honest" else {"train", "test"}
        there = set(self.parts.values())
        if wanted - there:
            raise InvalidInput(
                "split",
                given=f"no clip in {', '.join(sorted(wanted - there))}",
                allowed=f"{'three' if len(wanted) == 3 else 'two'} parts with clips in each",
                remedy="Choose other folds or larger fractions.",
            )
        if there - wanted:
            raise InvalidInput(
                "split.protocol",
                given=f"{self.protocol}, with clips in {', '.join(sorted(there - wanted))}",
                allowed=f"{', '.join(sorted(wanted))} alone",
                remedy="The literature's protocol has no validation part; use protocol honest for one.",
            )

    def _refuse_leaks(self) -> None:
        parts_of_group: dict[str, set[str]] = defaultdict(set)
        for clip_id, part in self.parts.items():
            parts_of_group[self.groups[clip_id]].add(part)
        straddling = sorted(group for group, parts in parts_of_group.items() if len(parts) > 1)
        if straddling:
            first = straddling[0]
            where = sorted(parts_of_group[first])
            raise InvalidInput(
                "split",
                given=f"{len(straddling)} groups in more than one part, first {first!r} in {where}",
                allowed="every group in one part only",
                remedy="Keep all clips of a recording, speaker or site together; a split that tears them apart leaks.",
            )

    @property
    def split_hash(self) -> str:
        """Content address of the assignment (16 hexadecimal digits)."""
        return content_hash(self._content())

    def clip_ids(self, part: Part) -> tuple[str, ...]:
        """The clips of a part, sorted; by the literature's protocol those of test are those of validation, too."""
        return tuple(sorted(clip_id for clip_id in self.parts if self.has(clip_id, part)))

    def has(self, clip_id: str, part: Part) -> bool:
        """Whether a clip is in a part; False for one that the split does not know."""
        if part == "validation" and self.protocol == "literature":
            part = "test"
        return self.parts.get(clip_id) == part

    def _content(self) -> dict[str, Any]:
        """All fields, less a protocol that is the usual one: splits were hashed without it before there were two."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.protocol == "honest":
            del fields["protocol"]
        return fields


def save_split(store: ObjectStore, split: Split) -> str:
    """Stores the split under its hash and returns the hash; storing it again changes nothing."""
    store.put_if_absent(_key(split.dataset, split.split_hash), canonical_json(split._content()).encode())
    return split.split_hash


def load_split(store: ObjectStore, *, dataset: str, split_hash: str) -> Split:
    """Reads a split and verifies it anew.

    Raises:
        StorageError: there is no such split, or its content does not have the hash it is stored under.
    """
    try:
        split = Split(**parse_json(store.get(_key(dataset, split_hash))))
    except ObjectNotFound as e:
        raise StorageError(f"{store.uri} has no split {split_hash} of {dataset}. Run the sweep that draws it.") from e
    except (TypeError, ValueError, AttributeError) as e:  # no JSON, other fields, or no longer a valid split
        raise StorageError(
            f"{store.uri}: the split {split_hash} of {dataset} is damaged. Delete it and draw it again."
        ) from e
    if split.split_hash != split_hash:
        raise StorageError(f"{store.uri}: the split {split_hash} of {dataset} was changed after it was stored.")
    return split


def _key(dataset: str, split_hash: str) -> str:
    return f"splits/{dataset}/{split_hash}.json"
