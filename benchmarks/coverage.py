"""How often a 95 % interval holds the truth, and how often a test cries wolf, on simulated studies of known truth.

python benchmarks/coverage.py [--quick] [--studies 1000]

Intervals of a mean accuracy: the percentile bootstrap over seeds and Student's t over seeds, as papers report them;
the pigeonhole bootstrap, which resamples groups of clips, folds and seeds (Owen 2007); and ours (`reports/evidence`).
Then the paired tests of two equally good configurations. Monte Carlo error of a coverage near 95 %: ± 0.7 points at
1,000 studies. A regime outside 93 to 97 % is measured again on five times as many fresh studies; that number counts.
What is known to be held worse has a table of its own, and so have macro-F1 and macro AUC, from simulated probabilities.
--quick takes a few regimes and 300 studies each: within a minute or two.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from benchmarks.simulated_probabilities import HEADER as SCORES_HEADER
from benchmarks.simulated_probabilities import SCORES, ScoredRegime, cubes_of_study, true_scores
from benchmarks.simulated_studies import HEADER, Regime, units_of
from reports.evidence import estimate
from reports.evidence.half_width import half_width
from reports.evidence.intervals import bounds
from reports.evidence.layout import Layout
from reports.evidence.pairs import mcnemar
from reports.evidence.sign_flips import p_of_units
from reports.evidence.spread import spread

_RESAMPLES = 300
_LEAST, _MOST = 0.93, 0.97  # a coverage outside is measured again, as chance alone takes some of 169 there
_FRESH = 5  # times as many studies
_FLIPS = 499
_GAIN = 3.0  # points
METHODS = ("bootstrap of seeds", "t over seeds", "pigeonhole", "ours")


def one_fold() -> list[Regime]:
    """Seeds that hardly differ, and seeds that differ by as much as clips, or more, allow to see."""
    sizes = ((80, None), (80, 20), (400, None), (400, 40), (2000, None))
    return [
        Regime(num_clips=clips, num_groups=groups, num_seeds=seeds, accuracy=accuracy, seed_points=points)
        for accuracy, noises in ((0.5, (0.3, 2.0)), (0.9, (0.3, 2.0)), (0.98, (0.1, 0.7)))
        for (clips, groups), seeds, points in product(sizes, (3, 5, 10), noises)
    ]


def five_folds() -> list[Regime]:
    """Folds that are alike, and folds and training runs that differ."""
    sizes = ((80, None), (400, 50), (2000, None))
    return [
        Regime(
            num_clips=clips,
            num_groups=groups,
            num_folds=5,
            num_seeds=seeds,
            accuracy=accuracy,
            seed_points=seed * scale,
            fold_points=fold * scale,
            run_points=run * scale,
        )
        for accuracy, scale in ((0.5, 1.0), (0.9, 1.0), (0.98, 0.3))
        for (clips, groups), seeds in product(sizes, (3, 5))
        for seed, fold, run in ((0.3, 0.0, 0.0), (1.0, 2.0, 0.0), (0.2, 4.0, 2.0), (2.0, 0.0, 1.0))
    ]


def unusual() -> list[Regime]:
    """Groups of uneven size, few groups, clips all as hard or nearly decided, many folds' groups alone."""
    return [
        Regime(num_clips=400, num_groups=40, has_even_groups=False),
        Regime(num_clips=400, num_groups=20, has_even_groups=False, group_share=0.3),
        Regime(num_clips=2000, num_groups=10),
        Regime(num_clips=400, clip_share=0.2),
        Regime(num_clips=400, clip_share=0.95),
        Regime(num_clips=400, num_folds=10, num_seeds=3, fold_points=2.0),
        Regime(num_clips=1000, num_groups=5, num_folds=5, fold_points=2.0),
    ]


def held_worse() -> list[Regime]:
    """Where the interval is known to be too wide or too narrow: two seeds, seeds that scatter by more than the errors,
    one seed over folds, which does not tell how seeds differ, and two groups a fold, as with speakers."""
    return [
        Regime(num_clips=400, num_seeds=2, seed_points=0.3),
        Regime(num_clips=400, num_seeds=2, seed_points=2.0),
        Regime(num_clips=400, accuracy=0.98, seed_points=3.0),
        *(Regime(num_clips=400, num_folds=5, num_seeds=1, seed_points=points, run_points=1.0) for points in (0.3, 2.0)),
        *(
            Regime(num_clips=500, num_groups=10, num_folds=5, accuracy=accuracy, seed_points=1.0)
            for accuracy in (0.7, 0.9)
        ),
    ]


def other_scores() -> list[ScoredRegime]:
    """Few clips a label and many, scores in the middle and near 1, seeds that hardly differ and that do."""
    return [
        ScoredRegime(num_clips=80, num_labels=10),
        ScoredRegime(num_clips=80, num_labels=10, seed_deviation=0.6),
        ScoredRegime(num_clips=120, num_labels=20, num_seeds=5, skill=2.0),
        ScoredRegime(num_clips=400, num_labels=10),
        ScoredRegime(num_clips=400, num_labels=10, skill=2.0, seed_deviation=0.3),
        ScoredRegime(num_clips=400, num_labels=50, skill=4.5),
    ]


