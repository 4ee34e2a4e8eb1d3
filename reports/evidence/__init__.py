"""How far scores can be trusted: intervals over clips, folds and seeds, paired tests, seeds still needed, optimism."""

from reports.evidence.answers import Answers, accuracy, answers_of
from reports.evidence.cubes import ScoreCube, difference, score_cube
from reports.evidence.intervals import Estimate, Interval, estimate
from reports.evidence.scores import jackknifed, macro_auc, macro_f1

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
]
