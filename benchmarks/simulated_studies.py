"""Studies whose truth is known: answers of trained models to clips, drawn from a model of hardness and skill.

A seed's model answers a clip correctly if a sum of normals is above zero: the configuration's skill, how hard the clip
and its group are, how good this seed, this fold and this training run turned out, and chance. The sum's variance is 1,
so the true accuracy over all clips, folds and seeds is that of one normal, known exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reports.evidence.layout import Layout, lay_out

_ANSWERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Regime:
    """A kind of study.

    Attributes:
        num_groups: None where every clip is one of its own.
        has_even_groups: whether groups are of one size; otherwise sizes are log-normal, σ = 0.7.
        seed_points, fold_points, run_points: deviation of the accuracy between seeds, folds and training runs.
        clip_share: of the latent variance that is left, the part that is the clip's (its group's in it); the rest is
            this seed's answer to this clip.
        group_share: of that variance, the group's part.
        overlap: of two configurations, how much of a clip's hardness both share.
        gain_points: by how much the second configuration is better than the first.
    """

    num_clips: int
    num_groups: int | None = None
    has_even_groups: bool = True
    num_folds: int = 1
    num_seeds: int = 3
    accuracy: float = 0.9
    seed_points: float = 1.0
    fold_points: float = 0.0
    run_points: float = 0.0
    clip_share: float = 0.6
    group_share: float = 0.2
    overlap: float = 0.5
    gain_points: float = 0.0

    @property
    def folds(self) -> NDArray[np.int64]:
        return np.arange(self.num_clips) * self.num_folds // self.num_clips

    @property
    def groups(self) -> NDArray[np.int64]:
        """Whole groups in every fold; a clip's own number where there are none."""
        if self.num_groups is None:
            return np.arange(self.num_clips)
        per_fold = self.num_groups // self.num_folds
        rng = np.random.default_rng(0)
        groups = np.empty(self.num_clips, dtype=np.int64)
        for fold in range(self.num_folds):
            clips = np.flatnonzero(self.folds == fold)
            edges = np.cumsum(np.exp(rng.normal(0, 0.0 if self.has_even_groups else 0.7, per_fold)))
            place = np.searchsorted(edges / edges[-1] * len(clips), np.arange(len(clips)), side="right")
            groups[clips] = fold * per_fold + np.minimum(place, per_fold - 1)
        return groups

    @property
    def layout(self) -> Layout:
        return lay_out(self.folds, self.groups)

    def __str__(self) -> str:
        groups = "" if self.num_groups is None else f" in {self.num_groups}{'' if self.has_even_groups else ' uneven'}"
        return (
            f"{f'{self.num_clips}{groups}':>15s} {self.num_folds:>5d} {self.num_seeds:>5d} {self.accuracy:>8.2f} "
            f"{self.seed_points:>6.1f} {self.fold_points:>5.1f} {self.run_points:>5.1f}"
        )


HEADER = f"{'clips':>15s} {'folds':>5s} {'seeds':>5s} {'accuracy':>8s} {'σ seed':>6s} {'fold':>5s} {'run':>5s}"


def units_of(regime: Regime, *, num_studies: int, seed: int, num_configurations: int = 1) -> NDArray[np.float64]:
    """float64 (configurations, studies, U, S): what `Layout.unit_sums` makes of each study's answers.

    Configurations are tested on the same clips.
    """
    rng = np.random.default_rng(seed)
    per_study = regime.num_clips * regime.num_seeds * num_configurations
    at_once, layout = max(1, _ANSWERS_AT_ONCE // per_study), regime.layout
    batches = [min(at_once, num_studies - done) for done in range(0, num_studies, at_once)]
    parts = [[layout.unit_sums(of_one) for of_one in _answers(regime, num, num_configurations, rng)] for num in batches]
    return np.stack([np.concatenate(of_one) for of_one in zip(*parts, strict=True)])


def _answers(
    regime: Regime, num_studies: int, num_configurations: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """(studies, N, S), 1 for a right answer, configuration by configuration."""
    shares = _shares(regime)
    common = _of_clips(regime, shares, num_studies, rng) if num_configurations > 1 else 0.0
    for place in range(num_configurations):
        own = _of_clips(regime, shares, num_studies, rng)
        overlap = regime.overlap if num_configurations > 1 else 0.0
        threshold = stats.norm.ppf(regime.accuracy + place * regime.gain_points / 100)
        latent = threshold + (np.sqrt(overlap) * common + np.sqrt(1 - overlap) * own)[..., None]
        latent = latent + np.sqrt(shares["seed"]) * _normal(rng, num_studies, 1, regime.num_seeds)
        latent += (
            np.sqrt(shares["run"]) * _normal(rng, num_studies, regime.num_folds, regime.num_seeds)[:, regime.folds]
        )
        latent += np.sqrt(shares["answer"]) * _normal(rng, num_studies, regime.num_clips, regime.num_seeds)
        yield (latent > 0).astype(np.float64)


def _shares(regime: Regime) -> dict[str, float]:
    """Source → its part of the latent variance."""
    slope = stats.norm.pdf(stats.norm.ppf(regime.accuracy)) * 100  # points of accuracy per unit of skill
    points = {"seed": regime.seed_points, "fold": regime.fold_points, "run": regime.run_points}
    found = {source: float((value / slope) ** 2) for source, value in points.items()}
    rest = 1.0 - sum(found.values())
    group = 0.0 if regime.num_groups is None else regime.group_share
    return {
        **found,
        "group": rest * group,
        "clip": rest * (regime.clip_share - group),
        "answer": rest * (1 - regime.clip_share),
    }


def _of_clips(
    regime: Regime, shares: dict[str, float], num_studies: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(studies, N): how hard clips are, with their groups and folds."""
    hardness = np.sqrt(shares["clip"]) * _normal(rng, num_studies, regime.num_clips)
    hardness += np.sqrt(shares["fold"]) * _normal(rng, num_studies, regime.num_folds)[:, regime.folds]
    if shares["group"]:
        groups = regime.groups
        hardness += np.sqrt(shares["group"]) * _normal(rng, num_studies, int(groups.max()) + 1)[:, groups]
    return np.asarray(hardness, dtype=np.float32)


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)
