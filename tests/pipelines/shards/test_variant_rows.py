"""Variants in the feature store: rows or a reason for each, counts that close, and no split that tears a clip."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import soundfile
from feature_toys import store_as_before

from pipelines import featurize as featurize_module
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, featurize
from pipelines.manifest import Clip, Manifest
from pipelines.shards.request import ShardRequest
from pipelines.shards.worker import ShardWorker
from pipelines.splits import SplitSettings, draw_split
from pipelines.variants import ORIGINAL
from storage.errors import StorageError
from storage.feature_store import FeatureStore, Shard
from storage.object_store import open_store
from storage.parquet import read_parquet, to_parquet

RATE_HZ = 16_000
NOISE, STRETCH = "noise(snr_db=15)", "stretch(rate=0.9)"
SPEC = FeatureSpec(
    sample_rate_hz=RATE_HZ,
    window_s=0.5,
    windows="all",
    window_hop_s=0.5,
    n_fft=512,
    hop_samples=256,
    num_mels=16,
    variants=(ORIGINAL, NOISE, STRETCH),
)


# A second has two windows; stretched to 1.11 s it has a third.
_NUM_WINDOWS = {ORIGINAL: 2, NOISE: 2, STRETCH: 3}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve clips of six recordings, each clip a second long; the last one too short for a phase vocoder."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(12):
        duration_s = 0.12 if number == 11 else 1.0
        samples = np.random.default_rng(number).uniform(-0.5, 0.5, round(duration_s * RATE_HZ))
        soundfile.write(folder / f"c{number:02d}.wav", samples, RATE_HZ)
    (folder / "broken.wav").write_text("no audio")
    names = [*(f"c{number:02d}" for number in range(12)), "broken"]
    clips = (
        Clip(clip_id=name, recording_id=f"r{row // 2}", uri=f"{name}.wav", labels=(("dog", "cat")[row // 2 % 2],))
        for row, name in enumerate(names)
    )
    return Manifest(name="tones", root=str(folder), clips=tuple(clips))


def _compute(manifest: Manifest, folder: Path, spec: FeatureSpec = SPEC) -> FeatureStore:
    """One shard of all clips, committed."""
    features = FeatureStore(open_store(str(folder)), dataset=manifest.dataset, fingerprint=spec.fingerprint)
    features.commit([_shard(manifest, features, spec)], spec=dataclasses.asdict(spec), versions={})
    return features


def _shard(manifest: Manifest, features: FeatureStore, spec: FeatureSpec = SPEC) -> Shard:
    request = ShardRequest(index=0, clips_hash="aa", root=manifest.root, endpoint_url=None, clips=manifest.clips)
    return ShardWorker(spec, features, backend="cpu").compute(request)


@pytest.fixture(scope="module")
def features(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return _compute(manifest, tmp_path_factory.mktemp("store"))


class TestThroughTheWorker:
    def test_every_clip_has_rows_of_every_variant_it_can_take(self, features: FeatureStore) -> None:
        rows = features.load()
        assert Counter(zip(rows.clip_ids, rows.variants, strict=True)) == {
            **{(f"c{clip:02d}", variant): windows for clip in range(11) for variant, windows in _NUM_WINDOWS.items()},
            **{("c11", variant): 1 for variant in (ORIGINAL, NOISE)},
        }

    def test_rows_come_by_clip_variant_and_window_with_the_original_first(self, features: FeatureStore) -> None:
        rows = features.load()
        keys = list(zip(rows.clip_ids, map(SPEC.variants.index, rows.variants), rows.windows, strict=True))
        assert keys == sorted(keys)

    def test_a_variant_that_its_clip_cannot_take_has_a_reason_of_its_own(self, features: FeatureStore) -> None:
        reasons = {
            (row["clip_id"], row["variant"]): (row["reason"], row["detail"])
            for row in features.quarantine().to_pylist()
        }
        assert reasons["c11", STRETCH] == ("too_short", "1920 samples; stretch needs 2048")
        assert reasons["broken", ORIGINAL][0] == "not_audio"
        assert len(reasons) == 2

    def test_originals_are_bitwise_those_of_a_spec_without_variants(
        self, features: FeatureStore, manifest: Manifest, tmp_path: Path
    ) -> None:
        alone = _compute(manifest, tmp_path, dataclasses.replace(SPEC, variants=(ORIGINAL,))).read()
        originals = features.read().filter(pc.field("variant") == ORIGINAL)
        assert to_parquet(originals.combine_chunks()) == to_parquet(alone.combine_chunks())

    def test_neither_the_order_of_clips_nor_their_neighbours_matter(
        self, features: FeatureStore, manifest: Manifest, tmp_path: Path
    ) -> None:
        backwards = FeatureStore(open_store(str(tmp_path)), dataset="backwards", fingerprint="f00d")
        clips = [clip for clip in manifest.clips[::-1] if clip.clip_id != "c03"]
        request = ShardRequest(index=0, clips_hash="aa", root=manifest.root, endpoint_url=None, clips=tuple(clips))
        shard = ShardWorker(SPEC, backwards, backend="cpu").compute(request)
        backwards.commit([shard], spec={}, versions={})
        expected = _by_key(features)
        found = _by_key(backwards)
        assert found == {key: bits for key, bits in expected.items() if key[0] != "c03"}

    def test_another_seed_changes_what_is_random_and_nothing_else(
        self, features: FeatureStore, manifest: Manifest, tmp_path: Path
    ) -> None:
        spec = dataclasses.replace(SPEC, variant_seed=1)
        assert spec.fingerprint != SPEC.fingerprint
        reseeded, before = _by_key(_compute(manifest, tmp_path, spec)), _by_key(features)
        changed = {key for key, bits in before.items() if reseeded[key] != bits}
        assert changed == {key for key in before if key[1] == NOISE}

    def test_provenance_tells_the_seed_of_a_variant(self, features: FeatureStore) -> None:
        rows = features.read(columns=["variant", "provenance"]).to_pylist()
        told = {row["variant"]: json.loads(row["provenance"]).get("variant_seed") for row in rows}
        assert told == {ORIGINAL: None, NOISE: 0, STRETCH: 0}


class TestNothingLeaks:
    def test_all_variants_of_a_clip_have_its_group(self, features: FeatureStore, manifest: Manifest) -> None:
        rows = features.load()
        groups = {clip.clip_id: clip.group for clip in manifest.clips}
        assert all(groups[clip_id] == group for clip_id, group in zip(rows.clip_ids, rows.groups, strict=True))

    def test_a_split_puts_all_variants_of_a_recording_into_one_part(
        self, features: FeatureStore, manifest: Manifest
    ) -> None:
        split = draw_split(manifest, SplitSettings(policy="grouped", num_parts=3))
        rows = features.read(columns=["recording_id", "clip_id", "variant"]).to_pylist()
        parts: dict[str, set[str]] = {}
        for row in rows:
            parts.setdefault(row["recording_id"], set()).add(split.parts[row["clip_id"]])
        assert all(len(its_parts) == 1 for its_parts in parts.values())
        assert {part for its_parts in parts.values() for part in its_parts} == {"train", "validation", "test"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computes shards in this process rather than in Ray's."""

    def compute(
        requests: list[ShardRequest], spec: FeatureSpec, features: FeatureStore, settings: Any
    ) -> Iterator[Shard]:
        worker = ShardWorker(spec, features, backend="cpu")
        yield from map(worker.compute, requests)

    monkeypatch.setattr(featurize_module, "_compute", compute)


