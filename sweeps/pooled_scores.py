"""The scores of an experiment's test folds taken together. Enters: the out-of-fold table. Leaves: metrics by seed, and
their means as JSON.

Pooled scores are not the mean of the folds' scores: an AUC over all folds also compares clips of different models.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from training.metrics import SCORES, Evaluation, evaluate

_COLUMNS = ["seed", "clip_id", "group", "label", "labels", "probabilities"]


class Rows(Protocol):
    """An Arrow table, as far as it is needed here."""

    def select(self, columns: list[str]) -> "Rows": ...

    def to_pylist(self) -> list[dict[str, Any]]: ...


def pooled_evaluations(out_of_fold: Rows, *, num_labels: int, is_multi_label: bool) -> dict[int, Evaluation]:
    """seed → all its test folds scored as one part, by `training.metrics`."""
    of_seed: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in out_of_fold.select(_COLUMNS).to_pylist():
        of_seed[row["seed"]].append(row)
    return {
        seed: _evaluation(rows, num_labels=num_labels, is_multi_label=is_multi_label)
        for seed, rows in sorted(of_seed.items())
    }


def mean_scores(evaluations: Mapping[int, Evaluation]) -> dict[str, tuple[float, float | None]]:
    """Metric → mean and sample deviation over seeds; metrics that some seed has none of stay out."""
    found = {}
    for name in next(iter(evaluations.values())).scores:
        values = [evaluation.scores[name] for evaluation in evaluations.values()]
        numbers = [value for value in values if value is not None]
        if len(numbers) == len(values):
            deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
            found[name] = (float(np.mean(numbers)), deviation)
    return found


def scores_json(evaluations: Mapping[int, Evaluation]) -> str:
    """Every score by name: what it means, its mean and sample deviation over seeds, and the number of each seed.

    Null stands for a score that is not defined: for a seed, for the mean if any seed has none, and for the deviation of
    a single seed.
    """
    means = mean_scores(evaluations)
    first = next(iter(evaluations.values()))
    scores = {
        name: {
            "meaning": SCORES[name],
            "mean": means.get(name, (None, None))[0],
            "deviation": means.get(name, (None, None))[1],
            "by_seed": {str(seed): evaluation.scores[name] for seed, evaluation in evaluations.items()},
        }
        for name in first.scores
    }
    about = "the test clips of all folds together, each answered by a model that was trained on other folds"
    found = {"of": about, "num_clips": len(first.clip_ids), "seeds": list(evaluations), "scores": scores}
    return json.dumps(found, indent=1, allow_nan=False)


def _evaluation(rows: list[dict[str, Any]], *, num_labels: int, is_multi_label: bool) -> Evaluation:
    clip_ids = tuple(row["clip_id"] for row in rows)
    targets = np.zeros((len(rows), num_labels), dtype=np.bool_)
    for position, row in enumerate(rows):
        targets[position, row["labels"]] = True
    return evaluate(
        clip_ids=clip_ids,
        groups=tuple(row["group"] or row["clip_id"] for row in rows),
        targets=targets,
        first_label=np.array([row["label"] for row in rows], dtype=np.int64),
        probabilities=np.array([row["probabilities"] for row in rows], dtype=np.float64),
        is_multi_label=is_multi_label,
    )
