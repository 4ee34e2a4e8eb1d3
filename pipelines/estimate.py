"""What a run would cost, before it: rows and bytes from a sample that is computed here, and time from its pace.

Enters: a manifest, a spec and a store, which is only read. Leaves: an `Estimate`. The sample's features go to a
temporary folder of this machine.
"""

import functools
import json
import math
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, finished_shards
from pipelines.manifest import Clip, Manifest
from pipelines.shards.isolated_worker import IsolatedWorker
from pipelines.shards.plan import bytes_per_row, estimated_rows, plan_shards
from pipelines.shards.request import ShardRequest, shard_of
from pipelines.shards.reuse import with_earlier_rows
from pipelines.shards.worker import ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import ObjectStore, open_store
from storage.shards import Shard

# A shard's log-mels, one by one and joined, and its Parquet bytes are there at once before they are stored.
_COPIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Counts of clips are exact, all else is scaled up from the sample.

    Attributes:
        num_clips, num_finished, num_copied: of all clips, those in finished shards, and those that would be copied.
        audio_s: of all clips; where the manifest knows no duration, as of the sample, of which nothing behind the last
            window is known.
        num_unknown_s: clips whose duration the manifest does not know.
        read_bytes, num_unknown_bytes: of the files with clips to compute, and the number of files of unknown size.
        num_shards: of the whole data set.
        num_sampled, num_sampled_quarantined: clips that were computed for this estimate; those that have no features.
        num_rows, size_bytes: of the whole data set, as stored.
        missing_bytes: of what is not stored yet.
        seconds: to compute the rest with `num_actors`, as long as that many cores have nothing else to do; without
            Ray's start.
        actor_bytes: of memory that a worker process takes, with its largest shard; None where that is unknown.
    """

    num_clips: int
    num_finished: int
    num_copied: int
    audio_s: float
    num_unknown_s: int
    read_bytes: int
    num_unknown_bytes: int
    num_shards: int
    num_sampled: int
    num_sampled_quarantined: int
    num_rows: int
    size_bytes: int
    missing_bytes: int
    seconds: float
    num_actors: int
    actor_bytes: int | None

    @property
    def num_to_compute(self) -> int:
        """Clips that are neither stored nor copied."""
        return self.num_clips - self.num_finished - self.num_copied


def estimate(
    manifest: Manifest,
    spec: FeatureSpec,
    store: ObjectStore,
    settings: PipelineSettings,
    *,
    num_actors: int,
    num_sampled: int = 16,
) -> Estimate:
    """Computes a sample on one core and scales it up; writes nothing to the store.

    Args:
        settings: with its backend and device resolved.
        num_actors: that would work at once.
        num_sampled: clips of the sample, evenly spread over the manifest.

    Raises:
        InvalidInput: the backend does not exist or cannot run here.
        StorageError: the store or the recordings could not be read.
    """
    features = FeatureStore(store, dataset=manifest.dataset, fingerprint=spec.fingerprint)
    requests = plan_shards(manifest, spec, shard_bytes=settings.shard_bytes, clips_per_shard=settings.clips_per_shard)
    done = finished_shards(requests, features) if features.marker() is None else None
    missing = [] if done is None else [request for request in requests if request.index not in done]
    missing = with_earlier_rows(missing, manifest, features)
    sample = _evenly(manifest.clips, num_sampled)
    measured = _measure(sample, manifest, spec, settings)
    to_store = [clip for request in missing for clip in request.clips]
    copied = {clip_id for request in missing for part in request.earlier for clip_id in part.clip_ids}
    to_compute = [clip for clip in to_store if clip.clip_id not in copied]
    # By estimated rows rather than by clips, as clips may have very different lengths.
    rows_sampled = _estimated_rows(sample, spec)
    rows_in_all = _estimated_rows(manifest.clips, spec)
    largest = max((_estimated_rows(request.clips, spec) for request in missing), default=0)
    sizes = {clip.uri: clip.size_bytes for clip in to_compute}  # of many clips out of one file, once
    working = max(1, min(num_actors, len(missing)))
    return Estimate(
        num_clips=len(manifest.clips),
        num_finished=len(manifest.clips) - len(to_store),
        num_copied=len(copied),
        audio_s=math.fsum(measured.clip_s if clip.duration_s is None else clip.duration_s for clip in manifest.clips),
        num_unknown_s=sum(clip.duration_s is None for clip in manifest.clips),
        read_bytes=sum(size for size in sizes.values() if size is not None),
        num_unknown_bytes=sum(size is None for size in sizes.values()),
        num_shards=len(requests),
        num_sampled=len(sample),
        num_sampled_quarantined=measured.num_quarantined,
        num_rows=round(measured.num_rows * rows_in_all / rows_sampled),
        size_bytes=round(measured.size_bytes * rows_in_all / rows_sampled),
        missing_bytes=round(measured.size_bytes * _estimated_rows(to_store, spec) / rows_sampled),
        seconds=measured.seconds * _estimated_rows(to_compute, spec) / rows_sampled / working,
        num_actors=working,
        actor_bytes=measured.peak_bytes and measured.peak_bytes + _COPIES * largest * bytes_per_row(spec),
    )


def _estimated_rows(clips: Sequence[Clip], spec: FeatureSpec) -> int:
    return sum(estimated_rows(clip, spec) for clip in clips)


def _evenly(clips: Sequence[Clip], num_sampled: int) -> list[Clip]:
    step = max(1, math.ceil(len(clips) / num_sampled))
    return list(clips[step // 2 :: step]) or list(clips)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measured:
    """A sample: rows, bytes of the part, clips without features, seconds to compute it, bytes of memory that took, and
    seconds of sound a clip."""

    num_rows: int
    size_bytes: int
    num_quarantined: int
    seconds: float
    peak_bytes: int | None
    clip_s: float


def _measure(sample: Sequence[Clip], manifest: Manifest, spec: FeatureSpec, settings: PipelineSettings) -> _Measured:
    with tempfile.TemporaryDirectory() as folder:
        scratch = FeatureStore(open_store(folder), dataset="sample", fingerprint=spec.fingerprint)
        make_worker = functools.partial(ShardWorker, spec, scratch, backend=settings.backend, device=settings.device)
        worker = IsolatedWorker(pickle.dumps(make_worker), clip_time_limit_s=settings.clip_time_limit_s)
        try:
            shard_of(worker.outcome(_request(0, sample[:1], manifest)))  # starts a process and imports what it needs
            began = time.monotonic()
            shard = shard_of(worker.outcome(_request(1, sample, manifest)))
            seconds, peak_bytes = time.monotonic() - began, worker.peak_bytes
        finally:
            worker.close()
        return _Measured(
            num_rows=shard.num_rows,
            size_bytes=sum(info.size_bytes for info in scratch.store.list(scratch.prefix + "part-00001-")),
            num_quarantined=shard.num_quarantined,
            seconds=seconds,
            peak_bytes=peak_bytes,
            clip_s=_heard_s(scratch, shard, spec),
        )


def _heard_s(scratch: FeatureStore, shard: Shard, spec: FeatureSpec) -> float:
    """Seconds up to the end of the last window, a clip."""
    ends: dict[str, int] = {}
    if not shard.num_rows:
        return 0.0
    rows = scratch.read_shard(shard.index, shard.clips_hash, columns=["clip_id", "provenance"])
    for row in rows.to_pylist():
        place = json.loads(row["provenance"])
        ends[row["clip_id"]] = max(ends.get(row["clip_id"], 0), place["start_samples"] + place["num_samples"])
    return sum(ends.values()) / spec.sample_rate_hz / len(ends)


def _request(index: int, clips: Sequence[Clip], manifest: Manifest) -> str:
    return ShardRequest(
        index=index, clips_hash="sample", root=manifest.root, endpoint_url=manifest.endpoint_url, clips=tuple(clips)
    ).to_json()
