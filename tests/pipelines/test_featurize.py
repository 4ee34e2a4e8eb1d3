"""The pipeline on a real Ray: every clip ends as a row or a reason, and nothing half-done is taken for complete."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from corpus_toys import (
    HEALTHY,
    QUARANTINED,
    SETTINGS,
    SPEC,
    UNUSUAL,
    Complete,
    objects_of,
    part_key,
    rows_of,
    same_bits,
    write_table,
)

from cluster.versions import VersionsDiffer, installed
from pipelines import featurize as featurize_module
from pipelines.featurize import featurize
from pipelines.manifest import Manifest
from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.object_store import open_store
from storage.parquet import read_parquet, to_parquet

_ON_ONE_CORE = """
import sys
from cluster.session import ray_session
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, featurize
from pipelines.sources import read_manifest
from storage.object_store import open_store

manifest = read_manifest("csv", root=sys.argv[1], name="corpus")
with ray_session(num_cpus=1):
    store, settings = open_store(sys.argv[2]), PipelineSettings(clips_per_shard=1)
    print(featurize(manifest, FeatureSpec(), store, settings).num_rows)
"""


class TestEveryClipHasAnEnd:
    def test_bad_files_are_quarantined_each_with_its_reason(self, complete: Complete) -> None:
        quarantine = complete.result.features.quarantine().to_pylist()
        assert {row["clip_id"]: row["reason"] for row in quarantine} == QUARANTINED
        assert all(row["detail"] and row["uri"] == f"{row['clip_id']}.wav" for row in quarantine)

    def test_all_other_files_become_one_row_each(self, complete: Complete) -> None:
        assert complete.result.features.read(columns=["clip_id"]).column("clip_id").to_pylist() == sorted(
            [*HEALTHY, *UNUSUAL]
        )

    def test_the_counts_close(self, complete: Complete) -> None:
        result = complete.result
        assert (result.num_clips, result.num_rows, result.num_quarantined) == (16, 12, 4)
        assert result.num_clips_computed == 16

    def test_progress_counts_clips_up_to_all_of_them(self, complete: Complete) -> None:
        done = [done for done, _ in complete.progress]
        assert done == sorted(done)
        assert (complete.progress[0], complete.progress[-1]) == ((0, 16), (16, 16))

    def test_rows_read_back_as_float16_of_the_specs_shape(self, complete: Complete) -> None:
        features = complete.result.features.load()
        assert features.log_mel.shape == (12, SPEC.num_mels, SPEC.num_frames)
        assert features.log_mel.dtype == np.float16
        assert np.isfinite(features.log_mel).all()

    def test_provenance_tells_what_the_file_had(self, complete: Complete) -> None:
        rows = complete.result.features.read(columns=["clip_id", "provenance"]).to_pylist()
        provenance = {row["clip_id"]: json.loads(row["provenance"]) for row in rows}
        assert provenance["stereo"]["num_channels"] == 2
        assert provenance["eight_khz"]["sample_rate_hz"] == 8_000

    def test_healthy_neighbours_of_bad_files_are_bitwise_those_of_a_run_without_them(
        self, complete: Complete, corpus: Manifest, tmp_path: Path
    ) -> None:
        alone = dataclasses.replace(corpus, clips=tuple(clip for clip in corpus.clips if clip.clip_id in HEALTHY))
        rows = featurize(alone, SPEC, open_store(str(tmp_path)), SETTINGS).features.read()
        assert same_bits(rows, rows_of(complete, HEALTHY))


class TestResuming:
    def test_only_missing_shards_are_computed_and_all_bytes_are_the_same(
        self, interrupted: FeatureStore, complete: Complete, corpus: Manifest
    ) -> None:
        for index in (1, 4):
            interrupted.store.delete(part_key(interrupted, index))
        result = featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert result.num_clips_computed == 3 + 3
        assert objects_of(interrupted) == objects_of(complete.result.features)

    @pytest.mark.usefixtures("without_ray")
    def test_a_second_run_computes_nothing_and_needs_no_ray(self, complete: Complete, corpus: Manifest) -> None:
        before = objects_of(complete.result.features)
        again = featurize(corpus, SPEC, complete.result.features.store, SETTINGS)
        assert (again.num_clips, again.num_rows, again.num_quarantined, again.num_clips_computed) == (16, 12, 4, 0)
        assert objects_of(complete.result.features) == before

    @pytest.mark.usefixtures("without_ray")
    def test_a_run_killed_before_its_commit_is_only_committed(
        self, interrupted: FeatureStore, complete: Complete, corpus: Manifest
    ) -> None:
        assert featurize(corpus, SPEC, interrupted.store, SETTINGS).num_clips_computed == 0
        assert objects_of(interrupted) == objects_of(complete.result.features)

    @pytest.mark.parametrize("read", [FeatureStore.read, FeatureStore.load, FeatureStore.quarantine])
    def test_an_interrupted_run_cannot_be_read(
        self, interrupted: FeatureStore, read: Callable[[FeatureStore], Any]
    ) -> None:
        with pytest.raises(StorageError, match=r"holds no complete features\. Run jobs/featurize\.py"):
            read(interrupted)


@pytest.mark.usefixtures("without_ray")
class TestReconciliation:
    def test_a_lost_row_is_named_and_nothing_is_committed(self, interrupted: FeatureStore, corpus: Manifest) -> None:
        part = part_key(interrupted, 0)  # a_healthy, bits_24, e_healthy … by clip id
        table = read_parquet(interrupted.store, part)
        interrupted.store.put(part, to_parquet(table.slice(1)))
        with pytest.raises(StorageError, match=r"of 16 clips 1 have neither .*'a_healthy'.*Nothing was committed"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None

    def test_a_row_of_an_unknown_clip_is_named(self, interrupted: FeatureStore, corpus: Manifest) -> None:
        part = part_key(interrupted, 0)
        table = read_parquet(interrupted.store, part)
        renamed = pa.array(["stranger", *table.column("clip_id").to_pylist()[1:]])
        interrupted.store.put(part, to_parquet(table.set_column(0, table.schema.field("clip_id"), renamed)))
        with pytest.raises(StorageError, match=r"'a_healthy'.*1 are unknown \(first: \['stranger'\]\)"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None

    def test_a_shard_that_never_came_back_is_named(
        self, interrupted: FeatureStore, corpus: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupted.store.delete(part_key(interrupted, 0))
        monkeypatch.setattr(featurize_module, "_compute", lambda *arguments: iter(()))
        with pytest.raises(StorageError, match=r"of 16 clips 3 have neither .*'a_healthy'"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None

    def test_a_damaged_part_is_reported(self, interrupted: FeatureStore, corpus: Manifest) -> None:
        interrupted.store.put(part_key(interrupted, 0), b"PAR1 no more PAR1")
        with pytest.raises(StorageError, match=r"part-00000.* is damaged .*Delete it and run the job that wrote it"):
            featurize(corpus, SPEC, interrupted.store, SETTINGS)
        assert interrupted.marker() is None


class TestSpreading:
    @pytest.mark.parametrize("num_actors", [pytest.param(2, marks=pytest.mark.slow), 4])
    def test_more_actors_and_other_orders_give_the_same_bytes(
        self, complete: Complete, corpus: Manifest, tmp_path: Path, num_actors: int
    ) -> None:
        shuffled = dataclasses.replace(corpus, clips=corpus.clips[::-1])
        settings = dataclasses.replace(SETTINGS, num_actors=num_actors)
        features = featurize(shuffled, SPEC, open_store(str(tmp_path)), settings).features
        assert objects_of(features) == objects_of(complete.result.features)

    def test_the_size_of_shards_does_not_change_rows(
        self, complete: Complete, corpus: Manifest, tmp_path: Path
    ) -> None:
        settings = dataclasses.replace(SETTINGS, clips_per_shard=100)
        features = featurize(corpus, SPEC, open_store(str(tmp_path)), settings).features
        assert len(objects_of(features)) == 4  # part, quarantine, clips and marker
        assert same_bits(features.read(), complete.result.features.read())
        assert features.quarantine().equals(complete.result.features.quarantine())

    @pytest.mark.slow
    def test_one_core_is_enough(self, corpus: Manifest, tmp_path: Path) -> None:
        table = write_table(Path(corpus.root), [*HEALTHY, *UNUSUAL], file="good.csv").root + "/good.csv"
        finished = subprocess.run(
            [sys.executable, "-c", _ON_ONE_CORE, table, str(tmp_path / "store")],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        assert finished.stdout.split()[-1] == "12"


class TestStores:
    @pytest.mark.usefixtures("ray_local")
    def test_recordings_and_features_on_s3(self, complete: Complete, corpus: Manifest, s3_uri: str) -> None:
        store = open_store(s3_uri)
        for name in HEALTHY[:2]:
            store.put(f"audio/{name}.wav", (Path(corpus.root) / f"{name}.wav").read_bytes())
        names = {*HEALTHY[:2], "missing"}
        clips = (
            dataclasses.replace(clip, uri=f"{s3_uri}/audio/{clip.uri}")
            for clip in corpus.clips
            if clip.clip_id in names
        )
        result = featurize(dataclasses.replace(corpus, clips=tuple(clips)), SPEC, store, SETTINGS)
        assert result.features.quarantine().column("reason").to_pylist() == ["missing_file"]
        log_mel = result.features.read().drop_columns("provenance")
        assert same_bits(log_mel, rows_of(complete, HEALTHY[:2]).drop_columns("provenance"))

    def test_a_store_that_fails_midway_ends_the_job_without_a_commit(
        self, complete: Complete, corpus: Manifest, tmp_path: Path
    ) -> None:
        features = complete.result.features
        (tmp_path / part_key(features, 3)).mkdir(parents=True)  # a file cannot take the place of a folder
        with pytest.raises(StorageError, match=r"^cannot write 'part-00003-\w+\.parquet' in .*Check that the folder"):
            featurize(corpus, SPEC, open_store(str(tmp_path)), SETTINGS)
        copy = FeatureStore(open_store(str(tmp_path)), dataset=features.dataset, fingerprint=features.fingerprint)
        assert copy.marker() is None
        whole = objects_of(features)
        assert all(whole[name] == content for name, content in objects_of(copy).items())


def test_a_worker_with_other_packages_than_the_drivers_computes_nothing(corpus: Manifest, tmp_path: Path) -> None:
    """As one that comes when the job has begun may have."""
    newer, store = {**installed(), "soxr": "99.1"}, open_store(str(tmp_path))
    told = r"nodes of the cluster have other versions than the driver: [\d.]+ has soxr \S+ \(here 99\.1\)\. Install"
    with mock.patch("cluster.versions.installed", return_value=newer), pytest.raises(VersionsDiffer, match=told):
        featurize(corpus, SPEC, store, SETTINGS)
    assert list(store.list("")) == []
    assert featurize(corpus, SPEC, store, SETTINGS).num_clips_computed == 16
