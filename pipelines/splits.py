"""Draws splits: by the official folds of a corpus, or grouped and stratified where there are none.

Enters: a manifest and settings. Leaves: a verified `Split`. `storage.split` refuses a leaky one, whoever draws it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pipelines.group_dealing import deal_groups
from pipelines.manifest import Manifest
from storage.errors import InvalidInput, hold_rules
from storage.identity import derive_seed
from storage.split import Part, Split

# scikit-learn takes 13 s for 100,000 groups and a table of groups × labels in float64 (2026-11-21). Every data set that
# has had splits so far has fewer than this, and keeps them.
_MOST_GROUPS_DRAWN = 250_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSettings:
    """How clips are divided.

    Attributes:
        policy: `folds` by the corpus's own folds, `grouped` drawn by group and stratified by label, `auto` folds
            where the clips have them, else grouped.
        validation_folds, test_folds: for `folds`; all other folds train.
        num_parts: for `grouped`: one part in this many becomes test, another validation.
        seed: for `grouped`.
    """

    policy: Literal["auto", "folds", "grouped"] = "auto"
    validation_folds: tuple[int, ...] = (4,)
    test_folds: tuple[int, ...] = (5,)
    num_parts: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.policy not in ("auto", "folds", "grouped"):
            raise InvalidInput(
                "split.policy", given=self.policy, allowed="auto, folds or grouped", remedy="Choose one of these."
            )
        both = set(self.validation_folds) & set(self.test_folds)
        if both:
            raise InvalidInput(
                "split.test_folds",
                given=sorted(both),
                allowed="folds that are not in split.validation_folds",
                remedy="A clip must not be in validation and test.",
            )
        rules = {
            "num_parts": (self.num_parts >= 3, "3 or more"),
            "seed": (0 <= self.seed < 2**32, "a whole number from 0 to 2^32 - 1"),
        }
        hold_rules("split", self, rules)


def draw_split(manifest: Manifest, settings: SplitSettings) -> Split:
    """Assigns every clip of the manifest to train, validation or test; the same input gives the same split.

    Raises:
        InvalidInput: `folds` without folds, folds that do not exist, folds that tear a group apart, or too few groups.
    """
    parts, policy = draw_parts(manifest, settings)
    return Split(dataset=manifest.dataset, policy=policy, parts=parts, groups=inseparable(manifest))


def draw_parts(manifest: Manifest, settings: SplitSettings) -> tuple[dict[str, Part], str]:
    """clip_id → part and the policy in words, as `draw_split`, but unverified: folds may tear groups apart.

    Raises:
        InvalidInput: as `draw_split`, but for folds that tear groups apart.
    """
    num_without = sum(clip.fold is None for clip in manifest.clips)
    if settings.policy == "auto" and 0 < num_without < len(manifest.clips):
        raise InvalidInput(
            "split.policy",
            given=f"auto, with {num_without} of {len(manifest.clips)} clips without a fold",
            allowed="a fold for every clip or for none",
            remedy="Fill the missing folds, or use split.policy=grouped to draw parts by group instead.",
        )
    if settings.policy == "folds" or (settings.policy == "auto" and not num_without):
        return _by_folds(manifest, settings)
    return _by_groups(manifest, settings)


def inseparable(manifest: Manifest) -> dict[str, str]:
    """What must stay together, for every clip: clips that share a group or a recording, directly or through others.

    Returns:
        clip_id → the name of the first group (by name) that it is bound to; its own group in the usual case.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for clip in manifest.clips:
        group, recording = root(("group", clip.group)), root(("recording", clip.recording_id))
        first, second = sorted((group, recording))  # "group" sorts before "recording", so roots are groups
        parent[second] = first
    return {clip.clip_id: root(("group", clip.group))[1] for clip in manifest.clips}


def _by_folds(manifest: Manifest, settings: SplitSettings) -> tuple[dict[str, Part], str]:
    folds = {clip.fold for clip in manifest.clips if clip.fold is not None}
    if any(clip.fold is None for clip in manifest.clips):
        raise InvalidInput(
            "split.policy",
            given="folds",
            allowed="grouped, as not every clip has a fold",
            remedy="Use split.policy=grouped.",
        )
    unknown = sorted((set(settings.validation_folds) | set(settings.test_folds)) - folds)
    if unknown:
        raise InvalidInput(
            "split.validation_folds, split.test_folds",
            given=unknown,
            allowed=f"the folds {sorted(folds)}",
            remedy="Name folds that the data has.",
        )
    train = sorted(folds - set(settings.validation_folds) - set(settings.test_folds))

    def part_of(fold: int | None) -> Part:
        if fold in settings.validation_folds:
            return "validation"
        return "test" if fold in settings.test_folds else "train"

    policy = (
        f"official folds: {_names(train)} train, {_names(settings.validation_folds)} validation, "
        f"{_names(settings.test_folds)} test"
    )
    return {clip.clip_id: part_of(clip.fold) for clip in manifest.clips}, policy


def _by_groups(manifest: Manifest, settings: SplitSettings) -> tuple[dict[str, Part], str]:
    clips = manifest.clips
    bound = inseparable(manifest)
    groups = [bound[clip.clip_id] for clip in clips]
    num_groups = len(set(groups))
    if num_groups < settings.num_parts:
        raise InvalidInput(
            "split.num_parts",
            given=settings.num_parts,
            allowed=f"at most the number of groups, {num_groups}",
            remedy="Lower it, or give clips of different recordings different groups.",
        )
    labels = [clip.labels[0] if clip.labels else "" for clip in clips]
    commonest = Counter(labels).most_common(1)[0][1]
    if commonest < settings.num_parts:
        raise InvalidInput(
            "split.num_parts",
            given=settings.num_parts,
            allowed=f"at most the number of clips of the commonest label, {commonest}",
            remedy="Lower it, or add clips: no label could stand in every part.",
        )
    parts: dict[str, Part] = {clip.clip_id: "train" for clip in clips}
    held_out: tuple[Part, Part] = ("test", "validation")
    drawn = stratified_parts(labels, groups, num_parts=settings.num_parts, seed=settings.seed)
    for part, rows in zip(held_out, drawn, strict=False):
        parts |= {clips[row].clip_id: part for row in rows}
    policy = (
        f"grouped and stratified by label: 1 of {settings.num_parts} parts test, 1 validation, seed {settings.seed}"
    )
    return parts, policy if num_groups <= _MOST_GROUPS_DRAWN else f"{policy}, dealt"


def stratified_parts(
    labels: list[str], groups: list[str], *, num_parts: int, seed: int
) -> Iterator[NDArray[np.integer]]:
    """The rows of one part after the other: groups whole, labels about alike in all parts.

    Args:
        labels, groups: one per row.
        seed: below 2^32.
    """
    if len(set(groups)) <= _MOST_GROUPS_DRAWN:
        folds = StratifiedGroupKFold(num_parts, shuffle=True, random_state=seed)
        return (rows for _, rows in folds.split(np.zeros(len(labels)), np.array(labels), np.array(groups)))
    generator = np.random.default_rng(derive_seed("split", seed))
    group = _numbered(groups)
    part_of = deal_groups(_numbered(labels), group, num_parts=num_parts, generator=generator)[group]
    return (np.flatnonzero(part_of == part) for part in range(num_parts))


def _numbered(names: list[str]) -> NDArray[np.integer]:
    """Numbers from 0 in the order in which names first come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _names(folds: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(folds)))
