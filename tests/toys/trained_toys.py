"""A corpus of six labels, models trained on it, and what their trials said; tests import it as `trained_toys`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.few_clips import features_of_few
from pipelines.sources import read_manifest
from pipelines.splits import SplitSettings, draw_split
from storage.checkpoints import Checkpoints
from storage.model_file import model_key, save_model
from storage.object_store import ObjectStore, open_store
from training import SeedResult, TrialConfig, TrialData, load_trial_data, run_trial
from training.model_card import model_card
from training.recipe import LossConfig, OptimizerConfig

RATE_HZ = 8000
LABELS = ("buzz", "chirp", "hiss", "low", "mid", "top")
SPEC = FeatureSpec(
    sample_rate_hz=RATE_HZ,
    window_s=0.5,
    window_hop_s=0.25,
    n_fft=512,
    hop_samples=200,
    num_mels=24,
    min_duration_s=0.05,
)


@dataclass(frozen=True)
class Trained:
    """A store with models, the tree they were trained on, and the results by key."""

    store: ObjectStore
    recordings: Path
    results: dict[str, SeedResult]

    @property
    def key(self) -> str:
        """Of the model of one label."""
        return next(iter(self.results))

    @property
    def several(self) -> str:
        """Of the model of several labels."""
        return list(self.results)[1]

    def test_probabilities(self, key: str) -> dict[str, list[float]]:
        """What the trial said of its test part: path → probabilities."""
        test = self.results[key].test
        return dict(zip(test.clip_ids, test.probabilities.tolist(), strict=True))


def sound(label: str, number: int, duration_s: float) -> np.ndarray:
    rng = np.random.default_rng([LABELS.index(label), number])
    at_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    tones = {"low": 300.0, "mid": 1100.0, "top": 3000.0}
    if label in tones:
        clean = np.sin(2 * np.pi * tones[label] * at_s)
    elif label == "chirp":
        clean = np.sin(2 * np.pi * (400 + 1500 * at_s) * at_s)
    else:
        clean = rng.normal(0, 0.5, len(at_s)) if label == "hiss" else np.sign(np.sin(2 * np.pi * 90 * at_s))
    return 0.3 * clean + rng.normal(0, 0.1, len(at_s))


def train_models(folder: Path) -> Trained:
    """Writes the recordings and a store with two models into an empty folder."""
    for label in LABELS:
        (folder / "recordings" / label).mkdir(parents=True)
        for number in range(6):
            path = folder / "recordings" / label / f"{number}.wav"
            soundfile.write(path, sound(label, number, 0.6 + 0.2 * number), RATE_HZ)
    manifest = read_manifest("folder", root=str(folder / "recordings"), name="toy")
    features, _ = features_of_few(manifest, SPEC, PipelineSettings(backend="cpu", device="cpu"))
    split = draw_split(manifest, SplitSettings())
    data = load_trial_data(features, split)
    store = open_store(str(folder / "store"))
    results = {}
    for kind, of_kind in (("cross_entropy", data), ("bce", _with_several_labels(data))):
        config = TrialConfig(
            architecture="cnn",
            dataset=manifest.dataset,
            fingerprint=SPEC.fingerprint,
            split_hash=split.split_hash,
            model={"width": 4},
            seeds=(1,),
            epochs=6,
            batch_size=8,
            loss=LossConfig(kind=kind),  # type: ignore[arg-type]
            optimizer=OptimizerConfig(learning_rate=1e-2),
        )
        result = run_trial(config, of_kind, lambda **_: None, Checkpoints(store, f"checkpoints/{kind}")).seeds[0]
        key = model_key("toy", config.trial_id, 1)
        save_model(store, key, result.best_weights, model_card(config, result, of_kind, features=asdict(SPEC)))
        results[key] = result
    return Trained(store=store, recordings=folder / "recordings", results=results)


def _with_several_labels(data: TrialData) -> TrialData:
    """Whatever buzzes chirps, too."""
    parts = {part: replace(of_part, has_label=of_part.has_label.copy()) for part, of_part in data.parts.items()}
    for of_part in parts.values():
        of_part.has_label[:, 1] |= of_part.has_label[:, 0]
    return replace(data, parts=parts)
