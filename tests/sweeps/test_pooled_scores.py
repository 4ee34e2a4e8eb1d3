"""All folds of an experiment scored together: by clip, with the groups that were recorded, and as JSON for programs."""

import json

import pyarrow as pa
import pytest

from sweeps.pooled_scores import mean_scores, pooled_evaluations, scores_json
from training.metrics import SCORES


def table(*, seeds: tuple[int, ...] = (1, 2), group: str | None = "anna") -> pa.Table:
    """Two clips of label 0, told right with 0.9 by every seed, and one of label 1 that the last seed takes for 0."""
    rows = []
    for seed in seeds:
        last = [0.6, 0.4] if seed == seeds[-1] else [0.2, 0.8]
        for clip, (label, probabilities) in enumerate([(0, [0.9, 0.1]), (0, [0.9, 0.1]), (1, last)]):
            rows.append(
                {
                    "seed": seed,
                    "clip_id": f"clip{clip}",
                    "group": group,
                    "label": label,
                    "labels": [label],
                    "probabilities": probabilities,
                }
            )
    return pa.Table.from_pylist(rows)


def test_the_json_names_what_every_number_is() -> None:
    found = json.loads(scores_json(pooled_evaluations(table(), num_labels=2, is_multi_label=False)))
    assert (found["num_clips"], found["seeds"]) == (3, [1, 2])
    assert found["scores"].keys() == SCORES.keys()
    accuracy = found["scores"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(5 / 6)
    assert accuracy["deviation"] == pytest.approx((1 / 3) / 2**0.5)
    assert accuracy["by_seed"] == {"1": 1.0, "2": pytest.approx(2 / 3)}
    assert "most probable label" in accuracy["meaning"]


def test_a_score_without_a_value_is_null_and_a_single_seed_has_no_deviation() -> None:
    one_label = table(seeds=(1,)).filter([True, True, False])
    evaluations = pooled_evaluations(one_label, num_labels=2, is_multi_label=False)
    scores = json.loads(scores_json(evaluations))["scores"]
    assert "macro_auc" not in mean_scores(evaluations)
    assert (scores["macro_auc"]["mean"], scores["macro_auc"]["by_seed"]) == (None, {"1": None})
    assert (scores["accuracy"]["mean"], scores["accuracy"]["deviation"]) == (1.0, None)


@pytest.mark.parametrize(("group", "expected"), [("anna", {"anna"}), (None, {"clip0", "clip1", "clip2"})])
def test_groups_are_those_that_were_recorded_or_each_clip_by_itself(group: str | None, expected: set[str]) -> None:
    for evaluation in pooled_evaluations(table(group=group), num_labels=2, is_multi_label=False).values():
        assert set(evaluation.groups) == expected
