"""What a mean score would have been with other clips, other folds and other seeds: variances, source by source.

Enters: the contributions of units (groups of clips) and seeds to a score. Leaves: a `Spread`. The design is clips
nested in folds and crossed with seeds; its variances are those of an analysis of variance with random effects, in the
form that needs no equal sizes: squared deviations of clusters, minus what another way of clustering has in common with
them (Cameron, Gelbach & Miller 2011, "Robust inference with multiway clustering"; for readers × cases Obuchowski &
Rockette 1995 have the same). Every array may have studies as leading axes.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.evidence.layout import Layout

Numbers = Any  # a float, or an array over studies


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Excess:
    """What seeds, or folds, differ by, beyond what clips explain.

    Attributes:
        square: variance of the mean as the seeds' (or folds') own scores tell it.
        floor: what it would be, on average, if they were all alike.
        df: degrees of freedom of `square`: seeds, or folds, less one; 0 where there is one, which tells nothing.
    """

    square: Numbers
    floor: Numbers
    df: float

    @property
    def positive(self) -> Numbers:
        return np.maximum(self.square - self.floor, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Spread:
    """The variance of a mean score, by source; numbers, or arrays over studies.

    Attributes:
        base: other clips, with the answers of the same seeds to them.
        answers: the part of `base` that falls with seeds: how a seed answers a clip beyond its skill and the clip's
            hardness.
        runs: training runs (fold, seed), beyond their folds and seeds; falls with seeds, may be negative by chance.
        folds, seeds: what they add.
        base_df: degrees of freedom of `base`: units less folds, for units of equal size.
        num_seeds, num_folds: of the study.
    """

    base: Numbers
    answers: Numbers
    runs: Numbers
    folds: Excess
    seeds: Excess
    base_df: float
    num_seeds: int
    num_folds: int

    @property
    def variance(self) -> Numbers:
        """Of the mean score, no source below zero."""
        return self.base + np.maximum(self.runs, 0.0) + self.folds.positive + self.seeds.positive

    @property
    def variance_that_stays(self) -> Numbers:
        """The part that more seeds do not lessen: clips and folds."""
        return np.maximum(self.base - self.answers, 0.0) + self.folds.positive

    def with_seeds(self, num_seeds: int) -> "Spread":
        """What it would be, on average, with so many seeds of the same kind."""
        shrink = self.num_seeds / num_seeds
        answers, runs = self.answers * shrink, self.runs * shrink
        base = np.maximum(self.base - self.answers, 0.0) + answers
        floor = self.seeds.floor * shrink
        folds = replace(self.folds, floor=base + runs, square=base + runs + self.folds.square - self.folds.floor)
        seeds = Excess(square=floor + self.seeds.positive * shrink, floor=floor, df=num_seeds - 1.0)
        return replace(self, base=base, answers=answers, runs=runs, folds=folds, seeds=seeds, num_seeds=num_seeds)


def spread(units: NDArray[np.float64], layout: Layout) -> Spread:
    """Variances of the mean over seeds of the sum over units.

    Where a fold has a single unit, whose clips tell nothing of other units, folds stand in for units.

    Args:
        units: float64 (…, U, S), as `Layout.unit_sums` makes them.
    """
    num_folds, num_seeds = layout.num_folds, units.shape[-1]
    folds = layout.fold_sums(units)
    nothing = np.zeros(units.shape[:-2])
    of_folds, of_runs = _of_folds(folds) if num_folds > 1 else (nothing, nothing)
    of_units, of_answers = _of_units(units, folds, layout) if layout.has_units else (of_folds, of_runs)
    runs = of_runs - of_answers if num_folds > 1 else nothing
    return Spread(
        base=of_units,
        answers=of_answers,
        runs=runs,
        folds=Excess(square=of_folds, floor=of_units + runs, df=num_folds - 1.0 if layout.has_units else 0.0),
        seeds=Excess(square=_between(folds.sum(axis=-2, keepdims=True)), floor=of_answers + runs, df=num_seeds - 1.0),
        base_df=_unit_df(layout) if layout.has_units else num_folds - 1.0,
        num_seeds=num_seeds,
        num_folds=num_folds,
    )


def _of_folds(folds: NDArray[np.float64]) -> tuple[Numbers, Numbers]:
    """(variance by folds, with all that differs between them; its part that is not common to a fold's seeds)."""
    correction = folds.shape[-2] / (folds.shape[-2] - 1)
    centred = folds - folds.mean(axis=-2, keepdims=True)
    return correction * (centred.mean(axis=-1) ** 2).sum(axis=-1), correction * _between(centred)


def _of_units(units: NDArray[np.float64], folds: NDArray[np.float64], layout: Layout) -> tuple[Numbers, Numbers]:
    """(variance by units within folds, its part that is not common to a unit's seeds).

    The correction 1 ÷ (1 − share) makes both unbiased for independent clips (Bell & McCaffrey 2002).
    """
    share = layout.unit_share[:, None]
    centred = (units - share * folds[..., layout.fold_of_unit, :]) / np.sqrt(1.0 - share)
    return (centred.mean(axis=-1) ** 2).sum(axis=-1), _between(centred)


def _between(parts: NDArray[np.float64]) -> Numbers:
    """Variance of the mean over seeds (last axis), summed over parts (the axis before it); 0 for a single seed."""
    num_seeds = parts.shape[-1]
    if num_seeds == 1:
        return np.zeros(parts.shape[:-2])
    return parts.var(axis=-1, ddof=1).sum(axis=-1) / num_seeds


def _unit_df(layout: Layout) -> float:
    """Of a sum of squares over units of unequal size, as if a unit's square rose with its size (Satterthwaite)."""
    return max(layout.effective_units - layout.num_folds, 1.0)
