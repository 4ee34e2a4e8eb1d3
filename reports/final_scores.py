"""What the finalists are worth on test, with intervals. Enters: `Finalist`s. Leaves: scores, and comparisons in pairs.

Everything statistical is computed in `reports.evidence`; this file hands it the answers, clip by clip, and keeps going
where a configuration's predictions are missing: it is then named, with the reason, and left out.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.chosen_by import has_several_labels
from reports.evidence import (
    Answers,
    Comparison,
    Estimate,
    ScoreCube,
    accuracy,
    answers_of,
    compare_all,
    difference,
    estimate,
    holm,
    macro_auc,
    macro_f1,
)
from reports.finalists import Finalist
from storage.errors import InvalidInput

T = TypeVar("T")

_AT_ONCE = 4  # finalists whose predictions are in memory; each group of them costs a listing


@dataclass(frozen=True, kw_only=True, eq=False)
class FinalScore:
    """One finalist on test.

    Attributes:
        cube: clips × seeds of what trials are chosen by: accuracy, or macro ROC-AUC of several labels.
        has_label: bool (N, L); the true labels of its clips.
        score: its mean, deviation and interval.
        macro_f1: likewise.
        num_untouched: how many of its clips are the sweep's own test clips, which had no part in the search.
        untouched_cube, untouched: the score on these alone; None where they are all of its clips, or none.
    """

    finalist: Finalist
    cube: ScoreCube
    has_label: NDArray[np.bool_]
    score: Estimate
    macro_f1: Estimate
    num_untouched: int
    untouched_cube: ScoreCube | None
    untouched: Estimate | None

    @property
    def is_untouched(self) -> bool:
        """Whether none of its clips had a part in the search."""
        return self.num_untouched == len(self.cube.clip_ids)

    @property
    def best_known(self) -> Estimate:
        """What to report: the score on clips without a part in the search, where it has some; else on all."""
        return self.untouched or self.score

    @property
    def best_known_cube(self) -> ScoreCube:
        """Likewise clip by clip."""
        return self.untouched_cube or self.cube


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedTests:
    """All pairs of the configurations that were tested on the same clips.

    Attributes:
        names: of the configurations, in the order of the matrix.
        comparisons: (first, second) → first − second; `p_value`, permutation and McNemar's are as they are.
        p_permutation: likewise → adjusted by Holm over all pairs.
        p_mcnemar: likewise → by seed, adjusted by Holm over all pairs and seeds.
    """

    names: tuple[str, ...]
    comparisons: dict[tuple[str, str], Comparison]
    p_permutation: dict[tuple[str, str], float]
    p_mcnemar: dict[tuple[str, str], dict[int, float]]


def final_scores(
    finalists: Sequence[Finalist], *, own_test_clips: Collection[str] | None = None
) -> tuple[list[FinalScore], dict[str, str]]:
    """(scores in the order of the finalists, name → why it has none).

    Args:
        finalists: of one source.
        own_test_clips: of the sweep's split, for finalists that may have been tested on others; None for the sweep's
            own trials.
    """
    scores: list[FinalScore] = []
    reasons: dict[str, str] = {}
    for begin in range(0, len(finalists), _AT_ONCE):
        some = finalists[begin : begin + _AT_ONCE]
        rows = some[0].source.read_predictions([trial_id for one in some for trial_id in one.fold_of_trial])
        for finalist in some:
            try:
                scores.append(_score(finalist, rows, own_test_clips))
            except InvalidInput as e:
                reasons[finalist.name] = str(e)
    return scores, reasons


def paired_tests(scores: Sequence[FinalScore]) -> tuple[PairedTests | None, dict[str, str]]:
    """(tests of all pairs, name → why it is in none); see `compare_cubes`."""
    return compare_cubes({score.finalist.name: score.cube for score in scores})


def compare_cubes(cubes: Mapping[str, ScoreCube]) -> tuple[PairedTests | None, dict[str, str]]:
    """(tests of all pairs, name → why it is in none); no tests with fewer than two that can be compared.

    A configuration is left out if it cannot be compared with one before it: other clips, or no seed in common.
    """
    alike: dict[str, ScoreCube] = {}
    reasons: dict[str, str] = {}
    for name, cube in cubes.items():
        try:
            for other in alike.values():
                difference(cube, other)
            alike[name] = cube
        except InvalidInput as e:
            reasons[name] = str(e)
    return (_tests(alike) if len(alike) > 1 else None), reasons


def _tests(cubes: Mapping[str, ScoreCube]) -> PairedTests:
    comparisons = compare_all(cubes)
    pairs = list(comparisons)
    adjusted = holm([comparisons[pair].p_permutation for pair in pairs])
    by_seed = [(pair, seed, test.p_value) for pair in pairs for seed, test in comparisons[pair].mcnemar.items()]
    p_mcnemar: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for (pair, seed, _), p in zip(by_seed, holm([p for _, _, p in by_seed]), strict=True):
        p_mcnemar[pair][seed] = p
    return PairedTests(
        names=tuple(cubes),
        comparisons=comparisons,
        p_permutation=dict(zip(pairs, adjusted, strict=True)),
        p_mcnemar=dict(p_mcnemar),
    )


def _cube(finalist: Finalist, answers: Answers) -> ScoreCube:
    """Of what trials are chosen by."""
    return macro_auc(answers) if has_several_labels(finalist.source) else accuracy(answers)


def _score(finalist: Finalist, predictions: pd.DataFrame, own_test_clips: Collection[str] | None) -> FinalScore:
    """Args: predictions: of its trials; of others and of other seeds, too."""
    of_seeds = predictions[predictions["seed"].isin(finalist.seeds)]
    answers = answers_of(of_seeds, finalist.fold_of_trial, num_labels=len(finalist.source.labels))
    cube = _cube(finalist, answers)
    f1 = macro_f1(answers, is_multi_label=has_several_labels(finalist.source))
    own = answers.clip_ids if own_test_clips is None else own_test_clips
    is_own = np.isin(answers.clip_ids, list(own))
    own_cube = _cube(finalist, _part(answers, is_own)) if is_own.any() and not is_own.all() else None
    return FinalScore(
        finalist=finalist,
        cube=cube,
        has_label=answers.has_label,
        score=estimate(cube),
        macro_f1=estimate(f1),
        num_untouched=int(is_own.sum()),
        untouched_cube=own_cube,
        untouched=None if own_cube is None else estimate(own_cube),
    )


def _part(answers: Answers, is_kept: NDArray[np.bool_]) -> Answers:
    def kept(values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(value for value, keep in zip(values, is_kept, strict=True) if keep)

    return replace(
        answers,
        clip_ids=kept(answers.clip_ids),
        groups=kept(answers.groups),
        folds=kept(answers.folds),
        has_label=answers.has_label[is_kept],
        predicted=answers.predicted[is_kept],
        probabilities=answers.probabilities[is_kept],
    )
