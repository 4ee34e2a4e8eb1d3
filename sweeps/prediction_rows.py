"""Predictions as rows of the results table, and scored again from there."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from training import TrialConfig
from training.metrics import Evaluation, evaluate


def prediction_rows(config: TrialConfig, seed: int, part: str, evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": config.trial_id,
            "seed": seed,
            "part": part,
            "clip_id": clip_id,
            "label": int(evaluation.first_label[row]),
            "labels": evaluation.has_label[row].nonzero()[0].tolist(),
            "predicted": int(evaluation.predicted[row]),
            "probabilities": evaluation.probabilities[row].tolist(),
            "group": evaluation.groups[row],
        }
        for row, clip_id in enumerate(evaluation.clip_ids)
    ]


def as_recorded(evaluation: Evaluation, rows: Iterable[Mapping[str, Any]]) -> Evaluation:
    """The evaluation of a part, as its recorded predictions have it.

    Args:
        evaluation: of the same clips; returned as it is where its probabilities are the recorded ones.
        rows: of the same seed and part.
    """
    recorded = {row["clip_id"]: row["probabilities"] for row in rows}
    probabilities = np.array([recorded[clip_id] for clip_id in evaluation.clip_ids], np.float32)
    if np.array_equal(probabilities, evaluation.probabilities):
        return evaluation
    return evaluate(
        clip_ids=evaluation.clip_ids,
        groups=evaluation.groups,
        targets=evaluation.has_label,
        first_label=evaluation.first_label,
        probabilities=probabilities.astype(np.float64),
        is_multi_label=evaluation.is_multi_label,
    )