@pytest.mark.usefixtures("here")
class TestReconciliation:
    def test_the_counts_close_by_clip_and_by_variant(self, manifest: Manifest, tmp_path: Path) -> None:
        settings = PipelineSettings(clips_per_shard=5)
        result = featurize(manifest, SPEC, open_store(str(tmp_path)), settings)
        assert (result.num_clips, result.num_quarantined, result.num_variants_quarantined) == (13, 1, 1)
        rows = result.features.load()
        pairs = set(zip(rows.clip_ids, rows.variants, strict=True))
        assert len(pairs) == (13 - 1) * 3 - 1
        assert len({clip_id for clip_id, _ in pairs}) == result.num_clips - result.num_quarantined
        again = featurize(manifest, SPEC, open_store(str(tmp_path)), settings)
        assert again == dataclasses.replace(result, features=again.features, num_clips_computed=0)

    def test_a_lost_variant_is_named_and_nothing_is_committed(self, manifest: Manifest, tmp_path: Path) -> None:
        features = _uncommitted(manifest, tmp_path)
        _edit(features, lambda table: table.filter(~((pc.field("clip_id") == "c04") & (pc.field("variant") == NOISE))))
        with pytest.raises(
            StorageError, match=rf"of 39 variants of clips 1 have neither .*\['c04 as {re.escape(NOISE)}'\]"
        ):
            featurize(manifest, SPEC, features.store, PipelineSettings())
        assert features.marker() is None

    def test_a_variant_that_nobody_asked_for_is_named(self, manifest: Manifest, tmp_path: Path) -> None:
        features = _uncommitted(manifest, tmp_path)
        _edit(features, lambda table: _replace(table, "variant", STRETCH, "stretch(rate=0.8)"))
        with pytest.raises(StorageError, match=r"11 are unknown \(first: \['c00 as stretch\(rate=0\.8\)'\]\)"):
            featurize(manifest, SPEC, features.store, PipelineSettings())

    def test_rows_of_a_quarantined_clip_are_named(self, manifest: Manifest, tmp_path: Path) -> None:
        features = _uncommitted(manifest, tmp_path)
        (key,) = (info.key for info in features.store.list(f"{features.prefix}quarantine-"))
        quarantine = read_parquet(features.store, key)
        features.store.put(key, to_parquet(_replace(quarantine, "variant", STRETCH, ORIGINAL)))
        with pytest.raises(StorageError, match=r"rows and a reason against them \(first: \['c11 as noise"):
            featurize(manifest, SPEC, features.store, PipelineSettings())
        assert features.marker() is None

    def test_features_stored_before_there_were_variants_are_found(self, manifest: Manifest, tmp_path: Path) -> None:
        spec = dataclasses.replace(SPEC, variants=(ORIGINAL,))
        result = featurize(manifest, spec, open_store(str(tmp_path)), PipelineSettings())
        key = f"{result.features.prefix}_MANIFEST.json"
        marker = json.loads(result.features.store.get(key))
        del marker["num_variants_quarantined"]
        result.features.store.put(key, json.dumps(marker).encode())
        again = featurize(manifest, spec, result.features.store, PipelineSettings())
        assert (again.num_clips_computed, again.num_quarantined, again.num_variants_quarantined) == (0, 1, 0)

    def test_a_quarantine_stored_before_there_were_variants_is_read(self, manifest: Manifest, tmp_path: Path) -> None:
        spec = dataclasses.replace(SPEC, variants=(ORIGINAL,))
        features = _uncommitted(manifest, tmp_path, spec)
        store_as_before(features)
        key = f"{features.prefix}quarantine-00000-{_clips_hash(features)}.parquet"
        features.store.put(key, to_parquet(read_parquet(features.store, key).drop_columns("variant")))
        result = featurize(manifest, spec, features.store, PipelineSettings())
        assert (result.num_quarantined, result.num_clips_computed) == (1, 0)
        (row,) = result.features.quarantine().to_pylist()
        assert (row["clip_id"], row["variant"]) == ("broken", ORIGINAL)


