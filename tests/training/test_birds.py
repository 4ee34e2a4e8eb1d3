"""S2 as a whole on the synthetic birds: recordings of several species in, macro ROC-AUC on held-out recordings out."""

from pathlib import Path

import pytest

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from pipelines.feature_spec import FeatureSpec
from pipelines.shards.plan import plan_shards
from pipelines.shards.worker import ShardWorker
from pipelines.sources import read_manifest
from pipelines.sources.synthetic_birds import write_synthetic_birds
from pipelines.splits import draw_split
from storage.checkpoints import Checkpoints
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.split import Split
from sweeps import ExperimentPlan
from training import TrialConfig, TrialData, load_trial_data, run_trial
from training.progress import EpochMetrics

# Other than in the preset are the sizes: 64 of the 128 bands, a network of 0.07 M parameters that begins with random
# weights, and 40 epochs of 192 recordings for 20 of 28,000. So small a network takes a higher rate, less disturbance.
# Flips in time are left out: they make one of these species of another, as songs differ in whether they rise or fall.
OVERRIDES = (
    "train.architecture=cnn",
    "train.trial.model.width=16",
    "train.trial.weights=",
    "train.trial.input.height=64",
    "train.trial.input.width=313",
    "train.epochs=40",
    "train.trial.batch_size=8",
    "train.trial.optimizer.accumulate=2",  # 2 × 8 recordings a step, as 4 × 4
    "train.trial.optimizer.learning_rate=0.004",
    "train.trial.loop.swa_learning_rate=0.002",
    "train.trial.loop.swa_epochs=15",  # with five, early stopping ended it before: 0.88 on validation, 0.90 like this
    "train.trial.augment.flip_probability=0",
    "train.trial.augment.inaugment_probability=0.3",
    "train.trial.augment.mix_probability=0.3",
)


def _s2(split: Split) -> TrialConfig:
    settings = parse_settings(JobSettings, ["preset=s2", *OVERRIDES])
    plan = ExperimentPlan(
        settings=settings.train,
        dataset=split.dataset,
        fingerprint=settings.features.fingerprint,
        split_hashes={1: split.split_hash},
        device="cpu",
    )
    return plan.trial_config(1)


def _features(birds: Path, store: ObjectStore, spec: FeatureSpec) -> tuple[TrialData, Split]:
    manifest = read_manifest("birdclef", root=str(birds), name="birds")
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=spec.fingerprint)
    worker = ShardWorker(spec, features, backend="cpu")
    shards = [worker.compute(request) for request in plan_shards(manifest, spec, shard_bytes=2**26, clips_per_shard=0)]
    assert not any(shard.num_quarantined for shard in shards)
    features.commit(shards, spec={}, versions={})
    split = draw_split(manifest, parse_settings(JobSettings, ["preset=s2"]).split)
    return load_trial_data(features.load(), split), split


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_recipe_of_s2_tells_species_apart_in_recordings_it_has_not_heard(tmp_path: Path) -> None:
    birds = write_synthetic_birds(tmp_path / "birds", num_recordings_per_species=40)
    store, spec = open_store(str(tmp_path / "store")), parse_settings(JobSettings, ["preset=s2"]).features
    data, split = _features(birds, store, spec)
    assert data.is_multi_label
    recordings = {part: set(of_part.groups) for part, of_part in data.parts.items()}
    assert [len(recordings[part]) for part in ("train", "validation", "test")] == [192, 64, 64]
    assert not recordings["test"] & (recordings["train"] | recordings["validation"])

    scores: list[float] = []

    def report(*, seed: int, seed_epoch: int, objective: float, metrics: EpochMetrics) -> None:
        scores.append(metrics.validation_score)

    (result,) = run_trial(_s2(split), data, report, Checkpoints(store, "birds")).seeds
    auc = result.test.scores["macro_auc"]
    validation = result.validation.scores["macro_auc"]
    print(f"macro ROC-AUC {validation:.3f} on validation, {auc:.3f} on test, best epoch {result.best_epoch}")
    print(f"{result.epochs_trained} epochs, {result.train_seconds:.0f} s, {result.events}")
    assert auc is not None
    assert 0.85 <= auc < 0.99  # neither out of reach nor trivial; 0.92 on 2026-11-21, validation 0.90
    assert not any("no average" in event for event in result.events)
    assert scores[0] < 0.75  # it has learnt
