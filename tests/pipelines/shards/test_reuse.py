"""Appending: only new and changed clips are computed, and nobody can tell afterwards."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from corpus_toys import objects_of, part_key
from feature_toys import store_as_before

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import FeaturizeResult, PipelineSettings, featurize
from pipelines.files.content_marks import mark_contents
from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.shards.plan import plan_shards
from pipelines.shards.reuse import with_earlier_rows
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store

SPEC = FeatureSpec(window_s=0.5, windows="all", window_hop_s=0.25, variants=("original", "stretch(rate=1.4)"))
SETTINGS = PipelineSettings(clips_per_shard=3, num_actors=1, backend="cpu")

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    return open_store(request.getfixturevalue(f"{request.param}_uri"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    for number, name in enumerate("bdfhjl"):
        _write(tmp_path / "audio" / f"{name}.wav", number)
    (tmp_path / "audio" / "x.wav").write_text("no audio")
    return tmp_path / "audio"


def _write(path: Path, seed: int) -> None:
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 16_000), 22_050)


def _manifest(folder: Path, names: Sequence[str], *, name: str = "corpus", marked: bool = True) -> Manifest:
    clips = tuple(Clip(clip_id=clip, recording_id=clip, uri=f"{clip}.wav", labels=("noise",)) for clip in names)
    manifest = Manifest(name=name, root=str(folder), clips=clips)
    return mark_contents(manifest, Recordings(manifest.root)) if marked else manifest


def _featurize(manifest: Manifest, store: ObjectStore, spec: FeatureSpec = SPEC) -> FeaturizeResult:
    return featurize(manifest, spec, store, SETTINGS)


def test_new_clips_alone_are_computed_and_every_byte_is_that_of_a_run_from_nothing(
    folder: Path, store: ObjectStore, tmp_path: Path
) -> None:
    first = _featurize(_manifest(folder, "bdfhx"), store)
    before = objects_of(first.features)
    assert (first.num_clips_computed, first.num_clips_copied, first.num_quarantined) == (5, 0, 1)
    longer = _manifest(folder, "bdfhjlx")
    afresh = objects_of(_featurize(longer, open_store(str(tmp_path / "afresh"))).features)
    for name in "bdfh":
        (folder / f"{name}.wav").unlink()  # whoever looked at them again would quarantine them
    second = _featurize(longer, store)
    assert (second.num_clips_computed, second.num_clips_copied) == (3, 4)  # what was quarantined is tried again
    assert (second.num_clips, second.num_quarantined) == (7, 1)
    assert objects_of(second.features) == afresh
    assert objects_of(first.features) == before


@pytest.mark.slow
def test_removed_and_changed_clips_do_not_appear(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    old = _featurize(_manifest(folder, "bdfh"), store).features.load()
    _write(folder / "d.wav", 77)
    result = _featurize(_manifest(folder, "bdh"), store)
    new = result.features.load()
    assert (result.num_clips_computed, result.num_clips_copied) == (1, 2)
    assert set(new.clip_ids) == {"b", "d", "h"}
    for clip, same in (("b", True), ("h", True), ("d", False)):
        before, after = (features.log_mel[[name == clip for name in features.clip_ids]] for features in (old, new))
        assert np.array_equal(before, after) == same


def test_a_store_whose_quarantines_have_keys_without_their_reasons_is_completed_and_appended_to(
    folder: Path, tmp_path: Path
) -> None:
    store, manifest = open_store(str(tmp_path / "store")), _manifest(folder, "bdfhx")
    features = _featurize(manifest, store).features
    before = features.quarantine_hash()
    store_as_before(features)
    assert _featurize(manifest, store).num_clips_computed == 0
    store.delete(part_key(features, 0))
    again = _featurize(manifest, store)
    assert (again.num_clips_computed, again.num_quarantined) == (3, 1)
    assert [row["clip_id"] for row in features.quarantine().to_pylist()] == ["x"]
    assert features.quarantine_hash() == before
    second = _featurize(_manifest(folder, "bdfhjx"), store)
    assert (second.num_clips_copied, second.num_clips_computed, second.num_quarantined) == (4, 2, 1)


def _num_copied(manifest: Manifest, store: ObjectStore, spec: FeatureSpec = SPEC) -> int:
    """As `featurize` would plan it; nothing is computed."""
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=spec.fingerprint)
    requests = plan_shards(manifest, spec, shard_bytes=2**20, clips_per_shard=1)
    return sum(request.num_clips_copied for request in with_earlier_rows(requests, manifest, features))


def test_only_a_clip_that_is_the_same_in_everything_is_copied(folder: Path, tmp_path: Path) -> None:
    store, manifest = open_store(str(tmp_path / "store")), _manifest(folder, "bd")
    _featurize(manifest, store)
    assert _num_copied(_manifest(folder, "bdf"), store) == 2
    changes: list[dict[str, Any]] = [
        {"labels": ("other",)},
        {"fold": 2},
        {"offset_s": 0.1},
        {"columns": {"speaker": "s"}},
        {"content": "0" * 32},
        {"content": ""},
    ]
    for change in changes:
        clips = (dataclasses.replace(manifest.clips[0], **change), manifest.clips[1])
        assert _num_copied(dataclasses.replace(manifest, clips=clips), store) == 1
    assert _num_copied(_manifest(folder, "bdf", name="corpus-b"), store) == 0
    assert _num_copied(_manifest(folder, "bdf"), store, dataclasses.replace(SPEC, hop_samples=512)) == 0


@pytest.mark.slow
def test_clips_without_a_mark_of_their_content_are_never_copied(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    _featurize(_manifest(folder, "hj", marked=False), store)
    assert _num_copied(_manifest(folder, "hjl", marked=False), store) == 0


@pytest.mark.slow
def test_a_clip_with_a_quarantined_variant_is_computed_again(folder: Path, tmp_path: Path) -> None:
    soundfile.write(folder / "b.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 1_500), 22_050)
    spec = dataclasses.replace(SPEC, min_duration_s=0.05)
    store = open_store(str(tmp_path / "store"))
    first = _featurize(_manifest(folder, "bd"), store, spec)
    assert first.num_variants_quarantined == 1
    second = _featurize(_manifest(folder, "bdf"), store, spec)
    assert (second.num_clips_copied, second.num_clips_computed, second.num_variants_quarantined) == (1, 2, 1)


@pytest.mark.slow
def test_an_earlier_part_that_is_gone_by_now_costs_work_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    first = _featurize(_manifest(folder, "bdfh"), store).features
    for info in list(store.list(first.prefix + "part-")):
        store.delete(info.key)
    second = _featurize(_manifest(folder, "bdfhj"), store)
    afresh = _featurize(_manifest(folder, "bdfhj"), open_store(str(tmp_path / "afresh")))
    assert objects_of(second.features) == objects_of(afresh.features)
