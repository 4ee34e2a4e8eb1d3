"""Labels that the clips of one fold alone have: the fold is refused, or trained without them, as the recipe says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_toys import SWEEP_ROW

from storage.errors import InvalidInput
from storage.features import Features
from storage.object_store import open_store
from storage.out_of_fold import out_of_fold
from storage.results_table import ResultsTable
from storage.split import Part, Split
from sweeps import ExperimentPlan, ExperimentSettings, run_experiment
from sweeps.pooled_scores import mean_scores, pooled_evaluations
from training import load_trial_data

FOLDER = "experiments/0001"
LABELS = ["alarm", "bell", "crow", "dove"]
CLIPS = tuple(f"clip{row:02d}" for row in range(24))


def features() -> Features:
    """Clip 0 has a secondary label and clip 2 a primary one that no other clip has."""
    labels = [("alarm", "bell")[row % 2 : row % 2 + 1] for row in range(len(CLIPS))]
    labels[0], labels[2] = ("alarm", "crow"), ("dove",)
    return Features(
        log_mel=np.random.default_rng(11).normal(-60, 12, (len(CLIPS), 16, 20)).astype(np.float16),
        clip_ids=CLIPS,
        groups=CLIPS,
        variants=("original",) * len(CLIPS),
        windows=(0,) * len(CLIPS),
        labels=tuple(labels),
    )


def splits() -> dict[int, Split]:
    """Two folds of pairs, of which clips 0 to 3 are tested on in the first; every sixth pair validates."""

    def part(row: int, fold: int) -> Part:
        if (row // 4 % 2 == 0) == (fold == 1):
            return "test"
        return "validation" if row // 2 % 6 in (2, 4) else "train"

    return {
        fold: Split(
            dataset="toy-0",
            policy=f"fold {fold}",
            parts={clip_id: part(row, fold) for row, clip_id in enumerate(CLIPS)},
            groups=dict(zip(CLIPS, CLIPS, strict=True)),
        )
        for fold in (1, 2)
    }


def make_plan(**trial: Any) -> ExperimentPlan:
    values = {"model.width": 4, "batch_size": 8, "loss.kind": "bce", **trial}
    return ExperimentPlan(
        settings=ExperimentSettings(name="toy", seeds=(1,), epochs=1, trial=values, max_concurrent_trials=1),
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hashes={fold: split.split_hash for fold, split in splits().items()},
        device="cpu",
    )


@pytest.mark.usefixtures("ray_local")
def test_all_folds_are_trained_with_the_same_labels_and_what_was_dropped_is_told(tmp_path: Path) -> None:
    plan, store = make_plan(**{"loss.unseen_labels": "drop"}), open_store(str(tmp_path))
    row = {**SWEEP_ROW, "labels": LABELS, "protocol": "honest"}
    outcome = run_experiment(plan, features, splits(), store, folder=FOLDER, sweep_row=row)
    assert outcome.failed == {}
    table = out_of_fold(store, plan.experiment_id, plan.fold_trials(), folder=FOLDER)
    rows = {found["clip_id"]: found for found in table.to_pylist()}
    assert {len(found["probabilities"]) for found in rows.values()} == {len(LABELS)}
    assert rows.keys() == set(CLIPS) - {"clip02"}
    assert rows["clip00"]["labels"] == [0]
    events = [seed["events"] for seed in ResultsTable(store).read("seeds").to_pylist()]
    assert sum("have no other label: 1 of test" in " ".join(of_seed) for of_seed in events) == 1
    assert mean_scores(pooled_evaluations(table, num_labels=len(LABELS), is_multi_label=True))["kl"][0] > 0


def test_without_the_setting_the_fold_is_refused_with_its_name() -> None:
    split = splits()[1]
    with pytest.raises(InvalidInput, match=r"trial\.loss\.unseen_labels=drop"):
        load_trial_data(features(), split)
