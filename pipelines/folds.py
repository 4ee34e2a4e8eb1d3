"""Cross-validation: one split per test fold, by the official folds of a corpus or by folds drawn by group.

Enters: a manifest and settings. Leaves: fold number → a verified `Split`. Each fold is the test part once; what epochs
are chosen on lies inside the other folds, or, by the literature's protocol, is the test fold itself.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.manifest import Clip, Manifest
from pipelines.splits import inseparable, stratified_parts
from storage.errors import InvalidInput, hold_rules
from storage.identity import derive_seed
from storage.split import Part, Protocol, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldSettings:
    """How a corpus is cross-validated.

    Attributes:
        policy: `folds` by the corpus's own folds, `grouped` drawn by group and stratified by label, `auto` folds
            where the clips have them, else grouped.
        num_folds: for `grouped`.
        test_folds: which folds are tested on, one after the other, counted from 1 for `grouped`; empty for all.
        protocol: `honest` chooses epochs on clips inside the training folds; `literature` on the test fold, as many
            papers do: for comparing with them, and the report says so.
        validation_parts: for `honest`: one part in this many of the training folds' groups becomes validation.
        seed: of everything that is drawn.
    """

    policy: Literal["auto", "folds", "grouped"] = "auto"
    num_folds: int = 5
    test_folds: tuple[int, ...] = ()
    protocol: Protocol = "honest"
    validation_parts: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "num_folds": (self.num_folds >= 2, "2 or more"),
            "test_folds": (len(set(self.test_folds)) == len(self.test_folds), "none twice"),
            "validation_parts": (self.validation_parts >= 2, "2 or more"),
            "seed": (0 <= self.seed < 2**32, "a whole number from 0 to 2^32 - 1"),
        }
        hold_rules("folds", self, rules)


def draw_folds(manifest: Manifest, settings: FoldSettings) -> dict[int, Split]:
    """One split per test fold; the same input gives the same splits.

    Raises:
        InvalidInput: folds that are missing, do not exist or tear a group apart, or too few groups or clips.
    """
    bound = inseparable(manifest)
    fold_of_clip, how = _folds(manifest, bound, settings)
    known = sorted(set(fold_of_clip.values()))
    unknown = sorted(set(settings.test_folds) - set(known))
    if unknown or len(known) < 2:
        raise InvalidInput(
            "folds.test_folds" if unknown else "folds.policy",
            given=unknown or known,
            allowed=f"the folds {known}" if unknown else "a corpus with two folds or more",
            remedy="Name folds that the data has." if unknown else "Use folds.policy=grouped to draw some.",
        )
    return {
        fold: _split(manifest, bound, fold_of_clip, fold, how, settings) for fold in settings.test_folds or tuple(known)
    }


def _folds(manifest: Manifest, bound: Mapping[str, str], settings: FoldSettings) -> tuple[dict[str, int], str]:
    """clip_id → fold, and where the folds come from, in words."""
    official = {clip.clip_id: clip.fold for clip in manifest.clips if clip.fold is not None}
    num_without = len(manifest.clips) - len(official)
    if settings.policy == "grouped" or (settings.policy == "auto" and not official):
        drawn = _deal(manifest.clips, bound, settings.num_folds, derive_seed("folds", settings.seed), "folds.num_folds")
        return drawn, f"{settings.num_folds} folds, grouped and stratified by label, seed {settings.seed}"
    if num_without:
        raise InvalidInput(
            "folds.policy",
            given=f"{settings.policy}, with {num_without} of {len(manifest.clips)} clips without a fold",
            allowed="a fold for every clip",
            remedy="Fill the missing folds, or use folds.policy=grouped to draw folds by group instead.",
        )
    return official, "official folds"


def _split(
    manifest: Manifest,
    bound: Mapping[str, str],
    fold_of_clip: Mapping[str, int],
    fold: int,
    how: str,
    settings: FoldSettings,
) -> Split:
    parts: dict[str, Part] = {clip_id: "test" if of == fold else "train" for clip_id, of in fold_of_clip.items()}
    policy = f"{how}: fold {fold} test"
    if settings.protocol == "literature":
        policy += ", and epochs chosen on it (the literature's protocol)"
    else:
        training = [clip for clip in manifest.clips if parts[clip.clip_id] == "train"]
        seed = derive_seed("validation", settings.seed, fold)
        of_part = _deal(training, bound, settings.validation_parts, seed, "folds.validation_parts")
        parts |= {clip_id: "validation" for clip_id, part in of_part.items() if part == 1}
        policy += f", 1 of {settings.validation_parts} parts of the others validation"
    return Split(dataset=manifest.dataset, policy=policy, parts=parts, groups=bound, protocol=settings.protocol)


def _deal(
    clips: list[Clip] | tuple[Clip, ...], bound: Mapping[str, str], num_parts: int, seed: int, field: str
) -> dict[str, int]:
    """clip_id → part from 1 to num_parts: groups whole, labels alike in all parts."""
    groups = [bound[clip.clip_id] for clip in clips]
    labels = [clip.labels[0] if clip.labels else "" for clip in clips]
    most = min(len(set(groups)), Counter(labels).most_common(1)[0][1])
    if num_parts > most:
        raise InvalidInput(
            field,
            given=num_parts,
            allowed=f"at most {most}, by the number of groups and of clips of the commonest label",
            remedy="Lower it, or give clips of different recordings different groups.",
        )
    dealt = enumerate(stratified_parts(labels, groups, num_parts=num_parts, seed=seed % 2**32), start=1)
    return {clips[row].clip_id: part for part, rows in dealt for row in rows}
