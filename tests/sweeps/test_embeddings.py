"""Embeddings of whole feature stores by Ray Data: counts close, what is missing alone is computed, sweeps use them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from feature_toys import commit_rows, make_rows
from safetensors.torch import save_file
from sweep_toys import SWEEP_ROW, make_plan

from cluster.session import ClusterResources
from cluster.versions import VersionsDiffer, installed
from models import create_model
from storage.checkpoints import Checkpoints
from storage.errors import InvalidInput, StorageError
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.results_table import ResultsTable
from storage.split import Part, Split
from sweeps import ExperimentPlan, ExperimentSettings, SweepPlan, run_experiment, run_sweep
from sweeps.embeddings import Embedder, embed, embed_folds, embed_for_plan, place
from training import TrialConfig, TrialData, load_trial_data, run_trial
from training.embeddings import embedding_spec

pytestmark = pytest.mark.usefixtures("ray_local")

_CYCLE: tuple[Part, ...] = ("train", "train", "train", "validation", "test")
_ROWS_PER_PART, _NUM_PARTS = 20, 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a small network of timm, made here."""
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    save_file(create_model("timm/resnet10t", num_classes=3, seed=3).state_dict(), path)
    return str(path)


def make_store(store: ObjectStore) -> tuple[FeatureStore, Split, TrialData]:
    """Thirty clips of two variants in three parts; louder bands tell the labels apart."""
    rng = np.random.default_rng(4)
    tables = []
    for part in range(_NUM_PARTS):
        log_mel = rng.normal(-60, 6, (_ROWS_PER_PART, 32, 32)).astype(np.float16)
        for row in range(_ROWS_PER_PART):
            log_mel[row, 8 * ((part * 10 + row // 2) % 3) :][:8] += 20
        tables.append(make_rows(log_mel, first=part * 10, variants=("original", "noise")))
    features = FeatureStore(store, dataset="toy-0", fingerprint="f" * 16)
    commit_rows(features, [_with_one_label(table) for table in tables])
    loaded = features.load()
    groups = dict(zip(loaded.clip_ids, loaded.groups, strict=True))
    parts = {clip_id: _CYCLE[int(group.removeprefix("g")) % 5] for clip_id, group in groups.items()}
    split = Split(dataset="toy-0", policy="groups", parts=parts, groups=groups)
    return features, split, load_trial_data(loaded, split)


def _with_one_label(table: Any) -> Any:
    column = table.schema.get_field_index("labels")
    return table.set_column(
        column, table.schema.field(column), [[labels[:1] for labels in table["labels"].to_pylist()]]
    )


def make_config(weights: str) -> TrialConfig:
    return TrialConfig(
        architecture="timm/resnet10t",
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hash="5" * 16,
        weights=weights,
        freeze="backbone",
    )


def embedding_objects(store: ObjectStore) -> dict[str, bytes]:
    return {info.key.rpartition("/")[2]: store.get(info.key) for info in store.list("embeddings/")}


def key_of_part(store: ObjectStore, index: int) -> str:
    return next(info.key for info in store.list("embeddings/") if f"part-{index:05d}" in info.key)


class Made:
    """A local store with features and their embeddings, made once; tests change a copy."""

    def __init__(self, folder: Path, weights: str) -> None:
        self._folder, self.config = folder, make_config(weights)
        self.heard: list[tuple[int, int]] = []
        features, self.split, self.data = make_store(open_store(str(folder)))
        self.embedded = embed(
            self.config, self.data, features, self.split, on_progress=lambda *counts: self.heard.append(counts)
        )

    def copy_to(self, folder: Path) -> ObjectStore:
        shutil.copytree(self._folder, folder / "store")
        return open_store(str(folder / "store"))

    def embed(self, store: ObjectStore, on_progress: Any = lambda done, total: None) -> TrialData:
        features = FeatureStore(store, dataset="toy-0", fingerprint="f" * 16)
        return embed(self.config, self.data, features, self.split, on_progress=on_progress)


@pytest.fixture(scope="module")
def made(ray_local: None, weights: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"), weights)


def test_every_row_gets_the_embedding_that_its_own_backbone_gives(made: Made) -> None:
    model = create_model("timm/resnet10t", num_classes=3, seed=3).eval()
    for name, part in made.embedded.parts.items():
        data = made.data
        inputs = torch.from_numpy(data.parts[name].log_mel).float().sub(data.mean_db).div(data.deviation_db)
        with torch.no_grad():
            expected = model.embed(inputs[:, None]).numpy()
        np.testing.assert_allclose(part.log_mel, expected, rtol=1e-4, atol=1e-5)
        assert part.clip_ids == data.parts[name].clip_ids


def test_rows_are_counted_while_they_are_embedded_and_a_rerun_does_nothing(made: Made, tmp_path: Path) -> None:
    assert made.heard == [(0, 60), (20, 60), (40, 60), (60, 60)]
    store, again = made.copy_to(tmp_path), list[int]()
    before = embedding_objects(store)
    names = sorted(name.rpartition("-")[0] or name for name in before)
    assert names == ["_MANIFEST.json", *(f"part-0000{n}-000{n}" for n in range(_NUM_PARTS))]
    marker = json.loads(before["_MANIFEST.json"])
    assert (marker["num_rows"], marker["embedding_size"]) == (60, 512)
    found = made.embed(store, lambda done, total: again.append(done))
    assert again == []
    assert embedding_objects(store) == before
    assert np.array_equal(found.parts["train"].log_mel, made.embedded.parts["train"].log_mel)


@pytest.mark.slow
def test_embeddings_on_s3_are_those_on_a_disk(made: Made, s3_uri: str) -> None:
    store = open_store(s3_uri)
    make_store(store)
    found = made.embed(store)
    assert len(embedding_objects(store)) == _NUM_PARTS + 1
    for name, part in made.embedded.parts.items():
        np.testing.assert_allclose(found.parts[name].log_mel, part.log_mel, rtol=1e-5, atol=1e-6)


class Interrupted(Exception):
    """Stands for a driver that ends in the middle."""


@pytest.mark.slow
def test_what_an_interrupted_run_left_is_not_computed_again(made: Made, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    make_store(store)

    def end_after_one(done: int, total: int) -> None:
        if done >= _ROWS_PER_PART:
            raise Interrupted

    with pytest.raises(Interrupted):
        made.embed(store, end_after_one)
    left = {info.key: info.modified_at for info in store.list("embeddings/")}
    assert not any(key.endswith("_MANIFEST.json") for key in left)
    assert left
    store.delete(max(left))  # or Ray may have had all parts in hand already
    del left[max(left)]
    heard: list[int] = []
    made.embed(store, lambda done, total: heard.append(done))
    assert heard == list(range(len(left) * _ROWS_PER_PART, 61, _ROWS_PER_PART))
    now = {info.key: info.modified_at for info in store.list("embeddings/")}
    assert left.items() <= now.items()
    assert len(now) == _NUM_PARTS + 1


@pytest.mark.slow
def test_a_damaged_part_is_named_and_once_deleted_made_again(made: Made, tmp_path: Path) -> None:
    store = made.copy_to(tmp_path)
    key = key_of_part(store, 1)
    whole = store.get(key)
    middle = len(whole) // 2
    store.put(key, whole[:middle] + b"damage" + whole[middle + 6 :])
    with pytest.raises(StorageError, match=r"part-00001-0001-\w{12}\.parquet' is damaged .* Delete it"):
        made.embed(store)
    store.delete(key)
    heard: list[int] = []
    found = made.embed(store, lambda done, total: heard.append(done))
    assert heard == [40, 60]
    np.testing.assert_allclose(found.parts["train"].log_mel, made.embedded.parts["train"].log_mel, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_damaged_part_of_the_features_is_named(made: Made, tmp_path: Path) -> None:
    store = made.copy_to(tmp_path)
    store.delete(key_of_part(store, 2))
    store.put(f"features/toy-0/{'f' * 16}/part-00002-0002.parquet", b"PAR1 and then nothing")
    with pytest.raises(StorageError, match=r"part-00002-0002\.parquet' is damaged"):
        made.embed(store)


@pytest.mark.slow
def test_a_sweep_over_a_frozen_backbone_trains_heads_and_has_the_numbers_of_one_on_log_mels(
    tmp_path: Path, weights: str
) -> None:
    store = open_store(str(tmp_path / "store"))
    features, split, data = make_store(store)
    plan = _frozen_plan(tmp_path)
    embedded = embed_for_plan(plan, data, features, split)
    assert len(embedded) == 1
    run_sweep(plan, data, store, sweep_row=SWEEP_ROW, embedded=embedded)
    heads = ResultsTable(store).read("seeds", sweep_id=plan.sweep_id).to_pandas()
    config = plan.trial_config("cnn", {})
    checkpoints = Checkpoints(store, "whole")
    whole = run_trial(config, data, lambda **heard: None, checkpoints).seeds[0]
    assert [events[0].startswith("the head was trained on embeddings") for events in heads["events"]] == [True]
    assert not any("embeddings" in event for event in whole.events)
    assert heads["trial_id"].tolist() == [config.trial_id]
    assert heads["test_accuracy"].tolist() == [whole.test.accuracy]
    assert heads["validation_macro_f1"].tolist() == pytest.approx([whole.validation.scores["macro_f1"]])


def _frozen_plan(folder: Path) -> SweepPlan:
    path = folder / "cnn.safetensors"
    save_file(create_model("cnn", num_classes=3, seed=3, options={"width": 4}).state_dict(), path)
    off = {"augment.roll": False, "augment.mix_alpha": 0.0}
    off |= {"augment.time_mask_frames": 0, "augment.frequency_mask_bands": 0}
    trial = {"model.width": 4, "weights": str(path), "freeze": "backbone", **off}
    return make_plan(num_trials=1, seeds=(1,), epochs=2, trial=trial)


@pytest.mark.slow
def test_the_folds_of_an_experiment_share_embeddings_that_belong_to_no_split(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    features, split, _ = make_store(store)
    turned: dict[Part, Part] = {"train": "train", "validation": "test", "test": "validation"}
    other = replace(split, parts={clip_id: turned[part] for clip_id, part in split.parts.items()})
    splits = {1: split, 2: other}
    trial = {**_frozen_plan(tmp_path).settings.trial, "input.scaling": "unit"}
    plan = ExperimentPlan(
        settings=ExperimentSettings(name="toy", begin_with="plain", trial=trial, seeds=(1,), epochs=2),
        dataset="toy-0",
        fingerprint="f" * 16,
        split_hashes={fold: of_fold.split_hash for fold, of_fold in splits.items()},
        device="cpu",
    )
    loaded = features.load()
    embedded = embed_folds(plan, loaded, features, splits)
    assert len({data.embedding.embedding_id for data in embedded.values() if data.embedding}) == 1
    outcome = run_experiment(plan, features.load, splits, store, folder="e/1", sweep_row=SWEEP_ROW, embedded=embedded)
    assert (outcome.num_run, dict(outcome.failed)) == (2, {})
    seeds = ResultsTable(store).read("seeds", sweep_id=plan.experiment_id).to_pandas()
    assert [events[0].startswith("the head was trained on embeddings") for events in seeds["events"]] == [True, True]


def test_a_plan_whose_default_disturbs_its_inputs_gets_no_embeddings(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    features, split, data = make_store(store)
    plan = _frozen_plan(tmp_path)
    settings = replace(plan.settings, trial={**plan.settings.trial, "augment.roll": True})
    assert embed_for_plan(replace(plan, settings=settings), data, features, split) == ()
    assert not embedding_objects(store)


def test_a_configuration_that_trains_its_backbone_is_refused(tmp_path: Path, weights: str) -> None:
    features, split, data = make_store(open_store(str(tmp_path / "store")))
    with pytest.raises(InvalidInput, match="so the backbone changes"):
        embed(replace(make_config(weights), freeze="none"), data, features, split)


def _cluster(num_cpus: float, num_gpus: float = 0.0) -> ClusterResources:
    return ClusterResources(num_cpus=num_cpus, num_gpus=num_gpus, num_nodes=1, num_cpus_beside_gpus=num_cpus)


def test_actors_ask_for_less_than_the_machine() -> None:
    assert place("cpu", _cluster(1.0), num_parts=9).num_actors == 1
    assert place("cpu", _cluster(8.0), num_parts=9).num_actors == 8
    assert place("cpu", _cluster(8.0), num_parts=2).num_actors == 2
    shared = place("cuda", _cluster(8.0, 2.0), num_parts=9)
    assert (shared.num_actors, shared.num_gpus) == (4, 0.5)
    with pytest.raises(InvalidInput, match="no node of the Ray cluster has a GPU"):
        place("cuda", _cluster(8.0), num_parts=9)


class _LittleMemory(torch.nn.Module):
    """A backbone that takes three rows at once, as a GPU might."""

    embedding_size = 1

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 3:
            raise torch.OutOfMemoryError
        return x.mean(dim=(2, 3))


def test_rows_that_do_not_fit_at_once_are_embedded_in_smaller_batches(tmp_path: Path, weights: str) -> None:
    _, _, data = make_store(open_store(str(tmp_path / "store")))
    spec = embedding_spec(make_config(weights), replace(data, mean_db=0.0, deviation_db=1.0), "0" * 16)
    embedder = Embedder(_LittleMemory(), spec)  # type: ignore[arg-type]
    log_mel = torch.arange(7.0)[:, None, None].expand(7, 4, 4)
    assert embedder.embed(log_mel)[:, 0].tolist() == list(range(7))


def test_a_worker_with_other_packages_than_the_drivers_computes_nothing(weights: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    features, split, data = make_store(store)
    newer = {**installed(), "torch": "99.1"}
    with (
        mock.patch("cluster.versions.installed", return_value=newer),
        pytest.raises(VersionsDiffer, match=r"here 99\.1"),
    ):
        embed(make_config(weights), data, features, split)
    assert embedding_objects(store) == {}