def coverages_of_scores(regime: ScoredRegime, *, num_studies: int, seed: int = 1) -> dict[str, float]:
    """Score → the share of studies whose 95 % interval holds its true value."""
    rng, truth = np.random.default_rng(seed), true_scores(regime)
    held = dict.fromkeys(SCORES, 0)
    for _ in range(num_studies):
        for name, cube in cubes_of_study(regime, rng).items():
            interval = estimate(cube).interval
            held[name] += interval is not None and interval.low <= truth[name] <= interval.high
    return {name: count / num_studies for name, count in held.items()}


def coverages(regime: Regime, *, num_studies: int, seed: int = 1) -> dict[str, float]:
    """Method → the share of studies whose 95 % interval holds the true accuracy."""
    units, layout = units_of(regime, num_studies=num_studies, seed=seed)[0], regime.layout
    scores = units.sum(axis=-2)
    resampled = scores[:, _draws(regime.num_seeds)].mean(axis=-1)
    mean, half = scores.mean(axis=-1), _half_width_of_t(scores)
    intervals = {
        "bootstrap of seeds": np.quantile(resampled, (0.025, 0.975), axis=-1),
        "t over seeds": (mean - half, mean + half),
        "pigeonhole": np.quantile(_pigeonhole(units, layout), (0.025, 0.975), axis=-1),
        "ours": bounds(mean, spread(units, layout), layout, is_share=True),
    }
    return {
        name: float(((low <= regime.accuracy) & (regime.accuracy <= high)).mean())
        for name, (low, high) in intervals.items()
    }


