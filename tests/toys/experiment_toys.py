"""An experiment small enough for many a minute; tests import this by the name `experiment_toys`."""

from typing import Any

import numpy as np
from sweep_toys import SWEEP_ROW

from storage.features import Features
from storage.object_store import ObjectStore
from storage.results_table import ResultsTable
from storage.split import Part, Split
from sweeps import ExperimentPlan, ExperimentSettings, run_experiment
from sweeps.news import News
from sweeps.run_experiment import ExperimentOutcome

FOLDER = "experiments/0001"
NUM_CLIPS, NUM_FOLDS = 40, 2


def toy_features() -> Features:
    rng = np.random.default_rng(11)
    log_mel = rng.normal(-60, 12, (NUM_CLIPS, 16, 20))
    log_mel[1::2, :6] += 9
    clip_ids = tuple(f"clip{row:02d}" for row in range(NUM_CLIPS))
    return Features(
        log_mel=log_mel.astype(np.float16),
        clip_ids=clip_ids,
        groups=clip_ids,
        variants=("original",) * NUM_CLIPS,
        windows=(0,) * NUM_CLIPS,
        labels=tuple((("alarm", "bell")[row % 2],) for row in range(NUM_CLIPS)),
    )


def toy_splits(features: Features) -> dict[int, Split]:
    def part(row: int, fold: int) -> Part:
        if row // 2 % NUM_FOLDS == fold - 1:
            return "test"
        return "validation" if row // 4 % 4 == 0 else "train"

    groups = dict(zip(features.clip_ids, features.clip_ids, strict=True))
    return {
        fold: Split(
            dataset="toy-0",
            policy=f"fold {fold}",
            parts={clip_id: part(row, fold) for row, clip_id in enumerate(features.clip_ids)},
            groups=groups,
        )
        for fold in range(1, NUM_FOLDS + 1)
    }


def make_plan(**settings: Any) -> ExperimentPlan:
    values = {
        "name": "toy",
        "seeds": (1, 2),
        "epochs": 2,
        "trial": {"model.width": 4, "batch_size": 8},
        "max_concurrent_trials": 1,
        **settings,
    }
    splits = toy_splits(toy_features())
    return ExperimentPlan(
        settings=ExperimentSettings(**values),
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hashes={fold: split.split_hash for fold, split in splits.items()},
        device="cpu",
    )


def run(plan: ExperimentPlan, store: ObjectStore, heard: list[News] | None = None) -> ExperimentOutcome:
    return run_experiment(
        plan,
        toy_features,
        toy_splits(toy_features()),
        store,
        folder=FOLDER,
        sweep_row={**SWEEP_ROW, "protocol": "honest"},
        on_news=lambda news: heard.append(news) if heard is not None else None,
    )


def table(store: ObjectStore, name: str, plan: ExperimentPlan | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        ResultsTable(store).read(name, sweep_id=(plan or make_plan()).experiment_id).to_pylist()
    )
    return rows
