"""How far scores can be trusted: intervals over clips, folds and seeds, paired tests, seeds still needed, optimism."""

from reports.evidence.answers import Answers, accuracy, answers_of
from reports.evidence.comparisons import Comparison, compare, compare_all
from reports.evidence.cubes import ScoreCube, difference, score_cube
from reports.evidence.intervals import Estimate, Interval, estimate
from reports.evidence.optimism import choice_gap, optimism_gap, run_cube
from reports.evidence.pairs import (
    McNemar,
    holm,
    mcnemar,
    mcnemar_by_seed,
    probability_of_superiority,
    standardised_difference,
)
from reports.evidence.planning import detectable_difference, power_of, seeds_needed
from reports.evidence.scores import jackknifed, macro_auc, macro_f1
from reports.evidence.sign_flips import sign_flip_p

__all__ = [
    "Answers",
    "answers_of",
    "ScoreCube",
    "score_cube",
    "difference",
    "accuracy",
    "macro_f1",
    "macro_auc",
    "jackknifed",
    "Estimate",
    "Interval",
    "estimate",
    "Comparison",
    "compare",
    "compare_all",
    "sign_flip_p",
    "McNemar",
    "mcnemar",
    "mcnemar_by_seed",
    "holm",
    "standardised_difference",
    "probability_of_superiority",
    "power_of",
    "detectable_difference",
    "seeds_needed",
    "optimism_gap",
    "choice_gap",
    "run_cube",
]
