"""One configuration's scores, clip by clip and seed by seed: what every interval and test starts from.

Enters: a score per (clip, seed), with each clip's fold and group. Leaves: a `ScoreCube`, checked and in the order of
clip ids, and the difference of two cubes on the same clips and seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.evidence.layout import Layout, lay_out
from storage.errors import InvalidInput

_NAMED = 3  # clips or seeds that an error quotes


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreCube:
    """Scores over clips × folds × seeds. A clip is tested in one fold, so clips and folds share an axis.

    Attributes:
        clip_ids: sorted, each once (N).
        groups: what each clip's group is: recording, speaker, site; whose clips are not independent.
        folds: in which each clip was tested; all 0 where there are no folds.
        seeds: sorted (S).
        values: float64 (N, S), finite; the mean over a fold's clips is the fold's score.
        is_share: whether scores lie between 0 and 1 and are told as shares, which differences do not.
    """

    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    values: NDArray[np.float64]
    is_share: bool

    @cached_property
    def layout(self) -> Layout:
        return lay_out(self.folds, self.groups)

    @cached_property
    def unit_sums(self) -> NDArray[np.float64]:
        """float64 (U, S): what each unit contributes to each seed's score."""
        return self.layout.unit_sums(self.values)

    @property
    def seed_scores(self) -> NDArray[np.float64]:
        """float64 (S,): each seed's score over all folds, the mean of its folds' scores."""
        return self.unit_sums.sum(axis=0)

    @property
    def run_scores(self) -> NDArray[np.float64]:
        """float64 (F, S): the score of each training run, folds in rising order."""
        return self.layout.fold_sums(self.unit_sums) * self.layout.num_folds


def score_cube(
    values: NDArray[Any],
    *,
    clip_ids: Sequence[str],
    seeds: Sequence[int],
    groups: Sequence[str] | None = None,
    folds: Sequence[int] | None = None,
    is_share: bool = True,
) -> ScoreCube:
    """Puts scores in order and checks them.

    Args:
        values: (N, S), numbers or booleans.
        groups: one per clip; None where every clip is a group of its own.
        folds: one per clip; None where all were tested together.

    Raises:
        InvalidInput: no clip or seed, one twice, or a score that is not finite.
    """
    scores = np.asarray(values, dtype=np.float64).reshape(len(clip_ids), len(seeds))
    _refuse_empty_or_twice("clips", clip_ids)
    _refuse_empty_or_twice("seeds", seeds)
    num_bad = int((~np.isfinite(scores)).sum())
    if num_bad:
        raise InvalidInput(
            "scores", given=f"{num_bad} that are not finite", allowed="numbers", remedy="Leave that seed out."
        )
    by_id = sorted(range(len(clip_ids)), key=lambda place: clip_ids[place])
    by_seed = sorted(range(len(seeds)), key=lambda place: seeds[place])
    return ScoreCube(
        clip_ids=tuple(clip_ids[place] for place in by_id),
        groups=tuple((clip_ids if groups is None else groups)[place] for place in by_id),
        folds=tuple(0 if folds is None else int(folds[place]) for place in by_id),
        seeds=tuple(int(seeds[place]) for place in by_seed),
        values=scores[np.ix_(by_id, by_seed)],
        is_share=is_share,
    )


def difference(first: ScoreCube, second: ScoreCube) -> ScoreCube:
    """`first` − `second`, clip by clip, over the seeds that both have.

    Raises:
        InvalidInput: they are of other clips, folds or groups, or have no seed in common.
    """
    _refuse_other_clips(first, second)
    seeds = sorted(set(first.seeds) & set(second.seeds))
    if not seeds:
        raise InvalidInput(
            "seeds of two configurations",
            given=(first.seeds[:_NAMED], second.seeds[:_NAMED]),
            allowed="one in common at least",
            remedy="Train one of them with the other's seeds.",
        )
    values = [cube.values[:, [cube.seeds.index(seed) for seed in seeds]] for cube in (first, second)]
    return ScoreCube(
        clip_ids=first.clip_ids,
        groups=first.groups,
        folds=first.folds,
        seeds=tuple(seeds),
        values=values[0] - values[1],
        is_share=False,
    )


def _refuse_empty_or_twice(field: str, given: Sequence[object]) -> None:
    if not given or len(set(given)) != len(given):
        num_twice = len(given) - len(set(given))
        raise InvalidInput(
            field,
            given=f"{num_twice} more than once" if given else "none",
            allowed="one or more, each once",
            remedy="Give one row per clip and seed.",
        )


def _refuse_other_clips(first: ScoreCube, second: ScoreCube) -> None:
    lone = sorted(set(first.clip_ids) ^ set(second.clip_ids))
    if lone:
        raise InvalidInput(
            "clips of two configurations",
            given=f"{len(lone)} clips that only one of them was tested on, {', '.join(lone[:_NAMED])} among them",
            allowed="the same clips for both",
            remedy="Compare configurations that were tested on the same split.",
        )
    num_moved = sum(a != b for a, b in zip(first.folds, second.folds, strict=True))
    num_regrouped = sum(a != b for a, b in zip(first.groups, second.groups, strict=True))
    if num_moved or num_regrouped:
        raise InvalidInput(
            "folds and groups of two configurations",
            given=f"{num_moved} clips in another fold, {num_regrouped} in another group",
            allowed="the same for both",
            remedy="Compare configurations that were tested on the same split.",
        )