def _half_width_of_t(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(studies,), of (studies, S) scores; NaN of one seed, whose spread is unknown."""
    num_seeds = scores.shape[-1]
    if num_seeds == 1:
        return np.full(len(scores), np.nan)
    error = scores.std(axis=-1, ddof=1) / np.sqrt(num_seeds)
    return np.asarray(stats.t.ppf(0.975, num_seeds - 1) * error)


def pairs() -> list[Regime]:
    """Studies of two configurations; with one seed, of two trained models, which no other seed tells anything of."""
    sizes = ((80, None, 1), (80, 20, 1), (400, None, 1), (400, 40, 1), (2000, None, 1), (400, 50, 5))
    return [
        Regime(
            num_clips=clips,
            num_groups=groups,
            num_folds=folds,
            num_seeds=seeds,
            accuracy=accuracy,
            seed_points=seed,
            fold_points=seed if folds > 1 else 0.0,
        )
        for (clips, groups, folds), seeds in product(sizes, (3, 5))
        for accuracy, seed in ((0.5, 2.0), (0.9, 0.2), (0.9, 2.0), (0.97, 0.5))
    ] + [
        Regime(num_clips=clips, num_groups=groups, num_seeds=1, accuracy=accuracy, seed_points=0.0)
        for clips, groups in ((100, None), (200, None), (400, None), (400, 40))
        for accuracy in (0.9, 0.97)
    ]


def rejections(regime: Regime, *, num_studies: int, seed: int = 1) -> dict[str, float]:
    """Test → the share of studies in which it tells two configurations apart at the 5 % level."""
    units, layout = units_of(regime, num_studies=num_studies, seed=seed, num_configurations=2), regime.layout
    gaps, rng = units[0] - units[1], np.random.default_rng(4)
    scores, found = gaps.sum(axis=-2), spread(gaps, layout)
    mean, half = scores.mean(axis=-1), _half_width_of_t(scores)
    flips = [p_of_units(of_study, layout, num_flips=_FLIPS, rng=rng) for of_study in gaps]
    return {
        "t over seeds": float((np.abs(mean) > half).mean()) if regime.num_seeds > 1 else float("nan"),
        "ours": float((np.abs(mean) > half_width(found, level=0.95)).mean()),
        "sign flips": float((np.array(flips) <= 0.05).mean()),
    }


def mcnemar_rejections(regime: Regime, *, num_studies: int) -> float:
    """Of one seed each, whose models are equally good: the share in which McNemar's exact test tells them apart."""
    units = units_of(regime, num_studies=num_studies, seed=5, num_configurations=2)[..., 0] > 0
    return float(np.mean([mcnemar(first, second).p_value <= 0.05 for first, second in zip(*units, strict=True)]))


def _draws(num: int) -> NDArray[np.int64]:
    return np.random.default_rng(2).integers(num, size=(_RESAMPLES, num))


def _pigeonhole(units: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    """(studies, resamples): means over resampled folds, units within folds, and seeds, each on its own."""
    rng = np.random.default_rng(3)
    num_seeds, num_folds = units.shape[-1], layout.num_folds
    per_fold = np.bincount(layout.fold_of_unit)
    even = [rng.multinomial(num, np.full(num, 1 / num), size=_RESAMPLES) for num in per_fold]
    of_units = np.concatenate(even, axis=1).astype(np.float64)
    if num_folds > 1:
        of_units *= rng.multinomial(num_folds, np.full(num_folds, 1 / num_folds), size=_RESAMPLES)[
            :, layout.fold_of_unit
        ]
    of_seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=_RESAMPLES) / num_seeds
    return np.einsum("bs,kbs->kb", of_seeds, of_units @ units)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few regimes, 300 studies each: within a minute")
    parser.add_argument("--studies", type=int, default=1000)
    arguments = parser.parse_args(argv)
    print_machine(["numpy", "scipy"], num_cores=1)
    num_studies = 300 if arguments.quick else arguments.studies
    step = 13 if arguments.quick else 1
    tables = {"one fold": one_fold()[::step], "five folds": five_folds()[::step], "unusual designs": unusual()[::3]}
    if not arguments.quick:
        tables["unusual designs"] = unusual()
    ours = _print_coverage(tables, num_studies=num_studies)
    _print_held_worse(held_worse()[:: 3 if arguments.quick else 1], num_studies=num_studies)
    of_scores = _print_scores(other_scores()[:: 5 if arguments.quick else 1], num_studies=num_studies)
    false_positives = _print_tests(pairs()[:: 9 if arguments.quick else 1], num_studies=num_studies)
    print(f"figure statistics.coverage_min {min(ours):.3f}")
    print(f"figure statistics.coverage_max {max(ours):.3f}")
    print(f"figure statistics.coverage_of_f1_and_auc_min {min(of_scores):.3f}")
    print(f"figure statistics.coverage_of_f1_and_auc_max {max(of_scores):.3f}")
    print(f"figure statistics.false_positive_max {max(false_positives):.3f}")
    return 0


def _print_coverage(tables: dict[str, list[Regime]], *, num_studies: int) -> list[float]:
    ours = []
    for title, regimes in tables.items():
        print(f"\n{title}: share of {num_studies} studies whose 95 % interval holds the truth; σ in points of accuracy")
        print(f"{HEADER} " + " ".join(f"{name:>18s}" for name in METHODS))
        for regime in regimes:
            found = coverages(regime, num_studies=num_studies)
            told = "".join(f" {found[name]:18.3f}" for name in METHODS)
            if not _LEAST <= found["ours"] <= _MOST:
                found = coverages(regime, num_studies=_FRESH * num_studies, seed=2)
                told += f"   again, of {_FRESH * num_studies}: {found['ours']:.3f}"
                told += "" if _LEAST <= found["ours"] <= _MOST else "  ✗"
            ours.append(found["ours"])
            print(f"{regime}{told}", flush=True)
    return ours


def _print_held_worse(regimes: list[Regime], *, num_studies: int) -> None:
    print(f"\nknown to be held worse: share of {num_studies} studies whose 95 % interval holds the truth")
    print(f"{HEADER} {'ours':>18s}")
    for regime in regimes:
        print(f"{regime} {coverages(regime, num_studies=num_studies)['ours']:18.3f}", flush=True)


def _print_scores(regimes: list[ScoredRegime], *, num_studies: int) -> list[float]:
    """Those of macro-F1 and macro AUC."""
    print(f"\nother scores: share of {num_studies} studies whose 95 % interval holds the truth; σ in logits")
    print(f"{SCORES_HEADER} " + " ".join(f"{name:>10s}" for name in SCORES))
    found = []
    for regime in regimes:
        held = coverages_of_scores(regime, num_studies=num_studies)
        found += [held[name] for name in SCORES[1:]]
        print(f"{regime} " + " ".join(f"{held[name]:10.3f}" for name in SCORES), flush=True)
    return found


def _print_tests(regimes: list[Regime], *, num_studies: int) -> list[float]:
    """The false positives of our two tests and McNemar's."""
    print(f"\ntwo configurations: share of {num_studies} studies that tell them apart at the 5 % level")
    print(f"{'':{len(HEADER)}s} {'equally good':>35s}   {f'{_GAIN:.0f} points better':>35s}")
    names = ("t over seeds", "ours", "sign flips")
    print(f"{HEADER} " + "   ".join(" ".join(f"{name:>11s}" for name in names) for _ in range(2)))
    found = []
    for regime in regimes:
        equal = rejections(regime, num_studies=num_studies)
        better = rejections(
            replace(regime, gain_points=min(_GAIN, 99 - 100 * regime.accuracy)), num_studies=num_studies
        )
        found += [equal["ours"], equal["sign flips"]]
        columns = "   ".join(" ".join(f"{of_test[name]:11.3f}" for name in names) for of_test in (equal, better))
        print(f"{regime} {columns}", flush=True)
    print("\nMcNemar's exact test of two trained models, one seed each, equally good")
    for clips, accuracy in product((80, 400, 2000), (0.5, 0.9, 0.98)):
        regime = Regime(num_clips=clips, num_seeds=1, accuracy=accuracy, seed_points=0.0)
        found.append(mcnemar_rejections(regime, num_studies=num_studies))
        print(f"{regime} {found[-1]:11.3f}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
