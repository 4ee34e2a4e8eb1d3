"""Scores that are no mean over clips, made into one: macro-F1, macro AUC, and any function of labels and probabilities.

Enters: `Answers`. Leaves: a `ScoreCube` whose mean over a fold's clips is the fold's score and whose clips differ by
what each of them moves it, so that intervals and tests of means hold for it. For F1 and AUC that is their derivative
by the weight of a clip (for AUC the placements of DeLong, DeLong & Clarke-Pearson 1988), for any other function the
jackknife's pseudo-values (Dorfman, Berbaum & Metz 1992).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from reports.evidence.answers import Answers
from reports.evidence.cubes import ScoreCube, score_cube
from reports.evidence.layout import Layout, lay_out
from storage.errors import InvalidInput

Labels = NDArray[np.bool_]  # (n, L)
Probabilities = NDArray[np.float64]  # (n, L)
MAX_BLOCKS = 50  # of units, per fold; more take longer and tell little more


def macro_f1(answers: Answers, *, is_multi_label: bool = False) -> ScoreCube:
    """Mean F1 over the labels that a fold's clips have; of several labels, those from probability 0.5 on are given."""
    return _linearised(answers, partial(_f1, is_multi_label=is_multi_label))


def macro_auc(answers: Answers) -> ScoreCube:
    """Mean one-vs-rest area under the ROC curve over the labels that some clips of a fold have and some have not.

    Raises:
        InvalidInput: a fold has no such label.
    """
    return _linearised(answers, _auc)


def jackknifed(
    answers: Answers,
    score: Callable[[Labels, Probabilities], float],
    *,
    is_share: bool = True,
    max_blocks: int = MAX_BLOCKS,
) -> ScoreCube:
    """Any score. The cube's clips are blocks of groups: `score` is taken once for each block and seed, without the
    block.

    Args:
        score: of the clips of one fold, as every seed answered them; a finite number.
        is_share: whether it lies between 0 and 1.
    """
    blocks = _blocks(lay_out(answers.folds, answers.groups), max_blocks)
    folds = np.asarray(answers.folds)
    names, block_folds, values = [], [], []
    for fold in sorted(set(answers.folds)):
        clips = np.flatnonzero(folds == fold)
        of_fold = blocks[clips]
        for place in range(of_fold.max() + 1):
            names.append(f"fold {fold} block {place:04d}")
            block_folds.append(fold)
        values.append(
            [_pseudo_values(score, answers, clips, of_fold, seed) for seed in range(len(answers.seeds))],
        )
    rows = np.concatenate([np.asarray(of_fold).T for of_fold in values])
    return score_cube(rows, clip_ids=names, seeds=answers.seeds, folds=block_folds, is_share=is_share)


def _pseudo_values(
    score: Callable[[Labels, Probabilities], float],
    answers: Answers,
    clips: NDArray[np.int64],
    block_of_clip: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float64]:
    """One per block; their mean is the score of all clips."""
    has_label, given = answers.has_label[clips], answers.probabilities[clips, seed]
    whole, num_blocks = score(has_label, given), int(block_of_clip.max()) + 1
    if num_blocks == 1:
        return np.array([whole])
    without = np.array(
        [score(has_label[block_of_clip != block], given[block_of_clip != block]) for block in range(num_blocks)]
    )
    return np.asarray(whole + (num_blocks - 1) * (without.mean() - without))


def _blocks(layout: Layout, max_blocks: int) -> NDArray[np.int64]:
    """The block of every clip: a fold's units, dealt in turn."""
    first_unit = np.repeat(layout.first_unit, np.diff(np.append(layout.first_unit, layout.num_units)))
    block_of_unit = (np.arange(layout.num_units) - first_unit) % max_blocks
    sizes = np.diff(np.append(layout.first_clip, layout.num_clips))
    blocks = np.empty(layout.num_clips, dtype=np.int64)
    blocks[layout.order] = np.repeat(block_of_unit, sizes)
    return blocks


def _linearised(
    answers: Answers, part: Callable[[Labels, Probabilities], tuple[float, NDArray[np.float64]]]
) -> ScoreCube:
    """The cube of a score that `part` gives with each clip's influence on it, which sum to 0."""
    folds = np.asarray(answers.folds)
    values = np.empty(answers.predicted.shape)
    for fold in np.unique(folds):
        clips = np.flatnonzero(folds == fold)
        for seed in range(len(answers.seeds)):
            score, influence = part(answers.has_label[clips], answers.probabilities[clips, seed])
            values[clips, seed] = score + len(clips) * influence
    return answers.cube(values)


def _f1(has_label: Labels, given: Probabilities, *, is_multi_label: bool) -> tuple[float, NDArray[np.float64]]:
    decided = given >= 0.5 if is_multi_label else np.eye(given.shape[1], dtype=bool)[given.argmax(axis=1)]
    present = has_label.any(axis=0)
    has, said = has_label[:, present].astype(np.float64), decided[:, present].astype(np.float64)
    whole = (has + said).sum(axis=0)  # at least 1 each
    f1 = 2 * (has * said).sum(axis=0) / whole
    return float(f1.mean()), np.asarray(((2 * has * said - f1 * (has + said)) / whole).mean(axis=1))


def _auc(has_label: Labels, given: Probabilities) -> tuple[float, NDArray[np.float64]]:
    usable = np.flatnonzero(has_label.any(axis=0) & ~has_label.all(axis=0))
    if not len(usable):
        raise InvalidInput(
            "labels of a fold",
            given="none that some clips have and some have not",
            allowed="one at least",
            remedy="Ask for another score, such as accuracy.",
        )
    areas, influences = zip(*(_auc_of_label(has_label[:, label], given[:, label]) for label in usable), strict=True)
    return float(np.mean(areas)), np.mean(influences, axis=0)


def _auc_of_label(has: NDArray[np.bool_], given: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    below = _share_below(given[has], given[~has])
    above = 1.0 - _share_below(given[~has], given[has])
    area = float(below.mean())
    influence = np.empty(len(has))
    influence[has], influence[~has] = (below - area) / len(below), (above - area) / len(above)
    return area, influence


def _share_below(of: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of `among` below each of `of`, ties by half."""
    ordered = np.sort(among)
    counts = np.searchsorted(ordered, of, side="left") + np.searchsorted(ordered, of, side="right")
    return np.asarray(counts / (2 * len(among)))
