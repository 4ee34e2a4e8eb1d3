"""A small learnable data set for trials: log-mels whose labels are bright bands."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from storage.feature_store import Features
from storage.object_store import ObjectStore, open_store
from storage.split import Part, Split
from training import TrialConfig, TrialData, load_trial_data
from training.recipe import AugmentConfig, LoopConfig, OptimizerConfig

LABELS = ("alarm", "bell", "crow")
_PARTS: tuple[Part, ...] = ("train", "train", "train", "validation", "test")


def make_features(num_clips: int = 60, *, num_mels: int = 16, num_frames: int = 20, noise_db: float = 12.0) -> Features:
    rng = np.random.default_rng(5)
    log_mel = rng.normal(-60, noise_db, (num_clips, num_mels, num_frames))
    for row in range(num_clips):
        band = 4 * (row % 3)
        log_mel[row, band : band + 4] += 15
    return Features(
        log_mel=log_mel.astype(np.float16),
        clip_ids=tuple(f"clip{row:03d}" for row in range(num_clips)),
        groups=tuple(f"recording{row // 3}" for row in range(num_clips)),
        variants=("original",) * num_clips,
        windows=(0,) * num_clips,
        labels=tuple((LABELS[row % 3],) for row in range(num_clips)),
    )


def make_split(features: Features) -> Split:
    groups = dict(zip(features.clip_ids, features.groups, strict=True))
    parts = {clip_id: _PARTS[int(group.removeprefix("recording")) % 5] for clip_id, group in groups.items()}
    return Split(dataset="toy", policy="every fifth", parts=parts, groups=groups)


@pytest.fixture(scope="session")
def trial_data() -> TrialData:
    features = make_features()
    return load_trial_data(features, make_split(features))


@pytest.fixture(scope="session")
def windowed_trial_data() -> TrialData:
    """Every clip in three windows, of the same recordings and labels."""
    features, rng = make_features(), np.random.default_rng(6)
    rows = [row for row in range(len(features.clip_ids)) for _ in range(3)]
    log_mel = features.log_mel[rows] + rng.normal(0, 5, (len(rows), *features.log_mel.shape[1:]))
    windowed = dataclasses.replace(
        features,
        log_mel=log_mel.astype(np.float16),
        clip_ids=tuple(features.clip_ids[row] for row in rows),
        groups=tuple(features.groups[row] for row in rows),
        variants=("original",) * len(rows),
        windows=(0, 1, 2) * len(features.clip_ids),
        labels=tuple(features.labels[row] for row in rows),
    )
    return load_trial_data(windowed, make_split(windowed))


@pytest.fixture(scope="session")
def large_trial_data() -> TrialData:
    """Of a size that AlexNet takes; the train part has 14 clips."""
    features = make_features(20, num_mels=64, num_frames=64)
    return load_trial_data(features, make_split(features))


@pytest.fixture
def trial_config() -> TrialConfig:
    return TrialConfig(
        architecture="cnn",
        dataset="toy",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        model={"width": 4},
        seeds=(1, 2),
        epochs=4,
        batch_size=8,
        optimizer=OptimizerConfig(learning_rate=3e-3),
        augment=AugmentConfig(mix_alpha=0.2, time_mask_frames=4, frequency_mask_bands=3, roll=True),
        loop=LoopConfig(precision="fp32"),
    )


@pytest.fixture
def disk(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))