def _uncommitted(manifest: Manifest, folder: Path, spec: FeatureSpec = SPEC) -> FeatureStore:
    """Features as a run leaves them that was killed just before its commit; all in one shard."""
    features = featurize(manifest, spec, open_store(str(folder)), PipelineSettings()).features
    features.store.delete(f"{features.prefix}_MANIFEST.json")
    return features


def _clips_hash(features: FeatureStore) -> str:
    ((_, clips_hash),) = features.finished_shards()
    return clips_hash


def _edit(features: FeatureStore, change: Any) -> None:
    key = f"{features.prefix}part-00000-{_clips_hash(features)}.parquet"
    features.store.put(key, to_parquet(change(read_parquet(features.store, key))))


def _replace(table: pa.Table, column: str, old: str, new: str) -> pa.Table:
    values = [new if value == old else value for value in table.column(column).to_pylist()]
    position = table.schema.get_field_index(column)
    return table.set_column(position, table.schema.field(position), pa.array(values))


def _by_key(features: FeatureStore) -> dict[tuple[str, str, int], bytes]:
    rows = features.load()
    keys = zip(rows.clip_ids, rows.variants, rows.windows, strict=True)
    return {key: log_mel.tobytes() for key, log_mel in zip(keys, rows.log_mel, strict=True)}
