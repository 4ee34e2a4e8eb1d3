"""The presets of the systems to run: their numbers do not change by accident, and each runs on its corpus."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from radioml_files import write_2018

from jobs import train
from jobs.command_line import parse_settings
from jobs.other_jobs import NOT_OF_SWEEP
from jobs.settings import SMOKE, JobSettings
from models import create_model
from pipelines.backends.mel_filters import kaldi_mel_filters, mel_filters
from pipelines.feature_spec import FeatureSpec
from pipelines.shards.plan import plan_shards
from pipelines.shards.worker import ShardWorker
from pipelines.sources import read_manifest
from storage.feature_store import FeatureStore
from storage.object_store import open_store
from sweeps import ExperimentPlan, SweepPlan

# fingerprint, shape of a feature
PINNED = {
    "s1": ("79289e3343f8dc8e", (128, 216)),
    "s2": ("f94604410bfecf4a", (128, 313)),
    "s3": ("feb01df23b576291", (128, 1024)),
    "s4_esc50": ("f895e11356d7e334", (224, 224)),
    "s4_radioml": ("eddf131e7f04d2ae", (224, 224)),
    "s5_esc50": ("d73fd08fc89be1cd", (64, 108)),
    "s5_emodb": ("df318753f85f0745", (64, 107)),
}


def _esc50(root: Path) -> None:
    (root / "meta").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for take, duration_s in (("A", 5.0), ("B", 3.0)):
        rows.append(f"1-100-{take}-0.wav,1,0,dog,True,100,{take}")
        _write(root / "audio" / f"1-100-{take}-0.wav", duration_s, 44_100)
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")


def _birdclef(root: Path) -> None:
    rows = ["primary_label,secondary_labels,filename"]
    for name, duration_s in (("XC1", 8.0), ("XC2", 2.0)):
        rows.append(f'"robin","[\'wren\']",robin/{name}.ogg')
        _write(root / "train_audio" / "robin" / f"{name}.ogg", duration_s, 32_000)
    (root / "train.csv").write_text("\n".join(rows) + "\n")


def _genres(root: Path) -> None:
    for name, duration_s in (("long", 45.0), ("medium", 21.0), ("short", 6.0)):
        _write(root / "WAV" / "techno" / "dub" / f"{name}.wav", duration_s, 16_000)


def _emodb(root: Path) -> None:
    for name, duration_s in (("03a01Fa", 2.0), ("08b02Wb", 1.5)):
        _write(root / "wav" / f"{name}.wav", duration_s, 16_000)


def _radioml(root: Path) -> None:
    write_2018(root / "GOLD_XYZ_OSC.0001_1024.hdf5", num_rows=5)


# A tiny corpus of each preset's kind, and the number of rows that it gives.
CORPORA: dict[str, tuple[Callable[[Path], None], int]] = {
    "s1": (_esc50, 2),
    "s2": (_birdclef, 3 + 1),  # windows at 0, 2.5 and 5 s of 8 s
    "s3": (_genres, 3 + 2 + 1),
    "s4_esc50": (_esc50, 2),
    "s4_radioml": (_radioml, 5),
    "s5_esc50": (_esc50, 2 * 4),
    "s5_emodb": (_emodb, 2 * 6),
}


@pytest.mark.parametrize("preset", PINNED)
def test_a_preset_is_what_it_was(preset: str) -> None:
    # Stored features are found by it. If this fails, change the preset's name, or say in the changelog what changed.
    spec = _settings(preset).features
    assert (spec.fingerprint, spec.feature_shape) == PINNED[preset]


# One of each kind: the others are the same way with other recordings.
_OFTEN_TESTED = {"s2", "s4_radioml"}


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=() if name in _OFTEN_TESTED else pytest.mark.slow) for name in PINNED]
)
def test_a_preset_runs_from_files_to_rows(preset: str, tmp_path: Path) -> None:
    make_corpus, num_rows = CORPORA[preset]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    make_corpus(corpus)
    settings = _settings(preset)
    data, spec = settings.data, settings.features
    manifest = read_manifest(data.source, root=str(corpus), name="corpus", label_level=data.label_level)
    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="corpus", fingerprint=spec.fingerprint)
    (request,) = plan_shards(manifest, spec, shard_bytes=0, clips_per_shard=40)
    shard = ShardWorker(spec, features, backend="cpu").compute(request)
    features.commit([shard], spec={}, versions={})
    assert (shard.num_rows, shard.num_reasons) == (num_rows, 0)
    loaded = features.load()
    assert loaded.log_mel.shape == (num_rows, *spec.feature_shape)
    assert loaded.log_mel.dtype == spec.dtype
    assert np.isfinite(loaded.log_mel).all()
    assert len({row.tobytes() for row in loaded.log_mel}) == num_rows
    assert set(loaded.variants) == set(spec.variants)


def test_every_feature_preset_is_pinned_and_run() -> None:
    folder = Path(__file__).parents[2] / "search_spaces" / "presets"
    found = {path.stem for path in folder.glob("s[0-9]*.yaml") if "\nfeatures:" in path.read_text()}
    assert found == PINNED.keys() == CORPORA.keys()


@pytest.mark.parametrize("preset", [name for name in PINNED if name != "s4_radioml"])
def test_no_mel_band_is_empty(preset: str) -> None:
    spec = _settings(preset).features
    filters = kaldi_mel_filters(spec) if spec.representation == "kaldi_fbank" else mel_filters(spec)
    num_empty = int((filters.sum(axis=1) == 0).sum())
    # One of Kaldi's 128 bands lies between two of its 257 bins, in AST's own features too.
    assert num_empty == (0 if spec.representation == "log_mel" else 1)


def _settings(*presets: str) -> JobSettings:
    return parse_settings(JobSettings, [f"preset={preset}" for preset in presets])


# What SYSTEMS.md's recipes say, name by name; the search may vary it, the preset may not.
_S5 = {"optimizer.kind": "adamw", "optimizer.weight_decay": 1e-2, "loop.early_stopping_patience": 10}
RECIPES: dict[tuple[str, ...], dict[str, object]] = {
    ("s1",): {
        "architecture": "timm/resnet50.tv_in1k",
        "freeze": "backbone",
        "batch_size": 16,
        "epochs": 15,
        "input.scaling": "unit",
        "input.channels": 3,
        "input.height": 224,
        "input.width": 224,
        "optimizer.kind": "adam",
        "optimizer.learning_rate": 0.01,
        "optimizer.weight_decay": 1e-2,
        "schedule.kind": "plateau",
        "schedule.plateau_factor": 0.5,
        "schedule.plateau_patience": 3,
        "loss.kind": "cross_entropy",
    },
    ("s2",): {
        "epochs": 20,
        "model": {"pooling": "avgmax"},
        "input.channels": 1,
        "input.train_windows": "random",
        "loss.kind": "bce",
        "optimizer.kind": "adamw",
        "schedule.kind": "cosine",
        "schedule.warmup_epochs": 1,
        "augment.mix": "resizemix",
        "augment.frequency_masks": 2,
        "augment.time_masks": 2,
        "loop.select_by": "kl",
        "loop.early_stopping_patience": 4,
    },
    ("s5_esc50",): {**_S5, "architecture": "resnet50", "batch_size": 64, "epochs": 30, "optimizer.learning_rate": 5e-4},
    ("s5_emodb",): {**_S5, "architecture": "resnet50", "batch_size": 64, "epochs": 30, "optimizer.learning_rate": 5e-4},
    ("s5_esc50", "s5_cnn"): {
        **_S5,
        "architecture": "cnn",
        "batch_size": 32,
        "epochs": 20,
        "optimizer.learning_rate": 5e-4,
    },
    ("s5_esc50", "s5_alexnet"): {
        **_S5,
        "architecture": "alexnet",
        "batch_size": 64,
        "epochs": 20,
        "optimizer.learning_rate": 2.5e-4,
    },
}


# What a recipe names without saying how much of it: anything above 0.
SWITCHED_ON: dict[tuple[str, ...], tuple[str, ...]] = {
    ("s2",): (
        "augment.inaugment_probability",
        "augment.mask_probability",
        "augment.time_mask_frames",
        "augment.frequency_mask_bands",
        "augment.mix_alpha",
        "augment.mix_probability",
        "augment.flip_probability",
        "augment.shift_probability",
        "augment.shift_frames",
        "augment.shift_bands",
        "loop.swa_epochs",
        "loop.swa_learning_rate",
    )
}


@pytest.mark.parametrize("presets", RECIPES, ids="+".join)
def test_a_training_preset_has_the_values_of_its_recipe_and_a_model_that_takes_its_features(
    presets: tuple[str, ...],
) -> None:
    settings = _settings(*presets)
    plan = _plan(settings)
    plan.check(feature_shape=settings.features.feature_shape)
    config = plan.trial_config(5)
    for name, value in RECIPES[presets].items():
        assert attrgetter(name)(config) == value, name
    for name in SWITCHED_ON.get(presets, ()):
        assert attrgetter(name)(config) > 0, name
    assert settings.folds.protocol == "literature"  # all of them chose epochs on the fold that they report


def test_a_step_of_s2_takes_16_recordings_and_its_folds_are_five_of_the_primary_label() -> None:
    settings = _settings("s2")
    config = _plan(settings).trial_config(5)
    assert config.batch_size * config.optimizer.accumulate == 16
    assert (settings.folds.policy, settings.folds.num_folds, settings.folds.test_folds) == ("grouped", 5, ())


@pytest.mark.parametrize("presets", RECIPES, ids="+".join)
def test_smoke_makes_a_training_preset_short_and_leaves_it_possible(presets: tuple[str, ...]) -> None:
    words = [*(f"preset={preset}" for preset in presets), "--smoke"]
    settings = parse_settings(JobSettings, words, smoke=train.SMOKE)
    plan = _plan(settings)
    plan.check(feature_shape=settings.features.feature_shape)
    assert plan.trial_config(5).epochs == 2
    assert (plan.trial_config(5).loop.swa_epochs > 0) == (
        _plan(_settings(*presets)).trial_config(5).loop.swa_epochs > 0
    )


@pytest.mark.parametrize(
    ("preset", "architecture"), [("embedded", "cnn"), ("esc50", "cnn"), ("s1", "timm/resnet50.tv_in1k")]
)
def test_smoke_leaves_a_search_the_first_of_its_own_architectures(preset: str, architecture: str) -> None:
    settings = parse_settings(JobSettings, [f"preset={preset}", "--smoke"], smoke=SMOKE, not_used=NOT_OF_SWEEP)
    assert (settings.sweep.architectures, settings.sweep.epochs) == ((architecture,), 3)
    plan = SweepPlan(
        settings=settings.sweep,
        dataset="corpus-0",
        fingerprint=settings.features.fingerprint,
        split_hash="0" * 16,
        device="cpu",
    )
    plan.check(feature_shape=settings.features.feature_shape)
    words = [f"preset={preset}", "--smoke", "sweep.architectures=[cnn,alexnet]"]
    said = parse_settings(JobSettings, words, smoke=SMOKE).sweep
    assert said.architectures == ("cnn", "alexnet")


def _plan(settings: JobSettings) -> ExperimentPlan:
    return ExperimentPlan(
        settings=settings.train,
        dataset="corpus-0",
        fingerprint=settings.features.fingerprint,
        split_hashes={5: "0" * 16},
        device="cpu",
    )


def test_s1_ends_in_the_head_of_its_recipe() -> None:
    config = _plan(_settings("s1")).trial_config(5)
    model = create_model(config.architecture, num_classes=50, in_channels=3, seed=0, options=config.model)
    told = [str(layer) for layer in model.head.children()]
    assert told == [
        "Dropout(p=0.5, inplace=False)",
        "Linear(in_features=2048, out_features=512, bias=True)",
        "ReLU(inplace=True)",
        "Dropout(p=0.3, inplace=False)",
        "Linear(in_features=512, out_features=50, bias=True)",
    ]


def _write(path: Path, duration_s: float, rate_hz: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(len(path.name) + round(10 * duration_s))
    soundfile.write(path, generator.uniform(-0.5, 0.5, round(duration_s * rate_hz)), rate_hz)


def test_two_clips_of_one_preset_have_windows_of_their_own() -> None:
    spec: FeatureSpec = _settings("s3").features
    assert spec.window_starts(60 * 16_000, "a") != spec.window_starts(60 * 16_000, "b")
