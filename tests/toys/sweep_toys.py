"""A plan and trial data small enough for many sweeps a minute; tests import this by the name `sweep_toys`."""

import numpy as np

from storage.feature_store import Features
from storage.split import Part, Split
from sweeps import SweepPlan, SweepSettings
from training import TrialData, load_trial_data

SWEEP_ROW = {
    "dataset": "toy-0",
    "fingerprint": "f" * 16,
    "split_hash": "5" * 16,
    "split_policy": "every fifth",
    "labels": ["alarm", "bell"],
    "settings": "{}",
    "versions": "{}",
}


def make_data() -> TrialData:
    rng = np.random.default_rng(11)
    log_mel = rng.normal(-60, 12, (40, 16, 20))
    log_mel[1::2, :6] += 9
    clip_ids = tuple(f"clip{row:02d}" for row in range(40))
    cycle: tuple[Part, ...] = ("train", "train", "train", "validation", "test")
    parts = {clip_id: cycle[(row // 2) % 5] for row, clip_id in enumerate(clip_ids)}
    features = Features(
        log_mel=log_mel.astype(np.float16),
        clip_ids=clip_ids,
        groups=clip_ids,
        variants=("original",) * 40,
        windows=(0,) * 40,
        labels=tuple((("alarm", "bell")[row % 2],) for row in range(40)),
    )
    split = Split(dataset="toy-0", policy="pairs", parts=parts, groups=dict(zip(clip_ids, clip_ids, strict=True)))
    return load_trial_data(features, split)


def make_plan(**settings: object) -> SweepPlan:
    values: dict[str, object] = {
        "name": "toy",
        "architectures": ("cnn",),
        "num_trials": 4,
        "seeds": (1, 2),
        "epochs": 3,
        "grace_epochs": 1,
        "max_concurrent_trials": 1,
        "trial": {"model.width": 4},
        **settings,
    }
    return SweepPlan(
        settings=SweepSettings(**values),  # type: ignore[arg-type]
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        device="cpu",
    )
