"""Studies whose true macro-F1 and macro AUC are known: probabilities that trained models give, drawn from a model.

A clip's logits are normal, with more on its own label: the configuration's skill, how hard the clip and its class are,
and how good this seed turned out. The truth is the score of very many clips, as a mean over many seeds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.evidence import Answers, ScoreCube, accuracy, macro_auc, macro_f1

SCORES = ("accuracy", "macro-F1", "macro AUC")
_TRUE_CLIPS, _TRUE_SEEDS = 2000, 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredRegime:
    """A kind of study of one fold, every clip a group of its own.

    Attributes:
        skill: of a logit, whose deviation is 1; 3.5 among ten labels gives an accuracy near 0.9.
        seed_deviation: of the skill, between seeds.
        clip_deviation, class_deviation: of how hard clips and classes are.
    """

    num_clips: int
    num_labels: int
    num_seeds: int = 3
    skill: float = 3.5
    seed_deviation: float = 0.1
    clip_deviation: float = 0.8
    class_deviation: float = 0.5

    def __str__(self) -> str:
        return (
            f"{self.num_clips:>6d} {self.num_labels:>6d} {self.num_seeds:>5d} {self.skill:>5.1f} "
            f"{self.seed_deviation:>6.1f}"
        )


HEADER = f"{'clips':>6s} {'labels':>6s} {'seeds':>5s} {'skill':>5s} {'σ seed':>6s}"


def cubes_of_study(regime: ScoredRegime, rng: np.random.Generator) -> dict[str, ScoreCube]:
    """Score → its cube, of one study."""
    labels = np.arange(regime.num_clips) % regime.num_labels
    given = _given(regime, labels, regime.num_seeds, rng)
    names = tuple(f"{clip:06d}" for clip in range(regime.num_clips))
    answers = Answers(
        clip_ids=names,
        groups=names,
        folds=(0,) * regime.num_clips,
        seeds=tuple(range(regime.num_seeds)),
        has_label=np.eye(regime.num_labels, dtype=bool)[labels],
        predicted=given.argmax(axis=2),
        probabilities=given,
    )
    cubes = (accuracy(answers), macro_f1(answers), macro_auc(answers))
    return dict(zip(SCORES, cubes, strict=True))


def true_scores(regime: ScoredRegime, *, seed: int = 7) -> dict[str, float]:
    """Score → what it comes to over very many clips and seeds; its Monte Carlo error is below 0.1 points."""
    rng = np.random.default_rng(seed)
    clips = _TRUE_CLIPS // regime.num_labels * regime.num_labels
    of_seed = ScoredRegime(
        num_clips=clips,
        num_labels=regime.num_labels,
        num_seeds=1,
        skill=regime.skill,
        seed_deviation=regime.seed_deviation,
        clip_deviation=regime.clip_deviation,
        class_deviation=regime.class_deviation,
    )
    found = [cubes_of_study(of_seed, rng) for _ in range(_TRUE_SEEDS)]
    return {name: float(np.mean([cubes[name].seed_scores[0] for cubes in found])) for name in SCORES}


def _given(
    regime: ScoredRegime, labels: NDArray[np.int64], num_seeds: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Probabilities, (N, S, L)."""
    num_clips, num_labels = len(labels), regime.num_labels
    of_class = np.random.default_rng(9).normal(0, regime.class_deviation, num_labels)
    hard = rng.normal(0, regime.clip_deviation, num_clips)
    logits = rng.normal(0, 1, (num_clips, num_seeds, num_labels))
    skill = regime.skill + rng.normal(0, regime.seed_deviation, num_seeds)
    logits[np.arange(num_clips), :, labels] += (hard + of_class[labels])[:, None] + skill
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=2, keepdims=True))
